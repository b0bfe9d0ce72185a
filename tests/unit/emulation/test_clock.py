"""The clock: never early, in order, and honest about its lateness. Upper bounds on time are for a loaded machine: seconds."""

import asyncio
import time

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebed.emulation.alarm import LoopAlarm, TimerfdAlarm, make_alarm
from edgebed.emulation.clock import Clock
from edgebed.emulation.lateness import Lateness
from edgebed.emulation.priority import Precedence

LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}
ALARMS = {"timerfd": TimerfdAlarm, "loop": LoopAlarm}

orders = st.lists(
    st.tuples(
        st.floats(-0.001, 0.015),  # seconds from now
        st.sampled_from(["usual", "patient", "exact"]),
        st.booleans(),  # cancelled
    ),
    max_size=25,
)


@pytest.fixture(params=LOOPS, name="run", scope="module")
def _run(request):
    """Runs a coroutine on one kind of loop."""
    return LOOPS[request.param]


@pytest.fixture(params=ALARMS, name="alarm", scope="module")
def _alarm(request):
    return ALARMS[request.param]


async def passed(clock, instant):
    """Returns after the clock's instant, without using the clock."""
    while clock.now() < instant:
        await asyncio.sleep(0.002)


@settings(max_examples=20, deadline=None)
@given(orders=orders)
def test_calls_are_made_once_in_order_and_never_early(run, alarm, orders):
    """Whatever was asked for, in whatever order; cancelled ones are not made."""

    async def main():
        clock = Clock(alarm=alarm)
        begin = clock.now()
        made, timers = [], []
        for number, (after_s, kind, _) in enumerate(orders):
            instant = begin + after_s

            def call(number=number, instant=instant):
                assert clock.now() >= instant
                made.append(number)

            timers.append(clock.at(instant, call, patient=kind == "patient", exact=kind == "exact"))
        assert made == []  # not within the call that asks
        for timer, (_, _, cancelled) in zip(timers, orders, strict=True):
            if cancelled:
                timer.cancel()
        wanted = {k for k, order in enumerate(orders) if not order[2]}
        until = begin + 10
        while set(made) != wanted and clock.now() < until:
            await asyncio.sleep(0.002)
        await passed(clock, begin + 0.016)
        assert sorted(made) == sorted(wanted)
        for patient in (True, False):
            mine = [k for k in made if (orders[k][1] == "patient") is patient]
            assert mine == sorted(mine, key=lambda k: (begin + orders[k][0], k))
        assert not any(timer.pending for timer in timers)
        clock.close()

    run(main())


def test_patient_calls_wait_for_the_others(run):
    """Of what is due together, the patient come last, even those that were due first."""

    async def main():
        clock = Clock()
        made = []
        now = clock.now()
        clock.at(now + 0.001, lambda: made.append("patient"), patient=True)
        clock.at(now + 0.002, lambda: made.append("usual"))
        clock.at(now + 0.003, lambda: made.append("exact"), exact=True)
        while clock.now() < now + 0.004:  # nothing is called while the loop is busy
            pass
        await passed(clock, now + 0.03)
        clock.close()
        return made

    assert run(main()) == ["usual", "exact", "patient"]


class ClockByHand(Clock):
    """Its time goes on by a microsecond with each look at it, and by as much as the test says."""

    def __init__(self, **options):
        self.now_s = 100.0
        super().__init__(alarm=self._own_alarm, **options)

    def now(self):
        self.now_s += 1e-6
        return self.now_s

    def ring(self):
        """The alarm, at the instant that it was set to."""
        self.now_s = self.set_to
        self.wake()

    def _own_alarm(self, _loop, wake):
        self.wake = wake
        return self

    def set(self, instant):
        self.set_to = instant


def test_an_exact_call_takes_precedence_shortly_before():
    """Not long before, and not any more once it has been made."""

    class Watched(Precedence):
        wanted = False

        def at_once(self, reason, *, wanted):
            super().at_once(reason, wanted=wanted)
            self.wanted = wanted

    async def main():
        precedence = Watched()
        clock = ClockByHand(precedence=precedence)
        seen = []
        now = clock.now()
        clock.at(now + 0.1, lambda: seen.append(precedence.wanted), exact=True)
        seen.append(precedence.wanted)
        clock.at(now + 0.099, lambda: seen.append(precedence.wanted))
        clock.ring()
        clock.ring()
        seen.append(precedence.wanted)
        return seen

    assert asyncio.run(main()) == [False, False, True, False]


