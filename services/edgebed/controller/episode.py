"""One episode on paper: what is to be emitted, and how long it can take. Pure values, no service.

The tasks are those of the workload's arrays, numbered in the order of slot and source as the simulator numbers them.
"""

from collections.abc import Sequence

import numpy as np

from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.workload import Workload
from edgebed.wire.generated import testbed_pb2 as pb


def plan_of(
    tasks: Workload, run: str, episode: int, starts_at_unix_ns: int, addresses: Sequence[str]
) -> pb.EpisodePlan:
    """What the generator is given: the one episode of `tasks`. Run and episode of the plan hold for every task."""
    plan = pb.EpisodePlan(
        run=run, episode=episode, slot_s=tasks.slot_s, slots=tasks.slots, starts_at_unix_ns=starts_at_unix_ns
    )
    plan.addresses.extend(addresses)
    profile = tasks.profile
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
            profile=0 if profile is None else int(profile[at]),
        )
    return plan


def longest_stages_s(tasks: Workload, network: Network) -> float:
    """Longest transmission plus execution that a task can have: while there are tasks, one of them ends within this."""
    there = tasks.arrives
    others = ~np.eye(network.nodes, dtype=np.bool_)
    transmission = tasks.size_bits[there].max(initial=0.0) / network.link_rate_bits_per_s[others].min()
    return float(transmission + tasks.cycles[there].max(initial=0.0) / network.capacity_hz.min())
