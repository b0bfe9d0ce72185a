"""A cluster and a controller that behave, without either: what the operator's plans are tried on.

    world = World(experiment())
    world.settle()            # looks until nothing is left to do, starting pods as a kubelet would
    world.run["state"] = "finished"

Objects are made, changed and deleted as the API server would do it for us: a name is given once, a deletion means one uid,
what an owner owned goes with it. Time is a number that the test advances.
"""

import copy
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from edgebed.experiment.status import Status
from edgebed.operator.drift import holds
from edgebed.operator.names import UID_LABEL, Names, controller_of
from edgebed.operator.objects import is_resting
from edgebed.operator.plan import Delete, Observed, Plan, Refusal, Stop, Submit
from edgebed.operator.reconcile import reconcile
from edgebed.operator.settings import OperatorSettings

START = datetime(2030, 1, 1, tzinfo=UTC)
DAY_S = 86_400


def settings(**changes):
    given = {
        "controller": "http://controller:8080",
        "edgeNode": {"image": "edge-node:1"},
        "taskGenerator": {"image": "task-generator:1"},
        "trainer": {"image": "trainer:1"},
        "simulator": {"image": "simulator:1"},
    }
    return OperatorSettings.parse({**given, **changes})


def experiment(name="quick", uid="11111111-aaaa", methods=None, **spec) -> Any:
    return {
        "apiVersion": "edgebed.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name, "uid": uid, "generation": 1, "namespace": "lab"},
        "spec": {
            "backend": "kubernetes",
            "network": {
                "nodes": 3,
                "cores": 4,
                "coreFrequencyGHz": 3,
                "arrivalProbability": 0.5,
                "executionFailureRate": 0.1,
                "linkRateMBps": 20,
                "linkFailureRate": 0.01,
            },
            "workload": {"slotSeconds": 0.1, "slots": 10, "sizeKB": 100, "cyclesPerBit": 500, "deadlineSeconds": 1},
            "methods": methods or [{"name": "ratc", "policy": "ratc"}, {"name": "local", "policy": "local"}],
            "evaluation": {"episodes": 4},
            **spec,
        },
    }


LEARNED: list[dict[str, Any]] = [
    {"name": "ratc", "policy": "ratc"},
    {
        "name": "o2o",
        "collect": {"policy": "ratc", "episodes": 10},
        "offline": {"algorithm": "sac-cql", "updates": 20},
        "online": {"algorithm": "ppo", "episodes": 6},
    },
]