def test_a_call_may_ask_for_more_and_cancel_others(run):
    """From within a call the clock can be used like from anywhere."""

    async def main():
        clock, made = Clock(), []
        done = asyncio.get_running_loop().create_future()
        now = clock.now()
        later = clock.at(now + 0.005, lambda: made.append("cancelled"))

        def first():
            later.cancel()
            clock.at(clock.now() - 1, lambda: made.append("past"))
            clock.at(clock.now() + 0.002, lambda: done.set_result(None))

        clock.at(now + 0.001, first)
        await asyncio.wait_for(done, 10)
        await passed(clock, clock.now() + 0.01)
        clock.close()
        return made

    assert run(main()) == ["past"]


def test_catching_up_makes_what_is_due_and_nothing_else(run):
    """All urgent calls up to the instant that it returns, also from within a call."""

    async def main():
        clock, made = Clock(), []
        now = clock.now()
        clock.at(now - 3, lambda: made.append((1, clock.catch_up() >= now)))
        clock.at(now - 2, lambda: made.append((2, True)))
        clock.at(now - 1, lambda: made.append("patient"), patient=True)
        clock.at(now + 60, lambda: made.append("future"))
        assert clock.catch_up() >= now
        clock.close()
        return made

    assert run(main()) == [(2, True), (1, True)]  # the second was due when the first caught up


def test_a_call_that_raises_does_not_stop_the_others(run):
    """What it raised is reported to the loop, as for the loop's own timers."""

    async def main():
        clock, reported = Clock(), []
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        clock.at(clock.now(), lambda: 1 / 0)
        clock.at(clock.now(), lambda: done.set_result(None))
        await asyncio.wait_for(done, 10)
        clock.close()
        return reported

    (error,) = run(main())
    assert isinstance(error, ZeroDivisionError)


def test_nothing_is_called_after_closing(run, alarm):
    """Neither what was asked for before, nor what is after; closing twice is allowed."""

    async def main():
        clock, made = Clock(alarm=alarm), []
        clock.at(clock.now() + 0.002, lambda: made.append("before"))
        clock.close()
        clock.at(clock.now(), lambda: made.append("after"))
        clock.close()
        await passed(clock, clock.now() + 0.01)
        return made

    assert run(main()) == []


def test_linux_gets_the_precise_alarm(run):
    """Both loops can watch a timerfd, so the fallback is for other systems."""

    async def main():
        alarm = make_alarm(asyncio.get_running_loop(), lambda: None)
        alarm.close()
        return type(alarm)

    assert run(main()) is TimerfdAlarm


def test_a_loop_that_cannot_watch_files_gets_the_other_alarm(monkeypatch):
    """Windows' loops raise NotImplementedError."""

    def refuse(*_):
        raise NotImplementedError

    async def main():
        loop = asyncio.get_running_loop()
        with monkeypatch.context() as patched:
            patched.setattr(loop, "add_reader", refuse)
            alarm = make_alarm(loop, lambda: None)
        alarm.close()
        return type(alarm)

    assert asyncio.run(main()) is LoopAlarm


def test_instants_travel_as_wall_clock_times(run):
    """There and back again is the same instant, to what two readings of two clocks are apart."""

    async def main():
        clock = Clock()
        soon = time.time_ns() + 1_000_000_000
        instant = clock.from_unix_ns(soon)
        back = clock.to_unix_ns(instant)
        left_s = instant - clock.now()
        clock.close()
        return back - soon, left_s

    difference_ns, left_s = run(main())
    assert abs(difference_ns) < 50_000_000
    assert 0 < left_s < 1.1


def test_lateness_counts_urgent_calls_from_when_they_could_have_been_made(run):
    """An instant in the past is late from when it was asked for; a call that the loop was too busy for is late."""

    async def main():
        clock = Clock()
        done = asyncio.get_running_loop().create_future()
        clock.at(clock.now() - 100, lambda: None)
        clock.at(clock.now(), lambda: None, patient=True)
        busy = clock.now() + 0.02
        while clock.now() < busy:
            pass
        clock.at(clock.now() + 0.001, lambda: done.set_result(None))
        await asyncio.wait_for(done, 10)
        clock.close()
        return clock.lateness

    lateness = run(main())
    assert lateness.count == 2
    assert 0.02 <= lateness.maximum_s < 50


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_at_most_a_bucket_above_the_value(values, share):
    """Within 4.5 % from a microsecond to a minute, and never beyond the maximum."""
    lateness = Lateness()
    for value in values:
        lateness.add(value)
    exact = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
    found = lateness.quantile_s(share)
    assert found <= max(values)
    assert found >= min(exact, 60) * 0.999
    assert found <= max(exact, 1e-6) * 1.045 or exact > 60


def test_lateness_can_start_again():
    lateness = Lateness()
    assert lateness.summary() == {"count": 0, "p50": 0, "p99": 0, "max": 0}
    lateness.add(0.5)
    lateness.clear()
    assert lateness.summary() == {"count": 0, "p50": 0, "p99": 0, "max": 0}
    lateness.add(-0.5)
    assert lateness.summary() == {"count": 1, "p50": 0, "p99": 0, "max": 0}
