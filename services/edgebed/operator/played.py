"""The controller's experiments as the operator's runs: each plays on the nodes that were started for it, under one name."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from edgebed.controller.experiments import Experiments
from edgebed.experiment.errors import EdgebedError
from edgebed.experiment.results import read_results

OWNER = "operator"
"""With this the operator's runs are told from those that people gave to the controller themselves."""

_log = logging.getLogger(__name__)


class PlayedRuns:
    """As in `Runs`. A run's name is that of its folder, and of its testbed."""

    def __init__(self, experiments: Experiments) -> None:
        self._experiments = experiments
        self._results: dict[str, Mapping[str, Any]] = {}
        """Of runs that are finished; they do not change any more."""
        self._lock = threading.Lock()
        self._going: set[str] = set()

    def submit(self, name: str, document: Mapping[str, Any]) -> None:
        """As in `Runs`."""
        self._experiments.submit(document, name, testbed=name, owner=OWNER)

    def find(self, name: str) -> Mapping[str, Any] | None:
        """As in `Runs`."""
        found = self._experiments.find(name)
        if found is None or found["state"] != "finished":
            return found
        return {**found, "results": self._results_of(name)}

    def stop(self, name: str) -> None:
        """As in `Runs`."""
        self._experiments.stop(name)

    def adopt(self, name: str, artefact: str, started_at: str | None, ended_at: str | None) -> None:
        """As in `Runs`."""
        self._experiments.adopt(name, artefact, OWNER, startedAt=started_at, endedAt=ended_at)

    def forget(self, name: str) -> None:
        """As in `Runs`. Returns at once; until the run has stopped, and its folder is gone, its name stays among `names`."""
        with self._lock:
            if name in self._going:
                return
            self._going.add(name)
        threading.Thread(target=self._forget, args=(name,), name=f"forgetting {name}", daemon=True).start()

    def on_step(self, told: Callable[[str], None]) -> None:
        """As in `Runs`."""
        self._experiments.on_step(told)

    def names(self) -> Collection[str]:
        """As in `Runs`."""
        return self._experiments.owned_by(OWNER)

    def _forget(self, name: str) -> None:
        try:
            self._experiments.remove(name)
        except EdgebedError as error:  # asked again with the next listing
            _log.warning("run %s is not gone yet: %s", name, error)
        finally:
            with self._lock:
                self._going.discard(name)
                self._results.pop(name, None)

    def _results_of(self, name: str) -> Mapping[str, Any] | None:
        """None where they cannot be read: that is no reason to call the run anything but finished."""
        folder = self._experiments.folder(name)
        if name not in self._results and folder is not None:
            try:
                self._results[name] = read_results(folder)
            except EdgebedError as error:
                _log.warning("the results of run %s are not in its status: %s", name, error)
        return self._results.get(name)
