"""Progress for people: a bar per stage with rate and remaining time, or a line per stage where nobody can see bars."""

import sys
import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """How much is done in a second."""

    def render(self, task: Task) -> Text:
        """For one bar."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s", style="dim")


class RichProgress:
    """Shows every stage on standard error; may be told from any thread."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._lock = threading.Lock()
        self._tasks: dict[str, tuple[TaskID, str, float]] = {}
        self._notes: dict[str, str] = {}
        self._bars: Progress | None = None
        if self._console.is_terminal:
            self._bars = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
                TextColumn("[cyan]{task.fields[note]}"),
                console=self._console,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def started(self, stage: str, label: str, total: float | None) -> None:
        """As in `runner.progress.Progress`."""
        with self._lock:
            task = TaskID(-1) if self._bars is None else self._bars.add_task(label, total=total, note="")
            self._tasks[stage] = (task, label, time.monotonic())

    def advanced(self, stage: str, amount: float, note: str = "") -> None:
        """As in `runner.progress.Progress`."""
        with self._lock:
            if stage not in self._tasks:
                return
            if note:
                self._notes[stage] = note
            if self._bars is not None:
                self._bars.update(self._tasks[stage][0], advance=amount, note=self._notes.get(stage, ""))

    def finished(self, stage: str) -> None:
        """As in `runner.progress.Progress`."""
        with self._lock:
            if stage not in self._tasks:
                return
            task, label, began = self._tasks.pop(stage)
            note = self._notes.pop(stage, "")
            seconds = time.monotonic() - began
            if self._bars is not None:
                self._bars.remove_task(task)
            if self._bars is None or seconds >= 1:
                line = f"{label}: {seconds:.1f} s" + (f", {note}" if note else "")
                if self._bars is None:
                    print(line, file=sys.stderr, flush=True)
                else:
                    self._bars.console.print(f"[green]done[/] {line}", highlight=False)
