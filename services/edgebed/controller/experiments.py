"""The experiments of a controller: one runs at a time, and one that was interrupted goes on when the controller is back.

Each has a folder below the folder of runs, with what `edgebed run` leaves there, and `controller.json`: the name that the
run has in the task log, and its state. A controller that is stopped or killed leaves the state `running`, and goes on with
it when it is started again; an experiment that failed or was stopped goes on when the same document is posted again.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebed.controller.checks import checked
from edgebed.controller.directory import Directory, Stopped
from edgebed.controller.ingest import Ingest
from edgebed.controller.phases import run_phases
from edgebed.controller.publication import publish_results
from edgebed.controller.remote import Caller
from edgebed.controller.status import Status, remaining_s
from edgebed.controller.steps import planned_episodes, step_of
from edgebed.controller.teachers import Teachers
from edgebed.controller.testbed import Testbed
from edgebed.experiment.defaults import Defaults, filled
from edgebed.experiment.errors import EdgebedError, EnvironmentFault
from edgebed.experiment.files import canonical, faults, remove_folder, write_atomically
from edgebed.experiment.folder import SPECIFICATION, RunFolder, open_run_folder, recorded_defaults
from edgebed.experiment.reading import load
from edgebed.live.documents import ControllerSettings, Policies
from edgebed.live.in_use import InUse
from edgebed.runner.units import VERSIONS
from edgebed.stores.artefacts import ArtefactStore
from edgebed.stores.calls import TASK_LOG, Calls
from edgebed.stores.task_log import TaskLogStore
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.rules import Horizon

STATE = "controller.json"
LIVE = "live.json"
"""What the live view knows of the episodes."""
STOP_S = 30.0
"""How long an experiment that is told to stop may take to notice."""

OTHERS_S = 60.0
"""How long services of a testbed beside the controller's own are waited for. They are there, as whoever gave the experiment
knows; but a controller that was started again is found by them through others, such as a Service, only after a while.
"""
LOG_AWAY_S = 300.0
"""How long the task log's server may be away."""

_log = logging.getLogger(__name__)


class Busy(EdgebedError):
    """Another experiment has the nodes."""


@dataclass(frozen=True)
class Services:
    """What an experiment works with."""

    directory: Directory
    caller: Caller
    store: TaskLogStore
    ingest: Ingest
    artefacts: ArtefactStore
    address: str
    """Of this controller, for the nodes."""
    token: str | None = None
    loss_s: float | None = None
    """How long a node may be silent before it counts as lost, where that is not what the settings say."""
    settings: InUse[ControllerSettings] = field(default_factory=lambda: InUse(ControllerSettings))
    """May change while it runs."""
    policies: InUse[Policies] = field(default_factory=lambda: InUse(Policies))
    """What an experiment that is taken gets where it leaves parameters open."""
    calls: Calls = field(default_factory=lambda: Calls("controller"))
    """To the task log."""


class Running:
    """An experiment that is, or was, run by this process."""

    def __init__(self, folder: RunFolder, state: dict[str, Any], on_step: Callable[[str], None]) -> None:
        self.folder, self.state = folder, state
        self.stop, self.asked = threading.Event(), False
        """`asked`: somebody asked for this experiment to stop, so it does not go on by itself."""
        horizon, kept = folder.experiment.rules().horizon, folder.path / LIVE
        self.status = Status(horizon, self.stop, kept, on_step=lambda: on_step(self.name))
        self.planned = planned_episodes(folder.experiment)
        self.testbed: Testbed | None = None
        self.directory: Directory | None = None
        self.thread: threading.Thread | None = None
        self._version_lock = threading.Lock()

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.path.name

    @property
    def plays(self) -> bool:
        """Whether it has the nodes of its testbed."""
        return self.state["state"] == "running" and self.thread is not None and self.thread.is_alive()

    def keep(self, **changes: Any) -> None:
        """Changes the state, on the disk too."""
        self.state.update(changes)
        write_atomically(self.folder.path / STATE, canonical(self.state))

    def next_version(self) -> int:
        """A version that no configuration or scheduler of this run has had."""
        with self._version_lock:
            self.keep(version=self.state["version"] + 1)
            return int(self.state["version"])

    def document(self) -> dict[str, Any]:
        """Everything that people want to know, as JSON."""
        testbed = self.testbed
        states, lost = ([], {}) if testbed is None else (testbed.states(), testbed.lost())
        found = {**summary(self.name, self.state), **self.status.document(states, lost)}
        running, known = found["state"] == "running", found["episodesKnown"]
        return {
            **found,
            "step": step_of(found["phase"], found["state"]),
            "episodesPlanned": self.planned,
            "remainingSeconds": remaining_s(known, self.planned, found["secondsPerEpisode"]) if running else None,
        }


