"""Precedence of a node's process over whatever else computes on the machine.

A node needs a few percent of a core, but needs them at once: behind a process that computes, it waits for milliseconds, which
is half the length of a short transfer. So a node takes the processor when it has something to do, where it is permitted to:
with real-time scheduling (root, CAP_SYS_NICE or RLIMIT_RTPRIO on Linux), else with a better nice value, else not at all. What a
node starts does not inherit it: the work of an application competes like any other.
"""

import os
from pathlib import Path
from typing import Literal

from edgebed.experiment.errors import Problem, UserError

Priority = Literal["realtime", "nice", "usual"]

_NICE = -10


def take_priority() -> Priority:
    """Asks for precedence for this process; returns what it got, for the fidelity report."""
    try:
        # Round robin, so that many nodes on one core take turns; reset on fork, for the application's sake.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except (OSError, AttributeError):  # not permitted, or not Linux
        pass
    else:
        return "realtime"
    try:
        os.setpriority(os.PRIO_PROCESS, 0, min(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    except (OSError, AttributeError):
        return "usual"
    return "nice"


def give_way(niceness: int) -> None:
    """Sets how much this process, with all its threads, gives way to others: 0 not at all, 19 to everybody.

    Raises UserError where a lower niceness than the present one is not permitted.
    """
    threads = Path("/proc/self/task")
    ids = [int(entry.name) for entry in threads.iterdir()] if threads.exists() else [0]  # Linux counts each by itself
    for one in ids:
        try:
            os.setpriority(os.PRIO_PROCESS, one, niceness)
        except ProcessLookupError:  # it has ended meanwhile
            continue
        except PermissionError as error:
            there = os.getpriority(os.PRIO_PROCESS, one)
            remedy = f"give {there} or more, or let the service lower it (CAP_SYS_NICE, or RLIMIT_NICE)"
            raise UserError(Problem("niceness", f"{niceness} is not permitted below {there}", remedy)) from error
