"""The plan of an episode, checked at the door and made ready: every request's bytes exist before the first slot begins."""

import math
import re
from dataclasses import dataclass

from edgebed.wire.generated import testbed_pb2 as pb

MAXIMUM_LEAD_S = 60.0
"""A start further away than this is a mistake of a clock or of a unit."""

_ADDRESS = re.compile(r"http://[^/\s]+:\d{1,5}")


class Refused(ValueError):
    """A plan that is not allowed, or not now; the message says what would be."""

    def __init__(self, reason: str, status: int = 422) -> None:
        super().__init__(reason)
        self.status = status
        """What HTTP calls it."""


@dataclass(frozen=True)
class Hand:
    """One request: the tasks that one node gets in one slot."""

    node: int
    tasks: int
    body: bytes
    """The `Arrivals` message."""


@dataclass(frozen=True)
class Plan:
    """What to emit, and when."""

    run: str
    episode: int
    slot_s: float
    starts_at_unix_ns: int
    addresses: tuple[str, ...]
    """Of node 0, 1, and so on."""
    slots: tuple[tuple[Hand, ...], ...]
    """What each slot hands over, a request per node that has a task in it."""

    @property
    def tasks(self) -> int:
        """Tasks of the whole episode."""
        return sum(hand.tasks for slot in self.slots for hand in slot)


def read_plan(message: pb.EpisodePlan, now_unix_ns: int) -> Plan:
    """The plan of a message. Raises Refused.

    Tasks carry neither run nor episode there, because those of the plan hold for all of them.
    """
    _check(message, now_unix_ns)
    at: dict[tuple[int, int], pb.Arrivals] = {}
    seen: set[int] = set()
    for task in message.tasks:
        _check_task(task, message, seen)
        task.run, task.episode = message.run, message.episode
        at.setdefault((task.slot, task.source), pb.Arrivals()).tasks.append(task)
    slots: list[list[Hand]] = [[] for _ in range(message.slots)]
    for (slot, node), arrivals in sorted(at.items(), key=lambda item: item[0]):
        slots[slot].append(Hand(node, len(arrivals.tasks), arrivals.SerializeToString()))
    return Plan(
        run=message.run,
        episode=message.episode,
        slot_s=message.slot_s,
        starts_at_unix_ns=message.starts_at_unix_ns,
        addresses=tuple(message.addresses),
        slots=tuple(tuple(hands) for hands in slots),
    )


def _check(message: pb.EpisodePlan, now_unix_ns: int) -> None:
    if not 0 < len(message.run) <= 200:
        raise Refused("run: give the name of the run, at most 200 characters")
    if not (math.isfinite(message.slot_s) and 0 < message.slot_s <= 3600):
        raise Refused(f"slotS: {message.slot_s!r} is not allowed; give the length of a slot, over 0 and at most 3600 s")
    if not 0 < message.slots <= 1_000_000:
        raise Refused(f"slots: {message.slots} is not allowed; give a number from 1 to 1000000")
    if not 0 < len(message.addresses) <= 1000:
        raise Refused(f"addresses: {len(message.addresses)} are given; give one for each node, at most 1000")
    for node, address in enumerate(message.addresses):
        if not _ADDRESS.fullmatch(address):
            raise Refused(f"addresses[{node}]: {address!r:.80} is not allowed; give http://HOST:PORT")
    lead_s = (message.starts_at_unix_ns - now_unix_ns) / 1e9
    if not 0 < lead_s <= MAXIMUM_LEAD_S:
        raise Refused(
            f"startsAtUnixNs: {lead_s:.3f} s from now is not allowed; give an instant in the next {MAXIMUM_LEAD_S:g} s, "
            "and see to it that the clocks of the machines agree"
        )


def _check_task(task: pb.TaskHeader, message: pb.EpisodePlan, seen: set[int]) -> None:
    if task.slot >= message.slots:
        raise Refused(f"task {task.number}: slot {task.slot} is not one of the {message.slots} slots")
    if task.source >= len(message.addresses):
        raise Refused(f"task {task.number}: source {task.source} has no address; {len(message.addresses)} are given")
    if task.number in seen:
        raise Refused(f"task {task.number}: is given twice")
    seen.add(task.number)
    for name in ("size_bits", "cycles", "deadline_s"):
        if not (math.isfinite(value := getattr(task, name)) and value > 0):
            raise Refused(f"task {task.number}: {name} {value!r} is not allowed; give a finite number over 0")
