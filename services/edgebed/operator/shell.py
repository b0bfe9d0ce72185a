"""Observes, lets `reconcile` decide, and performs: what is left of the operator when every decision is taken out.

One thread works through the agenda. Whatever goes wrong with one experiment is tried again, less and less often, and never
keeps the others waiting. Nothing here has to be remembered: another process begins where this one ended.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from edgebed.experiment.errors import EdgebedError, UserError
from edgebed.operator.agenda import Agenda
from edgebed.operator.api import Api, ApiError, Away, Conflict, Refused
from edgebed.operator.heard import Heard
from edgebed.operator.names import API_VERSION, MANAGER, UID_LABEL, Names
from edgebed.operator.plan import Event, Item, Observed, Plan, Refusal, Stop, Submit
from edgebed.operator.reconcile import reconcile
from edgebed.operator.runs import Runs
from edgebed.operator.settings import OperatorSettings
from edgebed.operator.upkeep import job_ended

RESYNC_S = 30.0
"""How often everything is listed, whatever the watch tells."""
OLD_S = 10.0
"""How long what was seen of an experiment's objects may be used again, while the watch tells of no change."""
LOOK_LIMIT_S = 120.0
"""A look that takes longer hangs."""
REPEAT_S = 600.0
"""How soon the same event may be told again."""
BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
LOG_LINES = 2000
RESULT_TRIES = 5
"""How often results that a simulation published are looked for."""

_EVERYTHING = ""
"""What the agenda calls a listing; no experiment has this name."""

_log = logging.getLogger(__name__)


@dataclass
class _Seen:
    """What is known of one experiment between two looks; all of it can be had again."""

    at: float = float("-inf")
    objects: tuple[Item, ...] = ()
    pods: tuple[Item, ...] = ()
    handed: bool = False
    refusal: Refusal | None = None
    objection: str | None = None
    """What the API server said to an object."""
    results: Mapping[str, Any] | None = None
    tries: int = 0
    rests_at: str | None = None
    """The version of the experiment of which nothing is left to do."""


