"""What a benchmark says, and how two ways of doing the same work are timed fairly."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = 100
"""Of /proc/stat, whatever the kernel's own are."""


@dataclass(frozen=True)
class Result:
    """One row of `build/bench.json`."""

    name: str
    value: float
    """Ours."""
    unit: str
    baseline: float | None
    """The other way, in the same unit; None where the bar is absolute."""
    ratio: float
    """baseline / value; for an absolute bar, bar / value."""
    bar: float
    """Smallest ratio, or largest value where there is no baseline."""
    met: bool

    def line(self) -> str:
        """A row of the table."""
        base = "" if self.baseline is None else f"{self.baseline:.4g}"
        bar = f"{self.bar:g}x" if self.baseline is not None else f"{self.bar:g}"
        mark = "" if self.met else "  MISSED"
        return f"{self.name:<44} {self.value:>8.4g} {self.unit:<5} {base:>10} {self.ratio:>7.1f}x {bar:>6}{mark}"


def compare(name: str, unit: str, ours: float, baseline: float, bar: float) -> Result:
    """A ratio against a baseline: met when ours is at least `bar` times as fast."""
    ratio = baseline / ours
    return Result(name, ours, unit, baseline, ratio, bar, ratio >= bar)


def limit(name: str, unit: str, ours: float, bar: float) -> Result:
    """An absolute limit: met when ours does not exceed it."""
    return Result(name, ours, unit, None, bar / ours, bar, ours <= bar)


def at_least(name: str, unit: str, ours: float, bar: float) -> Result:
    """An absolute level: met when ours reaches it."""
    return Result(name, ours, unit, None, ours / bar, bar, ours >= bar)


def alternate(ours: Callable[[], object], baseline: Callable[[], object], runs: int = 5) -> tuple[float, float]:
    """Median seconds of each, run in turn so that a machine's drift meets both; one warm-up run each first."""
    ours()
    baseline()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for work, record in zip((ours, baseline), times, strict=True):
            begin = time.perf_counter()
            work()
            record.append(time.perf_counter() - begin)
    return statistics.median(times[0]), statistics.median(times[1])


def stolen_s() -> float:
    """Seconds that the machine's processors wanted to run and its host ran something else, since it started; 0 if unknown.

    Bursts of it are milliseconds long, and nothing in a process can be on time in one.
    """
    try:
        processors = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()
    except OSError:
        return 0.0
    return int(processors[8]) / _TICKS_PER_S
