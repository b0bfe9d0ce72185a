"""Emits one plan: at the start of every slot, all its requests at once, over connections that are open by then.

The schedule is absolute: slot t is emitted at start + t * slot, whatever happened to the slots before it, so lateness does not
add up. How late the last request of a slot was handed to its connection is the slot's lateness.

A node that does not answer costs the others nothing: every request waits for itself, and what failed is counted under the
node's index with the last reason. Nothing is sent twice, because a task that arrives late is another task.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

from edgebed.emulation.clock import Clock, Timer
from edgebed.live.documents import TaskGeneratorSettings
from edgebed.live.in_use import InUse
from edgebed.metrics import Histogram
from edgebed.task_generator.lateness import quantiles
from edgebed.task_generator.plan import Hand, Plan
from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerError

ARRIVALS = "/v1/arrivals"


class Emission:
    """One episode, from the moment its plan is accepted. Everything happens on one event loop."""

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        peers: list[Peer],
        histogram: Histogram,
        settings: InUse[TaskGeneratorSettings],
    ) -> None:
        """`peers` are the nodes, in order; every slot's lateness is added to the histogram, too."""
        self.plan = plan
        self._settings = settings
        self._clock, self._peers, self._histogram = clock, peers, histogram
        self._begins = clock.from_unix_ns(plan.starts_at_unix_ns)
        self._requests: set[asyncio.Task[None]] = set()
        self._timer: Timer | None = None
        self._next = 0
        self.stopped = False
        self.emitted = 0
        """Tasks that were handed over, whether or not the node took them."""
        self.failed: Counter[int] = Counter()
        """Tasks that a node did not take, by node."""
        self.reasons: dict[int, str] = {}
        """The last reason, by node."""
        self.lateness_s: list[float] = []
        """Of every slot with a task so far, from its start to the moment its last request was handed over."""

    def start(self) -> None:
        """Sets the first slot's timer."""
        self._schedule()

    def stop(self) -> None:
        """Emits nothing any more."""
        self.stopped = True
        if self._timer is not None:
            self._timer.cancel()
        for request in list(self._requests):
            request.cancel()

    @property
    def done(self) -> bool:
        """Whether nothing is left to be emitted, and every request was answered or given up."""
        return (self.stopped or self._next >= len(self.plan.slots)) and not self._requests

    def progress(self) -> dict[str, Any]:
        """How far it is, as JSON."""
        return {
            "run": self.plan.run,
            "episode": self.plan.episode,
            "slot": self._next,
            "slots": len(self.plan.slots),
            "emitted": self.emitted,
            "total": self.plan.tasks,
            "latenessSeconds": quantiles(self.lateness_s),
            "slotLatenessSeconds": [round(late, 7) for late in self.lateness_s],
            "failedTasks": self.failed.total(),
            "failedNodes": [
                {"node": node, "tasks": count, "reason": self.reasons[node]}
                for node, count in sorted(self.failed.items())
            ],
            "done": self.done,
            "stopped": self.stopped,
        }

    def _schedule(self) -> None:
        """The next slot in which something arrives; empty ones need no timer."""
        while self._next < len(self.plan.slots) and not self.plan.slots[self._next]:
            self._next += 1
        if self._next < len(self.plan.slots):
            self._timer = self._clock.at(self._begins + self._next * self.plan.slot_s, self._emit)

    def _emit(self) -> None:
        hands, start = self.plan.slots[self._next], self._begins + self._next * self.plan.slot_s
        loop = asyncio.get_running_loop()
        handed = _Slot(start, len(hands))
        for hand in hands:
            request = loop.create_task(self._hand_over(hand, handed))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)
        self._next += 1
        self._schedule()

    async def _hand_over(self, hand: Hand, slot: "_Slot") -> None:
        slot.left -= 1
        if slot.left == 0:  # the tasks of a slot run in turn, up to the first wait of each: this is the last request
            late = self._clock.now() - slot.start
            self.lateness_s.append(late)
            self._histogram.add(late)
        self.emitted += hand.tasks
        try:
            limit_s = self._settings.values.hand_over_timeout_seconds
            await self._peers[hand.node].post(ARRIVALS, hand.body, timeout_s=limit_s)
        except PeerError as error:
            self.failed[hand.node] += hand.tasks
            self.reasons[hand.node] = str(error)


@dataclass
class _Slot:
    """One that is being emitted."""

    start: float
    """The clock's instant."""
    left: int
    """Requests that have not been handed over yet."""
