"""Precedence of a node's process over whatever else computes on the machine.

A node needs a few percent of a core, but needs them at once: behind a process that computes, it waits for milliseconds, which
is half the length of a short transfer. So a node takes the processor when it has something to do, where it is permitted to:
with real-time scheduling (root, CAP_SYS_NICE or RLIMIT_RTPRIO on Linux), else with a better nice value, else not at all. What a
node starts does not inherit it: the work of an application competes like any other.

Nodes of one machine wait for each other, too. At the start of a slot all of them have something to do, which takes many nodes
some milliseconds on a few processors; the last byte of a transfer cannot wait so long. So a node with real-time scheduling goes
before others when a transfer that it sends or receives is about to end (`Precedence`).
"""

import os
from enum import IntEnum
from pathlib import Path
from typing import Literal

from edgebed.experiment.errors import Problem, UserError

Priority = Literal["realtime", "nice", "usual"]

_NICE = -10


class Turn(IntEnum):
    """Real-time priorities of nodes and generator among each other."""

    USUAL = 1
    AT_ONCE = 2


_PARAMETERS = {turn: os.sched_param(turn) for turn in Turn} if hasattr(os, "sched_param") else {}


class Precedence:
    """That of this process among nodes: what it is about to do changes it. Without real-time scheduling it changes nothing."""

    def __init__(self) -> None:
        self._turn = Turn.USUAL
        self._several = False
        self._at_once: set[object] = set()

    def take(self) -> Priority:
        """As `take_priority`."""
        got = take_priority()
        self._several = got == "realtime" and _may(Turn.AT_ONCE) and _may(Turn.USUAL)
        return got

    def at_once(self, reason: object, *, wanted: bool) -> None:
        """Whether it goes before other nodes for this reason; it does while there is any."""
        if wanted:
            self._at_once.add(reason)
        else:
            self._at_once.discard(reason)
        turn = Turn.AT_ONCE if self._at_once else Turn.USUAL
        if turn is not self._turn:
            self._turn = turn
            if self._several:
                os.sched_setparam(0, _PARAMETERS[turn])


def take_priority() -> Priority:
    """Asks for precedence for this process; returns what it got, for the fidelity report."""
    try:
        # Round robin, so that many nodes on one core take turns; reset on fork, for the application's sake.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(Turn.USUAL))
    except (OSError, AttributeError):  # not permitted, or not Linux
        pass
    else:
        return "realtime"
    try:
        os.setpriority(os.PRIO_PROCESS, 0, min(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    except (OSError, AttributeError):
        return "usual"
    return "nice"


def _may(turn: Turn) -> bool:
    """Takes this priority among real-time processes, if a limit (RLIMIT_RTPRIO) does not forbid it."""
    try:
        os.sched_setparam(0, _PARAMETERS[turn])
    except OSError:
        return False
    return True


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