class Shell:
    """The operator's work in one namespace."""

    def __init__(
        self,
        api: Api,
        runs: Runs,
        settings: Callable[[], OperatorSettings],
        results: Callable[[str], Mapping[str, Any]],
    ) -> None:
        """`results` reads the results of an artefact by its name, and raises EdgebedError when it cannot."""
        self._api, self._runs, self._settings, self._results = api, runs, settings, results
        self.heard = Heard()
        self._agenda = Agenda(time.monotonic)
        self._seen: dict[str, _Seen] = defaultdict(_Seen)
        self._stale: set[str] = set()
        self._failures: dict[str, int] = {}
        self._told: dict[tuple[str, str, str], float] = {}
        self._experiments: dict[str, str] = {}
        """Their names by those of their runs."""
        self._began: float | None = None
        self.listed_at: float | None = None
        """When the API server last answered a listing."""
        runs.on_step(self._stepped)

    # Told from other threads

    def wake(self, name: str) -> None:
        """Something about an experiment may have changed."""
        self._stale.add(name)
        self._agenda.put(name, 0.05)  # changes come in crowds

    def _stepped(self, run: str) -> None:
        """A run has gone over to another step, which may be a short one: it is told at once, and not with the next look."""
        name = self._experiments.get(run)
        if name is not None:
            self._agenda.put(name)

    def list_again(self) -> None:
        """An experiment is gone, or nobody knows what there is."""
        self._agenda.put(_EVERYTHING)

    def hanging_s(self) -> float:
        """How long the look in progress has taken."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    # The thread

    def work(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        self.list_again()
        while not stop.is_set():
            name = self._agenda.take(1.0)
            if name is None:
                continue
            self._began = time.monotonic()
            try:
                after_s = self._list() if name == _EVERYTHING else self.look(name)
                self._failures.pop(name, None)
            except Conflict as error:
                _log.info("experiment %s: %s; looking again", name, error)
                after_s = 0.5
            except Exception as error:
                count = self._failures[name] = self._failures.get(name, -1) + 1
                after_s = BACKOFF_S[min(count, len(BACKOFF_S) - 1)]
                expected = isinstance(error, (ApiError, EdgebedError))
                _log.log(
                    logging.WARNING if expected else logging.ERROR,
                    "%s: %s; trying again in %g s",
                    f"experiment {name}" if name else "listing experiments",
                    error,
                    after_s,
                    exc_info=None if expected else error,
                )
                self._stale.add(name)
            finally:
                self._began = None
            if after_s is not None:
                self._agenda.put(name, after_s)

    def look(self, name: str) -> float | None:
        """Looks at an experiment and does what is to be done; returns when to look again."""
        experiment = self._api.get("Experiment", name)
        if experiment is None:
            self.list_again()
            return None
        metadata = experiment["metadata"]
        names, seen = Names.of(name, metadata["uid"]), self._seen[metadata["uid"]]
        self._experiments[names.run] = name
        settings = self._settings()
        observed = self._observe(experiment, names, seen)
        plan = reconcile(experiment, observed, datetime.now(UTC), settings)
        self._perform(experiment, names, seen, plan)
        over = experiment.get("status", {}).get("phase") in ("Succeeded", "Failed")
        seen.rests_at = metadata["resourceVersion"] if over and plan == Plan() else None
        return plan.again_s

    def _list(self) -> float:
        experiments = self._api.listed("Experiment")
        if experiments is None:
            return RESYNC_S  # the kind is not known, or not known yet: no reason to forget anything
        now = time.monotonic()
        self.listed_at = now
        self.heard.compare(experiments, now)
        uids = {item["metadata"]["uid"] for item in experiments}
        for uid in [uid for uid in self._seen if uid not in uids]:
            del self._seen[uid]
        self._told = {key: at for key, at in self._told.items() if key[0] in uids and now - at < REPEAT_S}
        live = [(item["metadata"]["name"], item["metadata"]["uid"]) for item in experiments]
        self._experiments = {Names.of(name, uid).run: name for name, uid in live}
        for run in set(self._runs.names()) - self._experiments.keys():
            _log.info("run %s: its experiment is gone", run)
            self._runs.forget(run)
        for item in experiments:
            metadata = item["metadata"]
            if self._seen[metadata["uid"]].rests_at != metadata["resourceVersion"]:
                self.wake(metadata["name"])
        return RESYNC_S

    # Observing

    def _observe(self, experiment: Item, names: Names, seen: _Seen) -> Observed:
        now = time.monotonic()
        name = names.experiment
        if name in self._stale or now - seen.at > OLD_S:
            self._stale.discard(name)
            seen.objects, seen.pods, seen.at = self._objects(names), self._pods(names), now
        run = self._runs.find(names.run)
        warnings: tuple[Item, ...] = ()
        if experiment.get("status", {}).get("phase") in ("Pending", "Starting"):
            warnings = self._warnings(names)
        job = next((item for item in seen.objects if item["kind"] == "Job"), None)
        log: tuple[str, ...] = ()
        if job is not None:
            running = [pod for pod in seen.pods if pod.get("status", {}).get("phase") == "Running"]
            log = tuple(self._api.log_of(running[0]["metadata"]["name"], LOG_LINES)) if running else ()
            self._read_results(job, names, seen)
        return Observed(
            seen.objects,
            seen.pods,
            warnings,
            run=run,
            handed=seen.handed,
            refusal=seen.refusal,
            objection=seen.objection,
            log=log,
            results=seen.results,
        )

    def _objects(self, names: Names) -> tuple[Item, ...]:
        wanted = (
            ("ConfigMap", names.document),
            ("Service", names.nodes),
            ("StatefulSet", names.nodes),
            ("Deployment", names.generator),
            ("Deployment", names.trainer),
            ("Job", names.job),
        )
        found = [self._api.get(kind, name) for kind, name in wanted]
        return tuple(item for item in found if item is not None)

    def _pods(self, names: Names) -> tuple[Item, ...]:
        return tuple(self._api.listed("Pod", labelSelector=f"{UID_LABEL}={names.uid}") or ())

    def _warnings(self, names: Names) -> tuple[Item, ...]:
        """The latest last."""
        events = self._api.listed("Event", fieldSelector="type=Warning") or []
        own = [event for event in events if str(event["involvedObject"].get("name", "")).startswith(f"{names.base}-")]
        return tuple(sorted(own, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime"))))

    def _read_results(self, job: Item, names: Names, seen: _Seen) -> None:
        if job_ended(job, "Complete") is None or seen.results is not None or seen.tries >= RESULT_TRIES:
            return
        seen.tries += 1
        try:
            artefact, status = f"results/{names.run}", job["status"]
            results = self._results(artefact)
            self._runs.adopt(names.run, artefact, status.get("startTime"), status.get("completionTime"))
            seen.results = results
        except EdgebedError as error:
            if seen.tries < RESULT_TRIES:
                raise
            _log.warning("the results of %s are not in its status: %s", names.experiment, error)

    # Performing

    def _perform(self, experiment: Item, names: Names, seen: _Seen, plan: Plan) -> None:
        if plan.delete or plan.apply or plan.patch:
            self._stale.add(names.experiment)
        for deletion in plan.delete:
            self._api.delete(deletion.kind, deletion.name, deletion.uid)
        objection = None
        for item in plan.apply:
            try:
                self._api.apply(item)
            except Refused as error:
                objection = f"{item['kind']} {item['metadata']['name']} is refused: {error}"
        if objection is not None or plan.apply:
            seen.objection = objection
        for patch in plan.patch:
            self._api.patch(patch.kind, patch.name, patch.body)
        for action in plan.runs:
            self._tell(action, seen)
        if plan.status is not None:
            self._write_status(experiment, plan.status)
        for event in plan.events:
            self._tell_people(experiment, event)
        if objection is not None or (seen.refusal is not None and seen.refusal.lasting and plan.runs):
            self._agenda.put(names.experiment, 0.1)  # so that it is said

    def _tell(self, action: Submit | Stop, seen: _Seen) -> None:
        if isinstance(action, Stop):
            self._runs.stop(action.run)
            return
        try:
            self._runs.submit(action.run, action.document)
            seen.handed, seen.refusal = True, None
        except UserError as error:
            seen.refusal = Refusal(str(error), lasting=True)
        except EdgebedError as error:
            seen.refusal = Refusal(str(error), lasting=False)

    def _write_status(self, experiment: Item, status: Item) -> None:
        """The whole of it: what is no longer said is taken away. Meant for what was looked at: neither for another version of
        it, nor for another object of its name. A patch of the status ignores the uid, so the version has to tell them apart.
        """
        dropped = {key: None for key in experiment.get("status", {}) if key not in status}
        metadata = experiment["metadata"]
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": {**dropped, **status}}
        self._api.patch("Experiment", metadata["name"], body, "status")

    def _tell_people(self, experiment: Item, event: Event) -> None:
        metadata, now = experiment["metadata"], time.monotonic()
        key = (metadata["uid"], event.reason, event.message)
        if now - self._told.get(key, float("-inf")) < REPEAT_S:
            return
        self._told[key] = now
        try:
            self._api.create("Event", event_object(experiment, event, datetime.now(UTC)))
        except (Refused, Away) as error:  # an event is a courtesy
            _log.warning("experiment %s: its event %s is not told: %s", metadata["name"], event.reason, error)


def event_object(experiment: Item, event: Event, now: datetime) -> dict[str, Any]:
    """An event about an experiment, as `kubectl describe` shows it."""
    metadata, at = experiment["metadata"], now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}."},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "Experiment",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:1024],
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": MANAGER,
    }
