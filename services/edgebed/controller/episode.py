"""One episode on paper: what is to be emitted, and what must be in the log when it is over. Pure values, no service.

The tasks are those of the workload's arrays, numbered in the order of slot and source as the simulator numbers them.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgebed.controller.ingest import Row
from edgebed.experiment.errors import EdgebedError
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.workload import Workload
from edgebed.wire.generated import testbed_pb2 as pb

NODE_LOST = "nodeLost"
SHOWN = 20
"""Task numbers that a message lists."""


class TasksMissing(EdgebedError):
    """After an episode the log does not account for every task. Nothing that follows from it can be relied on."""


def plan_of(
    tasks: Workload, run: str, episode: int, starts_at_unix_ns: int, addresses: Sequence[str]
) -> pb.EpisodePlan:
    """What the generator is given: the one episode of `tasks`. Run and episode of the plan hold for every task."""
    plan = pb.EpisodePlan(
        run=run, episode=episode, slot_s=tasks.slot_s, slots=tasks.slots, starts_at_unix_ns=starts_at_unix_ns
    )
    plan.addresses.extend(addresses)
    for number, (slot, source) in enumerate(np.argwhere(tasks.arrives[0]).tolist()):
        at = (0, slot, source)
        plan.tasks.add(
            number=number,
            slot=slot,
            source=source,
            size_bits=float(tasks.size_bits[at]),
            cycles=float(tasks.cycles[at]),
            deadline_s=float(tasks.deadline_s[at]),
            arrived_s=slot * tasks.slot_s,
            u_transmission=float(tasks.u_transmission[at]),
            u_execution=float(tasks.u_execution[at]),
        )
    return plan


def longest_stages_s(plan: pb.EpisodePlan, network: Network) -> float:
    """Longest transmission and execution that a task can have: while there are tasks, one of them ends within this."""
    others = ~np.eye(network.nodes, dtype=np.bool_)
    transmission = max((task.size_bits for task in plan.tasks), default=0.0) / float(
        network.link_rate_bits_per_s[others].min()
    )
    return transmission + max((task.cycles for task in plan.tasks), default=0.0) / float(network.capacity_hz.min())


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


def account(plan: pb.EpisodePlan, counts: Mapping[str, int], lost: Sequence[int], reasons: Sequence[str]) -> None:
    """Created = succeeded + dropped + failed + unfinished, or TasksMissing with the missing tasks and what is known of why."""
    created, ended = len(plan.tasks), sum(counts.values())
    if created == ended and not lost:
        return
    sums = " + ".join(f"{counts.get(name, 0)} {name}" for name in ("succeeded", "dropped", "failed", "unfinished"))
    numbers = ", ".join(str(number) for number in lost[:SHOWN]) + (", ..." if len(lost) > SHOWN else "")
    why = f" ({'; '.join(reasons)})" if reasons else ""
    raise TasksMissing(
        f"episode {plan.episode} of run {plan.run}: {created} tasks were created, but the log has {ended} = {sums}; missing "
        f"are tasks {numbers or 'none'}{why}. Give the same command again: the episode is played anew"
    )
