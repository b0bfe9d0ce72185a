"""The application that computes: it burns the time that a task is to take on a core, to calibrate the testbed.

What is burnt is processor time. On a machine with cores to spare a task ends when the model says; on a busy one it ends later,
by what the others took.
"""

from collections.abc import Callable

from edgebed.emulation.applications.application import Application, Running, Work
from edgebed.emulation.applications.worker import Worker
from edgebed.emulation.clock import Clock


class Cpu(Application):
    """Tells the measured end."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._worker = Worker(clock)

    async def prepare(self) -> None:
        """See Application: starts the worker."""
        await self._worker.start()

    def start(self, task: Work, busy_s: float, begins: float, ended: Callable[[float], None]) -> Running:
        """See Application."""
        return self._worker.order({"burn": busy_s}, lambda report: ended(report.ended), self.broken)

    async def close(self) -> None:
        """See Application."""
        await self._worker.close()
