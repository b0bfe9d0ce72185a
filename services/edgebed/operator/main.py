"""The operator as part of a process: two threads beside a controller, a file of settings, and whether it is alive.

operator = Operator.open(Path(...), runs, artefacts)
operator.start()
operator.problems()          # [] while all is well: what a liveness probe asks
operator.close()
"""

import json
import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebed.experiment.errors import EdgebedError, EnvironmentFault
from edgebed.experiment.results import RESULTS
from edgebed.operator.access import login
from edgebed.operator.api import Api
from edgebed.operator.runs import Runs
from edgebed.operator.settings import OperatorSettings
from edgebed.operator.shell import LOOK_LIMIT_S, RESYNC_S, Shell
from edgebed.operator.watch import Watch
from edgebed.stores.artefacts import ArtefactStore

RESTART_S = 45.0
"""A watch that misses something for so long is started again."""
DEAD_S = 150.0
"""And if that did not help, the process should be."""
CLOSE_S = 15.0

_log = logging.getLogger(__name__)


class SettingsFile:
    """The operator's settings, read again when the file changes; one that is wrong by then is told, and not used."""

    def __init__(self, path: Path) -> None:
        """Raises UserError or EnvironmentFault for a file that is wrong from the beginning."""
        self._path = path
        self._stamp = self._modified()
        self._known = OperatorSettings.read(path)

    def __call__(self) -> OperatorSettings:
        """The settings that hold now."""
        stamp = self._modified()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._known = OperatorSettings.read(self._path)
                _log.info("%s was read again", self._path)
            except EdgebedError as error:
                _log.error("the settings before it stay in use: %s", error)
        return self._known

    def _modified(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0


class Operator:
    """Owns the threads."""

    def __init__(self, api: Api, runs: Runs, settings: SettingsFile, artefacts: ArtefactStore) -> None:
        def results(name: str) -> Mapping[str, Any]:
            found: Mapping[str, Any] = json.loads(artefacts.open(name).read(RESULTS))
            return found

        self._api = api
        self._shell = Shell(api, runs, settings, results)
        self._watch = Watch(self._shell, api.namespace)
        self._stop = threading.Event()
        self._missing_since: float | None = None
        self._threads = [
            threading.Thread(target=self._shell.work, args=(self._stop,), name="operator", daemon=True),
            threading.Thread(target=self._mind_the_watch, name="operator's guard", daemon=True),
        ]

    @classmethod
    def open(cls, path: Path, runs: Runs, artefacts: ArtefactStore, namespace: str | None = None) -> "Operator":
        """With the settings of a file, in the namespace of its account. Raises UserError or EnvironmentFault."""
        settings = SettingsFile(path)
        where = namespace or login().namespace
        if where is None:
            raise EnvironmentFault("the operator does not know its namespace; set one in the kubeconfig's context")
        return cls(Api(login, where), runs, settings, artefacts)

    def start(self) -> None:
        """Begins to watch and to work."""
        for thread in self._threads:
            thread.start()
        self._watch.start()

    def problems(self) -> list[str]:
        """Why this process should be started again; nothing while it works, or while the API server is away."""
        found = []
        worker = self._threads[0]
        if worker.ident is not None and not worker.is_alive() and not self._stop.is_set():
            found.append("the operator's thread has ended")
        if self._shell.hanging_s() > LOOK_LIMIT_S:
            found.append(f"the operator has been at one experiment for {self._shell.hanging_s():.0f} s")
        missing = self._missing_since
        if missing is not None and time.monotonic() - missing > DEAD_S:
            found.append(f"the watch has told nothing of what happens for {time.monotonic() - missing:.0f} s")
        return found

    def silent_s(self) -> float:
        """For how long the watch has not told something that the API server knows."""
        return self._shell.heard.silent_s(time.monotonic())

    @property
    def watches(self) -> int:
        """How often the watch was started."""
        return self._watch.started

    def close(self) -> None:
        """Ends the threads; what they do is left as it is, for another process."""
        self._stop.set()
        self._watch.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(CLOSE_S)
        self._api.close()

    def _mind_the_watch(self) -> None:
        """Starts a dead watch again; and remembers since when it is dead, however often it was started."""
        while not self._stop.wait(RESYNC_S / 6):
            silent_s = self.silent_s()
            if silent_s == 0.0:
                self._missing_since = None
                continue
            if self._missing_since is None:
                self._missing_since = time.monotonic() - silent_s
            if silent_s > RESTART_S:
                self._watch.restart()
