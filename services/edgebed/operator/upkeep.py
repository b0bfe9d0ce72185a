"""Which objects to make, to bring back, to leave alone and to take away, so that there is what an experiment needs.

An object under one of our names is ours when this experiment controls it, or when it bears this experiment's uid. One of an
experiment that had the same name before is in the way, and goes. Any other belongs to somebody, and is never touched.

While a run is at work its pods are not replaced because the operator's settings are others by now: what differs from how
it was built then is brought back, what would be built otherwise now waits until the experiment is suspended, or over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edgebed.operator.drift import holds
from edgebed.operator.names import GROUP, UID_LABEL, Names, controller_of
from edgebed.operator.objects import BUILT_FROM, SWITCHES, is_resting, resting
from edgebed.operator.plan import Delete, Item, Observed, Patch


@dataclass
class Upkeep:
    """What has to be done to the objects of an experiment."""

    apply: list[Item] = field(default_factory=list)
    delete: list[Delete] = field(default_factory=list)
    patch: list[Patch] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    """What was changed by others, as `StatefulSet o2o-node`."""
    missing: list[str] = field(default_factory=list)
    """What was not there."""
    waiting: list[str] = field(default_factory=list)
    """What has to go first."""
    taken: list[str] = field(default_factory=list)
    """What belongs to somebody else."""


def upkeep(wanted: Sequence[Item], observed: Observed, names: Names, *, at_work: bool) -> Upkeep:
    """For an experiment that needs the objects `wanted`; `at_work` while its run goes on."""
    found = Upkeep()
    kept = {(item["kind"], item["metadata"]["name"]) for item in wanted}
    for item in observed.objects:
        if (item["kind"], item["metadata"]["name"]) not in kept and belongs(item, names) and not _going(item):
            found.delete.append(_deletion(item))  # needed before the specification was changed
    for item in wanted:
        _look_at(item, observed.object(item["kind"], item["metadata"]["name"]), names, at_work, found)
    return found


def rest(observed: Observed, names: Names, kinds: Sequence[str] = tuple(SWITCHES)) -> list[Patch]:
    """What makes the experiment's workloads give up their pods; those that are over, or do so already, are left alone."""
    return [
        Patch(item["kind"], item["metadata"]["name"], resting(item["kind"]))
        for item in observed.objects
        if item["kind"] in kinds
        and belongs(item, names)
        and not _going(item)
        and not is_resting(item)
        and not _over(item)
    ]


def belongs(item: Item, names: Names) -> bool:
    """Whether an object is this experiment's."""
    controller = controller_of(item)
    if controller is not None:
        return bool(controller.get("uid") == names.uid)
    return bool((item["metadata"].get("labels") or {}).get(UID_LABEL) == names.uid)


def job_ended(item: Item, how: str) -> Item | None:
    """The condition with which a Job ended so (Complete or Failed)."""
    conditions: list[Item] = item.get("status", {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == how and c.get("status") == "True"), None)


def _look_at(item: Item, there: Item | None, names: Names, at_work: bool, found: Upkeep) -> None:
    called = f"{item['kind']} {item['metadata']['name']}"
    if there is None:
        found.apply.append(item)
        found.missing.append(called)
    elif _precedes(there, names):
        found.waiting.append(called)
        if not _going(there):
            found.delete.append(_deletion(there))
    elif not belongs(there, names):
        found.taken.append(called)
    elif _going(there):
        found.waiting.append(called)
    elif _built_from(there) == _built_from(item):
        if not holds(item, there):
            found.apply.append(item)
            if not is_resting_workload(there):  # else it is resumed
                found.repaired.append(called)
    elif at_work:
        pass  # built by other settings; it stays as it is until the run is over
    elif item["kind"] == "Job":  # what a Job runs cannot be changed
        found.delete.append(_deletion(there))
        found.waiting.append(called)
    else:
        found.apply.append(item)


def is_resting_workload(item: Item) -> bool:
    """Whether it is a workload that has no pods because it was told so."""
    return item["kind"] in SWITCHES and is_resting(item)


def _precedes(item: Item, names: Names) -> bool:
    """Whether an object is of an experiment that had this name before."""
    controller = controller_of(item) or {}
    same = controller.get("kind") == "Experiment" and controller.get("name") == names.experiment
    ours = str(controller.get("apiVersion", "")).startswith(f"{GROUP}/")
    return same and ours and controller.get("uid") != names.uid


def _built_from(item: Item) -> Any:
    return (item["metadata"].get("annotations") or {}).get(BUILT_FROM)


def _going(item: Item) -> bool:
    return bool(item["metadata"].get("deletionTimestamp"))


def _over(item: Item) -> bool:
    return item["kind"] == "Job" and any(job_ended(item, how) is not None for how in ("Complete", "Failed"))


def _deletion(item: Item) -> Delete:
    return Delete(item["kind"], item["metadata"]["name"], item["metadata"]["uid"])
