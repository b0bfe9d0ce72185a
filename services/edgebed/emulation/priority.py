"""Precedence of a node's process over whatever else computes on the machine.

A node needs a few percent of a core, but needs them at once: behind a process that computes, it waits for milliseconds, which
is half the length of a short transfer. So a node takes the processor when it has something to do, where it is permitted to:
with real-time scheduling (root, CAP_SYS_NICE or RLIMIT_RTPRIO on Linux), else with a better nice value, else not at all. What a
node starts does not inherit it: the work of an application competes like any other.
"""

import os
from typing import Literal

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
