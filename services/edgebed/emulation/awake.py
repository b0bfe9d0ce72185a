"""Keeps the processors of a virtual machine from sleeping while nodes run.

A processor without work is halted, and for a virtual one the host then runs something else: when a timer is due it has to wait
for its turn there, some milliseconds on a host that is shared, whatever its priority here. So a process of the lowest kind
there is (SCHED_IDLE: it runs where nobody else wants to) does nothing on each of them. On a machine of one's own it would only
warm the room, and take from a sibling thread of the same core.

Measured with ten links at 10 to 40 MB/s on a shared host: errors of 0.8 to 3.5 % (99th percentile), kept awake 0.6 to 0.8 %.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

from edgebed.settings import Awake

_CPUINFO = Path("/proc/cpuinfo")
_TURNS = 100_000
"""Between two looks at whether the parent is still there; a few milliseconds."""


def virtual() -> bool:
    """Whether this is a virtual machine, as far as Linux knows."""
    try:
        return "hypervisor" in _CPUINFO.read_text(encoding="utf-8").split()
    except OSError:
        return False


def processors() -> list[int]:
    """Those that this process may use and can keep awake; none where the system has no such scheduling."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "SCHED_IDLE") else []


def to_keep_awake(choice: Awake) -> list[int]:
    """Which processors to keep awake: all or none; `auto` means those of a virtual machine."""
    return processors() if choice == "on" or (choice == "auto" and virtual()) else []


def keep_awake(processor: int, parent: int) -> None:
    """Does nothing on a processor for as long as the process `parent`, which has started this one, lives."""
    os.setsid()
    with suppress(OSError):  # sessions compete with each other first, where the kernel groups them
        Path("/proc/self/autogroup").write_text("19", encoding="utf-8")
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while os.getppid() == parent:
        for _ in range(_TURNS):
            pass


@contextmanager
def kept_awake(which: Sequence[int]) -> Iterator[None]:
    """These processors do not sleep within the block."""
    context = get_context("spawn")
    idlers = [context.Process(target=keep_awake, args=(one, os.getpid()), daemon=True) for one in which]
    try:
        for idler in idlers:
            idler.start()
        yield
    finally:
        for idler in idlers:
            if idler.pid is not None:
                idler.kill()
                idler.join()