def summary(name: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the list of experiments."""
    return {
        "name": name,
        **{
            key: state.get(key) for key in ("run", "state", "reason", "startedAt", "endedAt", "artefact", "unpublished")
        },
    }


class Experiments:
    """All experiments below a folder. Safe to use from several threads."""

    def __init__(self, runs: Path, services: Services) -> None:
        self._runs, self._services = runs, services
        self._lock = threading.Lock()
        self._known: dict[str, Running] = {}
        self._told: list[Callable[[str], None]] = []
        self.version = 0
        """Rises when an experiment begins or ends."""
        with faults(runs):
            runs.mkdir(parents=True, exist_ok=True)

    def on_step(self, told: Callable[[str], None]) -> None:
        """From now on `told` is called with the name of an experiment whenever that goes over to another step (`steps`), in the
        thread that plays it, which waits.
        """
        self._told.append(told)

    def _stepped(self, name: str) -> None:
        for told in self._told:
            told(name)

    def submit(
        self,
        document: Mapping[str, Any],
        name: str | None = None,
        testbed: str | None = None,
        owner: str | None = None,
    ) -> Running:
        """Starts an experiment, or goes on with it; one that runs already is left alone.

        `name` is the folder's, below the folder of runs; by default metadata.name. `testbed` is whose nodes it plays on, by
        default those of the controller's own. `owner` is who looks after it, kept with it.

        Raises UserError with everything that is wrong, Busy while another one runs there, EnvironmentFault for a folder that
        cannot be written.
        """
        on = testbed or self._services.directory.testbed
        metadata = document.get("metadata")
        place = name or str(metadata.get("name") if isinstance(metadata, Mapping) else None)
        path = self._runs / place
        defaults = self._defaults(path)
        experiment = checked(document, path, defaults)
        with self._lock:
            there = self._known.get(place)
            as_run = filled(experiment, defaults)
            if there is not None and there.state["state"] == "running" and there.folder.experiment == as_run:
                return there
            self._mind_others(on)
            return self._start(open_run_folder(path, experiment, VERSIONS, defaults), on, owner)

    def _defaults(self, path: Path) -> Defaults:
        """Parameters of policies for what a specification leaves open: those of now, or those that the run began with."""
        if _read(path / STATE):  # it was taken before
            return recorded_defaults(path) or {}
        return recorded_defaults(path) or self._services.policies.values.defaults

    def resume(self) -> list[Running]:
        """Goes on with what was running when the controller ended; of several on one testbed, with the oldest."""
        found = []
        for path in self._runs.glob(f"*/{STATE}"):
            state = _read(path)
            if state.get("state") == "running":
                found.append((str(state.get("startedAt")), path.parent, self._testbed_of(state)))
        resumed = []
        for _, folder, testbed in sorted(found):
            try:
                experiment = load(folder / SPECIFICATION)
                with self._lock:
                    self._mind_others(testbed)
                    resumed.append(self._start(open_run_folder(folder, experiment, VERSIONS), testbed))
            except EdgebedError as error:  # it stays as it is, for somebody to look at
                _log.error("experiment %s cannot go on: %s", folder.name, error)
        return resumed

    def _testbed_of(self, state: Mapping[str, Any]) -> str:
        return str(state.get("testbed") or self._services.directory.testbed)

    def all(self) -> list[dict[str, Any]]:
        """Every experiment below the folder, by name."""
        found = {path.parent.name: _read(path) for path in self._runs.glob(f"*/{STATE}")}
        return [summary(name, state) for name, state in sorted(found.items())]

    def owned_by(self, owner: str) -> list[str]:
        """The names of those that were submitted for an owner, here or to a controller before this one."""
        found = ((path.parent.name, _read(path)) for path in self._runs.glob(f"*/{STATE}"))
        return sorted(name for name, state in found if state.get("owner") == owner)

    def find(self, name: str) -> dict[str, Any] | None:
        """Everything about one; None when there is none of that name."""
        running = self._known.get(name)
        if running is not None:
            return running.document()
        folder = self.folder(name)
        if folder is None:
            return None
        state = _read(folder / STATE)
        # Of one that another controller ran, what was kept: its episodes.
        kept = Status(Horizon.DRAIN, threading.Event(), folder / LIVE).document([], {})
        past = {key: kept[key] for key in ("methods", "episodesKnown", "lateEpisodes", "lostTasks", "reliable")}
        step = step_of(None, str(state["state"]))
        return {**summary(name, state), **past, "step": step, "episodesPlanned": state.get("planned")}

    def folder(self, name: str) -> Path | None:
        """Where an experiment's files are; None when there is none of that name."""
        path = self._runs / name
        return path if path.parent == self._runs and _read(path / STATE) else None

    def live(self) -> list[Running]:
        """Those that run, and the last one that did; the oldest first."""
        known = list(self._known.values())
        return [one for one in known if one.state["state"] == "running" or one is known[-1]]

    @property
    def current(self) -> Running | None:
        """The one that runs, or the last one that did."""
        known = list(self._known.values())
        return known[-1] if known else None

    def stop(self, name: str) -> bool:
        """Asks an experiment to stop; False when there is none of that name. It can be posted again to go on."""
        running = self._known.get(name)
        if running is None:
            return (self._runs / name / STATE).exists() if "/" not in name else False
        if running.state["state"] == "running":
            running.asked = True
            running.stop.set()
        return True

    def adopt(self, name: str, artefact: str, owner: str, **about: Any) -> None:
        """Takes in what an experiment that was run elsewhere has published, so that it is listed here and its report is served.

        `about` are startedAt and endedAt, where they are known. Nothing happens where there is one of that name. Raises
        ArtefactError, or EnvironmentFault for a folder that cannot be written.
        """
        if self.folder(name) is not None:
            return
        stored, path = self._services.artefacts.open(artefact), self._runs / name
        with faults(path):
            for file in stored.files:
                target = path / file
                if not target.resolve().is_relative_to(path.resolve()):
                    raise EnvironmentFault(
                        f"artefact {artefact} has a file {file}, which is outside of it; look who made it"
                    )
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(stored.read(file))
        state = {"run": name, "state": "finished", "version": 0, "owner": owner, "artefact": artefact, **about}
        write_atomically(path / STATE, canonical(state))
        self.version += 1

    def remove(self, name: str) -> None:
        """Stops an experiment if it runs, and takes away its folder once it has; its tasks stay in the log, and what was
        published where it is. Nothing happens where there is none of that name.

        Raises Busy for one that does not stop, EnvironmentFault for a folder that cannot be removed; then try again.
        """
        if self.folder(name) is None:
            return
        self.stop(name)
        running = self._known.get(name)
        if running is not None and running.thread is not None:
            running.thread.join(STOP_S)
            if running.thread.is_alive():
                raise Busy(f"experiment {name} does not stop within {STOP_S:g} s")
        with self._lock:
            self._known.pop(name, None)
            remove_folder(self._runs / name, last=STATE)
            self.version += 1

    def close(self) -> None:
        """Interrupts what runs; it goes on when the controller is back."""
        for running in list(self._known.values()):
            running.stop.set()
        for running in list(self._known.values()):
            if running.thread is not None:
                running.thread.join(STOP_S)

    def _mind_others(self, testbed: str) -> None:
        for running in self._known.values():
            if running.plays and self._testbed_of(running.state) == testbed:
                raise Busy(
                    f"experiment {running.name} runs; wait for it, or stop it with DELETE /v1/experiments/{running.name}"
                )

    def _start(self, folder: RunFolder, testbed: str, owner: str | None = None) -> Running:
        state = _read(folder.path / STATE) or {
            "run": f"{folder.experiment.name}-{time.time_ns() // 10**6}",
            "version": 0,
        }
        state["testbed"] = testbed
        if owner is not None:
            state["owner"] = owner
        running = Running(folder, state, self._stepped)
        running.keep(state="running", reason=None, startedAt=_now(), endedAt=None, planned=running.planned)
        services = self._services
        directory = services.directory
        running.directory = directory if testbed == directory.testbed else directory.of(testbed, OTHERS_S)
        running.testbed = Testbed(
            state["run"],
            directory=running.directory,
            caller=services.caller,
            store=services.calls.of("taskLog", services.store.patient(LOG_AWAY_S, running.stop), TASK_LOG),
            ingest=services.ingest,
            artefacts=services.artefacts,
            log_address=services.address,
            next_version=running.next_version,
            stop=running.stop,
            on_node_loss=folder.experiment.spec.on_node_loss,
            settings=services.settings,
            on_model_refused=folder.experiment.spec.on_model_refused,
            loss_s=services.loss_s,
            log_away_s=LOG_AWAY_S,
        )
        self._known.pop(running.name, None)
        self._known[running.name] = running
        running.thread = threading.Thread(
            target=self._work, args=(running,), name=f"experiment {running.name}", daemon=True
        )
        self.version += 1
        running.thread.start()
        return running

    def _work(self, running: Running) -> None:
        testbed, services = running.testbed, self._services
        assert testbed is not None  # started
        assert running.directory is not None  # likewise
        teachers = Teachers(running.folder, running.directory, services.artefacts, services.token, running.stop)
        end = self._played(running, testbed, teachers)
        try:
            testbed.close()
            teachers.close()
        finally:  # not before: who reads that it has ended may give the next one, which needs the nodes
            with self._lock:
                if end is not None:
                    self._keep_end(running, end)
                self.version += 1
            if end is not None:
                self._stepped(running.name)

    def _played(self, running: Running, testbed: Testbed, teachers: Teachers) -> dict[str, Any] | None:
        """Plays an experiment. How it ended; None for one that goes on when the controller is back."""
        try:
            run_phases(running.folder, testbed, teachers, running.status)
            return {**self._publish(running), "state": "finished"}
        except Stopped:
            return {"state": "stopped"} if running.asked else None  # else the controller is stopping
        except (EdgebedError, ModelError) as error:
            if running.stop.is_set():  # what it waited for did not come in time
                _log.warning("experiment %s stops: %s", running.name, error)
                return {"state": "stopped"} if running.asked else None
            _log.error("experiment %s failed: %s", running.name, error)
            return {"state": "failed", "reason": str(error)}
        except Exception as error:
            _log.exception("experiment %s failed unexpectedly", running.name)
            reason = f"a mistake in edgebed: {type(error).__name__}: {error}; the controller's log says where"
            return {"state": "failed", "reason": reason}

    def _publish(self, running: Running) -> dict[str, Any]:
        """Where the results are for others; that they could not be put there is no reason to call them failed."""
        try:
            name = publish_results(running.folder, self._services.artefacts, running.state["run"])
        except EdgebedError as error:
            _log.warning("the results of %s are in %s only: %s", running.name, running.folder.path, error)
            return {"artefact": None, "unpublished": str(error)}
        return {"artefact": name, "unpublished": None}

    @staticmethod
    def _keep_end(running: Running, end: Mapping[str, Any]) -> None:
        ended_at = _now()
        try:
            running.keep(**end, endedAt=ended_at)
        except EdgebedError as error:  # say at least here how it ended, and what is not on the disk has not succeeded
            _log.error("the state of %s cannot be written: %s", running.name, error)
            failed = {"state": "failed", "reason": str(error)} if end["state"] == "finished" else end
            running.state.update(**failed, endedAt=ended_at)


def _read(path: Path) -> dict[str, Any]:
    """A state; empty where there is none, or none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and {"run", "state", "version"} <= found.keys() else {}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
