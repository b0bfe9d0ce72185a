"""Time on a node: one clock per process tells it, and wakes the process at instants.

    clock = Clock(asyncio.get_running_loop())
    clock.at(clock.now() + 0.0125, ended)

An instant is seconds of CLOCK_MONOTONIC as a float. A call is never made early, and calls are made in the order of their
instants, those of one instant in the order in which they were asked for. How late each was made is measured.

Not all that is due is equally urgent. A patient call (a piece in the middle of a transfer) waits until no other is due, so
that the end of one transfer is not held up by the middle of ten others. For an exact call (the last byte of a transfer) the
process wakes a little ahead and watches the clock, because waking takes as long as a third of the error that is allowed; and it
goes before other nodes then (`priority`).

Between processes an instant travels as Unix nanoseconds. Wall clocks jump and are slewed, so it is mapped to the clock of
the process once, when it is received.
"""

import asyncio
import heapq
import os
import time
from collections.abc import Callable

from edgebed.emulation.alarm import Alarm, make_alarm
from edgebed.emulation.lateness import Lateness
from edgebed.emulation.priority import Precedence

WATCH_S = 70e-6
"""How long before an exact call the process wakes; what a wake-up takes, most of the time."""
SOON_S = 0.002
"""How long before an exact call it takes precedence, if it sleeps until then."""


class Timer:
    """A call that was asked for."""

    __slots__ = ("_asked_at", "_call", "instant", "wakes_at")

    def __init__(self, instant: float, call: Callable[[], None], asked_at: float, wakes_at: float) -> None:
        self.instant, self.wakes_at = instant, wakes_at
        self._asked_at = asked_at
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """The call is not made any more; nothing happens when it has been made."""
        self._call = None

    @property
    def pending(self) -> bool:
        """Whether the call is still to be made."""
        return self._call is not None

    def _take(self) -> Callable[[], None] | None:
        call, self._call = self._call, None
        return call


_Heap = list[tuple[float, int, Timer]]


class Clock:
    """The clock of this process, on its event loop. Only that loop's thread may use it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        alarm: Callable[[asyncio.AbstractEventLoop, Callable[[], None]], Alarm] = make_alarm,
        precedence: Precedence | None = None,
    ) -> None:
        """On the running loop if none is given; `precedence` is the process's, one of its own if none is given."""
        self._loop = loop or asyncio.get_running_loop()
        self._urgent: _Heap = []
        self._patient: _Heap = []
        self._asked = 0
        self._armed = float("inf")
        self._closed = False
        self._alarm = alarm(self._loop, self._wake)
        self.precedence = precedence or Precedence()
        """The process's; it has an effect once it was taken."""
        self.phase = int.from_bytes(os.urandom(2), "big") / 2**16
        """From 0 to 1, another one in every process: what all do at regular intervals, they should not do all at once."""
        self.lateness = Lateness()
        """Of all calls but the patient ones."""

    def now(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def at(self, instant: float, call: Callable[[], None], *, patient: bool = False, exact: bool = False) -> Timer:
        """Calls back at an instant, from the event loop; soon for one that has passed, but never within this call."""
        timer = Timer(instant, call, self.now(), instant - WATCH_S if exact else instant)
        self._asked += 1
        heapq.heappush(self._patient if patient else self._urgent, (instant, self._asked, timer))
        if timer.wakes_at < self._armed:
            self._arm(timer)
        return timer

    def catch_up(self) -> float:
        """Makes all urgent calls that are due, and returns the instant up to which that is so.

        For whoever is about to put an event of its own in order with them.
        """
        now = self.now()
        while self._urgent and self._urgent[0][0] <= now:
            self._make(self._urgent, now)
        return now

    def from_unix_ns(self, unix_ns: int) -> float:
        """The instant of a wall clock time."""
        wall_ns, own_ns = _both_clocks()
        return (own_ns + (unix_ns - wall_ns)) / 1e9

    def to_unix_ns(self, instant: float) -> int:
        """The wall clock time of an instant."""
        wall_ns, own_ns = _both_clocks()
        return wall_ns + round(instant * 1e9) - own_ns

    def close(self) -> None:
        """No call is made any more."""
        self._closed = True
        self._armed = -float("inf")  # what is asked for from now on arms nothing
        self._urgent.clear()
        self._patient.clear()
        self._alarm.close()

    def _wake(self) -> None:
        self._armed = -float("inf")  # until all that is due has been called: arming each time would be wasted
        try:
            while True:
                now = self.catch_up()
                if self._urgent and self._urgent[0][2].wakes_at <= now:
                    self._watch(self._urgent[0][2])
                elif self._patient and self._patient[0][0] <= now:
                    self._make(self._patient, now)
                else:
                    break
        finally:
            self._rearm()

    def _watch(self, timer: Timer) -> None:
        """Until an instant that is about to come."""
        if not timer.pending:
            self._drop_cancelled(self._urgent)
            return
        now, instant = self.now, timer.instant
        while now() < instant:
            pass

    def _make(self, heap: _Heap, now: float) -> None:
        """The first call of a heap. What it raises is the loop's to report, as for its own timers."""
        instant, _, timer = heapq.heappop(heap)
        call = timer._take()
        if call is None:
            return
        if heap is self._urgent:
            self.lateness.add(now - max(instant, timer._asked_at))  # an instant in the past is not the clock's fault
        try:
            call()
        except Exception as error:
            self._loop.call_exception_handler({"message": "a call of the clock failed", "exception": error})

    def _rearm(self) -> None:
        if self._closed:
            return
        self._armed = float("inf")
        for heap in (self._urgent, self._patient):
            self._drop_cancelled(heap)
            if heap and heap[0][2].wakes_at < self._armed:
                self._arm(heap[0][2])
        if not (self._urgent or self._patient):
            self.precedence.at_once(self, wanted=False)

    @staticmethod
    def _drop_cancelled(heap: _Heap) -> None:
        while heap and not heap[0][2].pending:
            heapq.heappop(heap)

    def _arm(self, timer: Timer) -> None:
        self._armed = timer.wakes_at
        exact = timer.wakes_at < timer.instant
        self.precedence.at_once(self, wanted=exact and timer.instant - self.now() < SOON_S)
        self._alarm.set(timer.wakes_at)


def _both_clocks() -> tuple[int, int]:
    """Wall clock and CLOCK_MONOTONIC at one moment, in nanoseconds: the closest of a few readings."""
    best = None
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, wall, (before + after) // 2)
    assert best is not None
    return best[1], best[2]
