"""The application that only takes time: the node is occupied for c / F, and no processor works."""

from collections.abc import Callable

from edgebed.emulation.applications.application import Application, Running, Work


class Synthetic(Application):
    """Tells the planned end, so that executions in a row do not add their timers' lateness up."""

    real = False

    def start(self, task: Work, busy_s: float, begins: float, ended: Callable[[float], None]) -> Running:
        """See Application."""
        end = begins + busy_s
        return _Waiting(self.clock.at(end, lambda: ended(end)).cancel)


class _Waiting:
    """A timer as a running task."""

    __slots__ = ("stop",)

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop
