"""One wake-up of the event loop at an absolute instant, as precise as the machine allows.

asyncio rounds its own timers to a millisecond, because that is what epoll takes; a thirtieth of a short transfer. A timerfd
is a file that becomes readable at a nanosecond, so the loop wakes some tens of microseconds after the instant. It exists on
Linux, in Python's `os` from 3.13; before that it is called through ctypes. Elsewhere the loop's own timer has to do.
"""

import asyncio
import ctypes
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

_ABSOLUTE = 1  # TFD_TIMER_ABSTIME


class Alarm(Protocol):
    """Calls back once, at or after the instant that was set last, possibly earlier: whoever is called looks at the clock."""

    def set(self, instant: float) -> None:
        """The one instant to wake at, in seconds of CLOCK_MONOTONIC; replaces the one before."""

    def close(self) -> None:
        """Never call back again."""


class TimerfdAlarm:
    """A timerfd that the loop watches. Raises OSError where the kernel has none."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop, self._call = loop, call
        self._fd = _create()
        try:
            loop.add_reader(self._fd, self._due)
        except BaseException:
            os.close(self._fd)
            raise

    def set(self, instant: float) -> None:
        """See Alarm. An instant that has passed wakes at once."""
        _set(self._fd, max(1, math.ceil(instant * 1e9)))  # 0 would disarm it

    def close(self) -> None:
        """See Alarm."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _due(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # set anew between the kernel's word and ours
            return
        self._call()


class LoopAlarm:
    """The loop's own timer: a millisecond's precision, anywhere."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop, self._call = loop, call
        self._handle: asyncio.TimerHandle | None = None

    def set(self, instant: float) -> None:
        """See Alarm."""
        self.close()
        # Relative, because not every loop counts from where CLOCK_MONOTONIC does.
        self._handle = self._loop.call_later(max(0.0, instant - time.monotonic()), self._call)

    def close(self) -> None:
        """See Alarm."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def make_alarm(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> Alarm:
    """The most precise one that works here."""
    try:
        return TimerfdAlarm(loop, call)
    except (OSError, AttributeError, NotImplementedError):  # another system, or a loop that cannot watch files
        return LoopAlarm(loop, call)


if sys.version_info >= (3, 13) and sys.platform == "linux":

    def _create() -> int:
        return os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

    def _set(fd: int, instant_ns: int) -> None:
        os.timerfd_settime_ns(fd, flags=os.TFD_TIMER_ABSTIME, initial=instant_ns)

else:

    class _Itimerspec(ctypes.Structure):
        _fields_ = (
            ("interval_s", ctypes.c_long),
            ("interval_ns", ctypes.c_long),
            ("value_s", ctypes.c_long),
            ("value_ns", ctypes.c_long),
        )

    def _create() -> int:
        # PyDLL keeps the interpreter's lock: these calls return at once, giving it away would cost more than they do.
        create = ctypes.PyDLL(None, use_errno=True).timerfd_create
        fd = int(create(ctypes.c_int(time.CLOCK_MONOTONIC), ctypes.c_int(os.O_NONBLOCK | os.O_CLOEXEC)))
        return _checked(fd)

    def _set(fd: int, instant_ns: int) -> None:
        seconds, nanoseconds = divmod(instant_ns, 1_000_000_000)
        value = _Itimerspec(0, 0, seconds, nanoseconds)
        _checked(_settime(fd, _ABSOLUTE, ctypes.byref(value), None))

    def _checked(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    try:
        _settime = ctypes.PyDLL(None, use_errno=True).timerfd_settime
        _settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.POINTER(_Itimerspec), ctypes.c_void_p)
    except (AttributeError, OSError, TypeError):
        pass  # no timerfd here: `_create` fails for the same reason, so this one is never called
