"""The application that converts video with ffmpeg, on one thread per task.

A task's profile says which conversion it is (`videos.CONVERSIONS`); what it costs on this machine was measured before
(`calibration`), and is the task's c. The node calls the worker's ffmpeg, never its own: a node that dies leaves none behind.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from edgebed.emulation.applications.application import Application, Running, Work
from edgebed.emulation.applications.videos import CONVERSIONS, convert_command, find_ffmpeg, locked, make_clips
from edgebed.emulation.applications.worker import Worker
from edgebed.emulation.clock import Clock


class Ffmpeg(Application):
    """Tells the measured end."""

    def __init__(self, clock: Clock, cache: str | None = None) -> None:
        """`cache` is the folder of clips and calibration; by default one that all nodes and runs of this user share."""
        super().__init__(clock)
        self.folder = Path(cache) if cache is not None else default_folder()
        self._worker = Worker(clock)
        self._program = ""

    @classmethod
    def check(cls) -> None:
        """See Application."""
        find_ffmpeg()

    @classmethod
    def profiles(cls) -> Sequence[str]:
        """See Application: the conversions."""
        return _NAMES

    async def prepare(self) -> None:
        """See Application: finds ffmpeg, makes the clips that are missing, starts the worker."""
        self._program = await asyncio.to_thread(self._find)
        await self._worker.start()

    def start(self, task: Work, busy_s: float, begins: float, ended: Callable[[float], None]) -> Running:
        """See Application. Raises ModelError for a profile that there is not."""
        self.admit(task.profile)
        command = convert_command(self._program, self.folder, CONVERSIONS[task.profile - 1])
        return self._worker.order({"run": command}, lambda report: ended(report.ended), self.broken)

    async def close(self) -> None:
        """See Application."""
        await self._worker.close()

    def _find(self) -> str:
        program = find_ffmpeg()
        with locked(self.folder):
            make_clips(program, self.folder)
        return program


_NAMES = tuple(conversion.name for conversion in CONVERSIONS)


def default_folder() -> Path:
    """`edgebed/clips` in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "edgebed" / "clips"
