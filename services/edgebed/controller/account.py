"""What is known of an episode when it is over: the account of its tasks, and what is kept of it. Pure values, no service."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgebed.controller.ingest import Row
from edgebed.experiment.errors import EdgebedError
from edgebed.experiment.fidelity import LATENESS_SHARE
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.wire.generated import testbed_pb2 as pb

NODE_LOST = "nodeLost"
SHOWN = 20
"""Task numbers that a message lists."""

Stats = Mapping[int, Mapping[str, Any]]
"""What each node answered to the end of the episode."""
_KEPT = ("probes", "decisionSeconds", "arrivalLatenessSeconds", "serviceLatenessSeconds")


class TasksMissing(EdgebedError):
    """After an episode the log does not account for every task. Nothing that follows from it can be relied on."""


def missing(plan: pb.EpisodePlan, logged: Iterable[int]) -> list[int]:
    """Numbers of the plan's tasks that the log does not have."""
    return sorted({task.number for task in plan.tasks} - set(logged))


def lost_rows(plan: pb.EpisodePlan, numbers: Iterable[int], at_s: float, version: int) -> list[Row]:
    """Rows of tasks that went away with their node, failed `at_s` after the episode's start, or as they arrived if later.

    Where they were to be executed went away with the node, too; they are logged at their source.
    """
    wanted = set(numbers)
    return [
        (
            plan.run,
            plan.episode,
            task.number,
            task.slot,
            task.source,
            task.source,
            task.source,
            int(TaskState.FAILED),
            task.size_bits,
            task.cycles,
            task.deadline_s,
            task.arrived_s,
            None,
            None,
            None,
            None,
            max(at_s, task.arrived_s),
            task.u_transmission,
            task.u_execution,
            None,
            version,
            NODE_LOST,
        )
        for task in plan.tasks
        if task.number in wanted
    ]


def account(plan: pb.EpisodePlan, counts: Mapping[str, int], absent: Sequence[int], reasons: Sequence[str]) -> None:
    """Created = succeeded + dropped + failed + unfinished, or TasksMissing with the missing tasks and what is known of why."""
    created, ended = len(plan.tasks), sum(counts.values())
    if created == ended and not absent:
        return
    sums = " + ".join(f"{counts.get(name, 0)} {name}" for name in ("succeeded", "dropped", "failed", "unfinished"))
    numbers = ", ".join(str(number) for number in absent[:SHOWN]) + (", ..." if len(absent) > SHOWN else "")
    why = f" ({'; '.join(reasons)})" if reasons else ""
    raise TasksMissing(
        f"episode {plan.episode} of run {plan.run}: {created} tasks were created, but the log has {ended} = {sums}; missing "
        f"are tasks {numbers or 'none'}{why}. Give the same command again: the episode is played anew"
    )


def reasons(emitted: Mapping[str, Any], stats: Stats) -> list[str]:
    """Why tasks may be missing, as far as anybody has said."""
    said = [
        f"node {failed['node']} did not take {failed['tasks']} tasks: {failed['reason']}"
        for failed in emitted.get("failedNodes", [])
    ]
    for node, found in stats.items():
        if found.get("fault"):
            said.append(f"node {node}: {found['fault']}")
        said += [f"node {node}: {told}" for told in found.get("unconfirmed", [])]
        if not found.get("recordsDelivered", True):
            said.append(f"node {node} still has {found.get('recordsUnsent')} records")
    return said


def result_of(
    plan: pb.EpisodePlan,
    counts: Mapping[str, int],
    emitted: Mapping[str, Any],
    stats: Stats,
    lost_tasks: Sequence[int],
    lost_nodes: Mapping[int, str],
) -> dict[str, Any]:
    """What is kept of an episode beside its tasks, as JSON."""
    late = [float(value) for value in emitted.get("slotLatenessSeconds", [])]
    probes = {node: found["probes"] for node, found in stats.items()}
    medians = [p["latencySeconds"]["p50"] for p in probes.values() if p["latencySeconds"]["p50"] is not None]
    return {
        "tasks": len(plan.tasks),
        "counts": dict(counts),
        "slotLatenessSeconds": late,
        "reliable": max(late, default=0.0) <= LATENESS_SHARE * plan.slot_s,
        "probes": {str(node): p["count"] for node, p in probes.items()},
        "probeBytes": sum(p["bytes"] for p in probes.values()),
        "probeLatencyP50Seconds": sum(medians) / len(medians) if medians else None,
        "nodes": {str(node): {name: found[name] for name in _KEPT if name in found} for node, found in stats.items()},
        "priorities": sorted({str(found.get("priority", "usual")) for found in stats.values()}),
        "awake": all(found.get("awake", False) for found in stats.values()),
        "lostTasks": list(lost_tasks),
        "lostNodes": {str(node): reason for node, reason in lost_nodes.items()},
    }
