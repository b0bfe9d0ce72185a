"""One look at one experiment: what it says, what is known of it, and how its new status is put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from edgebed.operator.conditions import Condition, find, holds, instant, merged, stamp
from edgebed.operator.demand import START_DEADLINE_S
from edgebed.operator.names import Names
from edgebed.operator.plan import Event, Item, Observed, Plan, Stop
from edgebed.operator.settings import OperatorSettings
from edgebed.operator.trouble import is_ready

Status = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """What a decision is made from."""

    experiment: Item
    observed: Observed
    now: datetime
    settings: OperatorSettings
    names: Names

    @classmethod
    def of(cls, experiment: Item, observed: Observed, now: datetime, settings: OperatorSettings) -> "Case":
        """Of an experiment as the API server has it."""
        metadata = experiment["metadata"]
        return cls(experiment, observed, now, settings, Names.of(metadata["name"], metadata["uid"]))

    # What the experiment says

    @property
    def spec(self) -> Mapping[str, Any]:
        """Its specification."""
        found: Mapping[str, Any] = self.experiment.get("spec") or {}
        return found

    @property
    def status(self) -> Mapping[str, Any]:
        """What was known at the last look."""
        found: Mapping[str, Any] = self.experiment.get("status") or {}
        return found

    @property
    def conditions(self) -> Sequence[Mapping[str, Any]]:
        """Of the status."""
        return self.status.get("conditions") or []

    @property
    def generation(self) -> int:
        """Rises with every change of the specification."""
        return int(self.experiment["metadata"].get("generation", 1))

    @property
    def suspended(self) -> bool:
        """Whether it shall rest."""
        return bool(self.spec.get("suspend", False))

    @property
    def ended(self) -> str | None:
        """Succeeded or Failed; None while it may go on."""
        return next((kind for kind in ("Succeeded", "Failed") if holds(self.conditions, kind)), None)

    @property
    def begun(self) -> bool:
        """Whether there was ever a run: from then on the document stays as it is."""
        return bool(self.status.get("run")) or self.observed.run is not None

    # Time

    @property
    def since(self) -> datetime:
        """When work on it began, or went on after it was suspended: both deadlines count from here."""
        progressing = find(self.conditions, "Progressing")
        if progressing is None or progressing.get("status") != "True":
            return self.now
        return instant(progressing["lastTransitionTime"])

    def left_s(self, field: str, default: int | None = None) -> float | None:
        """Seconds until a deadline of the specification; None without one."""
        limit = self.spec.get(field, default)
        return None if limit is None else float(limit) - (self.now - self.since).total_seconds()

    @property
    def start_left_s(self) -> float:
        """Until it must be at work."""
        left = self.left_s("startDeadlineSeconds", START_DEADLINE_S)
        return float(START_DEADLINE_S) if left is None else left

    @property
    def active_left_s(self) -> float | None:
        """Until it must be over."""
        return self.left_s("activeDeadlineSeconds")

    # What there is

    def ready(self, component: str) -> int:
        """Pods of a component that serve."""
        of = "app.kubernetes.io/component"
        pods = [pod for pod in self.observed.pods if (pod["metadata"].get("labels") or {}).get(of) == component]
        return sum(is_ready(pod) for pod in pods)

    @property
    def run_state(self) -> str | None:
        """What the controller says of the run."""
        return None if self.observed.run is None else self.observed.run.get("state")

    # What comes out

    def plan(
        self, plan: Plan, conditions: Sequence[Condition], changes: Mapping[str, Any], events: Sequence[Event] = ()
    ) -> Plan:
        """The plan with the status that follows; fields that are not in `changes` stay as they are."""
        kept = {key: value for key, value in self.status.items() if key not in ("conditions", "observedGeneration")}
        status = {
            **kept,
            **changes,
            "observedGeneration": self.generation,
            "conditions": merged(self.conditions, conditions, self.generation, self.now),
        }
        status = {key: value for key, value in status.items() if value is not None}
        news = None if status == dict(self.status) else status
        return replace(plan, status=news, events=(*plan.events, *events))

    def fail(self, reason: str, message: str, ended_at: str | None = None) -> Plan:
        """It is over, and did not come to its end."""
        conditions = [
            Condition("Ready", False, "Failed", "the experiment has failed"),
            Condition("Progressing", False, "Failed", "the experiment has failed"),
            Condition("Succeeded", False, reason, message),
            Condition("Failed", True, reason, message),
        ]
        stops = (Stop(self.names.run),) if self.run_state == "running" else ()
        changes = {"phase": "Failed", "endedAt": ended_at or stamp(self.now)}
        return self.plan(Plan(runs=stops, again_s=1.0), conditions, changes, [Event("Warning", reason, message)])

    def is_news(self, kind: str, reason: str, message: str) -> bool:
        """Whether a condition said something else before."""
        known = find(self.conditions, kind)
        return known is None or (known.get("reason"), known.get("message")) != (reason, message)
