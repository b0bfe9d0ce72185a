"""Calibration for people: which profiles they mean, how far it is, and what was found."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from edgebed.cli.progress import RichProgress
from edgebed.emulation.applications.calibration import calibrate
from edgebed.emulation.applications.ffmpeg import Ffmpeg, default_folder
from edgebed.emulation.applications.videos import find_ffmpeg, locked, make_clips
from edgebed.experiment.errors import Problem, UserError, did_you_mean, shown
from edgebed.experiment.files import faults, write_atomically


def calibrate_ffmpeg(output: Path, only: Sequence[str]) -> Iterator[str]:
    """Writes the costs of the profiles whose names match one of `only`; yields a table of them.

    Raises UserError for a pattern that matches none, EnvironmentFault.
    """
    profiles = chosen(Ffmpeg.profiles(), only)
    program, folder = find_ffmpeg(), default_folder()
    with faults(output.parent):  # before minutes of measuring
        output.parent.mkdir(parents=True, exist_ok=True)
    with RichProgress() as progress:
        progress.started("clips", "clips", None)
        with locked(folder):
            make_clips(program, folder)
        progress.finished("clips")
        progress.started("costs", "calibration", len(profiles))
        costs = calibrate(program, folder, profiles, lambda name: progress.advanced("costs", 1, name))
        progress.finished("costs")
    write_atomically(output, costs.to_bytes())
    yield f"{'profile':<24}{'processor s':>12}{'input KB':>10}"
    for cost in costs.profiles:
        yield f"{cost.name:<24}{cost.cpu_s:>12.2f}{cost.input_bytes / 1024:>10.0f}"
    yield f"{output}: {len(costs.profiles)} profiles on {costs.manifest['processor']}"


def chosen(names: Sequence[str], patterns: Sequence[str]) -> list[int]:
    """The numbers, from 1, of the names that match one of the patterns. Raises UserError."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            remedy = did_you_mean(pattern, names) if "*" not in pattern else f"profiles are named like {names[0]}"
            raise UserError(Problem("--only", f"{shown(pattern)} is no profile", remedy))
    return [number for number, name in enumerate(names, 1) if any(fnmatchcase(name, p) for p in patterns)]