class World:
    """One namespace and one controller."""

    def __init__(self, item, **changes):
        self.experiment: Any = item
        self.settings, self.now = settings(**changes), START
        self.objects, self.pods, self.events, self.plans = {}, {}, [], []
        self.run: Any = None
        self.handed, self.refusal, self.refuses = False, None, None
        self.submitted, self.stopped = [], []
        self.log, self.results, self.warnings = (), None, ()
        self._uids = itertools.count(1)

    # What the operator sees and does

    @property
    def names(self):
        metadata = self.experiment["metadata"]
        return Names.of(metadata["name"], metadata["uid"])

    @property
    def status(self):
        return self.experiment.get("status", {})

    @property
    def phase(self):
        return self.status.get("phase")

    def condition(self, kind):
        return next(c for c in self.status["conditions"] if c["type"] == kind)

    def observed(self):
        return Observed(
            objects=tuple(copy.deepcopy(list(self.objects.values()))),
            pods=tuple(
                copy.deepcopy(pod)
                for pod in self.pods.values()
                if pod["metadata"]["labels"][UID_LABEL] == self.experiment["metadata"]["uid"]
            ),
            warnings=self.warnings,
            run=copy.deepcopy(self.run),
            handed=self.handed,
            refusal=self.refusal,
            log=self.log,
            results=self.results,
        )

    def plan(self) -> Plan:
        before = copy.deepcopy(self.experiment)
        plan = reconcile(self.experiment, self.observed(), self.now, self.settings)
        assert self.experiment == before  # it is told, and changes nothing
        return plan

    def look(self) -> Plan:
        plan = self.plan()
        self.plans.append(plan)
        for deletion in plan.delete:
            self._delete(deletion)
        for item in plan.apply:
            self._apply(item)
        for patch in plan.patch:
            self.objects[patch.kind, patch.name]["spec"] |= patch.body["spec"]
        for action in plan.runs:
            self._tell(action)
        if plan.status is not None and self.experiment is not None:
            Status.model_validate(plan.status)
            self.experiment["status"] = copy.deepcopy(dict(plan.status))
        self.events += plan.events
        return plan

    def settle(self, seconds=60.0, kubelet=True):
        """Looks as often as the operator would, for so long at most; returns when it wants to be left alone."""
        until = self.now + timedelta(seconds=seconds)
        for _ in range(500):
            if kubelet:
                self.kubelet()
            plan = self.look()
            if self.experiment is None or self.now >= until:
                return
            if plan.again_s is None:
                before = set(self.pods)
                if kubelet:
                    self.kubelet()
                if set(self.pods) == before:
                    return
                continue
            self.pass_s(min(plan.again_s, (until - self.now).total_seconds()))
        raise AssertionError(f"it never rests: {self.plans[-3:]}")

    def pass_s(self, seconds):
        self.now += timedelta(seconds=seconds)

    # What others do

    def kubelet(self, ready=True):
        """Pods as the workloads want them."""
        wanted: dict[str, Any] = {}
        for (kind, name), item in self.objects.items():
            if kind not in ("StatefulSet", "Deployment", "Job") or item["metadata"].get("deletionTimestamp"):
                continue
            if kind == "Job" and item.get("status", {}).get("conditions"):
                continue
            count = 0 if is_resting(item) else item["spec"].get("replicas", 1)
            wanted |= {f"{name}-{k}": item["spec"]["template"] for k in range(count)}
        for name in [name for name in self.pods if name not in wanted]:
            del self.pods[name]
        for name, template in wanted.items():
            if name in self.pods and self.pods[name]["metadata"]["labels"] != template["metadata"]["labels"]:
                del self.pods[name]  # of a predecessor of the same name
            if name not in self.pods:
                self.pods[name] = pod(name, template, next(self._uids), self.now, ready=ready)

    def collect_garbage(self):
        """What is owned by nobody who lives goes."""
        live = None if self.experiment is None else self.experiment["metadata"]["uid"]
        for key, item in list(self.objects.items()):
            controller = controller_of(item)
            if controller is not None and controller["kind"] == "Experiment" and controller["uid"] != live:
                del self.objects[key]

    def change(self, **spec):
        self.experiment["spec"] |= spec
        self.experiment["metadata"]["generation"] += 1

    def restart(self):
        """The operator's process is another."""
        self.handed, self.refusal = False, None

    def apply_anew(self, item):
        """Somebody deleted the experiment and applied one of the same name; nothing has been collected yet."""
        self.experiment, self.run, self.refusal, self.handed = item, None, None, False

    def _apply(self, item):
        key = item["kind"], item["metadata"]["name"]
        there = self.objects.get(key)
        if there is None:
            self.objects[key] = copy.deepcopy(dict(item))
            self.objects[key]["metadata"]["uid"] = f"uid-{next(self._uids)}"
            return
        owners = {reference["uid"] for reference in there["metadata"].get("ownerReferences", [])}
        ours = {reference["uid"] for reference in item["metadata"]["ownerReferences"]}
        assert owners <= ours, f"{key} has another owner"  # the API server refuses a second controller
        assert not there["metadata"].get("deletionTimestamp"), f"{key} is going"
        assert item["kind"] != "Job" or there["spec"]["template"] == item["spec"]["template"], (
            "a Job's pods never change"
        )
        self.objects[key] = _merged(there, item)
        assert holds(item, self.objects[key])

    def _delete(self, deletion: Delete):
        if deletion.kind == "Experiment":
            if self.experiment["metadata"]["uid"] == deletion.uid:
                self.experiment = None
                self.collect_garbage()
            return
        if self.objects[deletion.kind, deletion.name]["metadata"]["uid"] == deletion.uid:
            del self.objects[deletion.kind, deletion.name]

    def _tell(self, action):
        if isinstance(action, Stop):
            self.stopped.append(action.run)
            if self.run is not None:
                self.run["state"] = "stopped"
            return
        assert isinstance(action, Submit)
        assert action.run == self.names.run
        self.submitted.append((action.run, copy.deepcopy(action.document)))
        if self.refuses is not None:
            self.refusal = Refusal(*self.refuses)
            return
        self.handed, self.refusal = True, None
        if self.run is None or self.run["state"] != "running":
            self.run = {**(self.run or {}), "state": "running", "phase": None}


def pod(name, template, number, now, ready=True):
    condition = {"type": "Ready", "status": str(ready)}
    return {
        "metadata": {
            "name": name,
            "uid": f"pod-{number}",
            "labels": dict(template["metadata"]["labels"]),
            "creationTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "status": {"phase": "Running", "conditions": [condition], "containerStatuses": [{"state": {"running": {}}}]},
    }


def _merged(there, item):
    """As a server-side apply of ours: what we say wins, what we do not speak of stays."""
    if not (isinstance(there, dict) and isinstance(item, dict)):
        return copy.deepcopy(item)
    return {**there, **{key: _merged(there.get(key), value) for key, value in item.items()}}
