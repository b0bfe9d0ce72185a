"""An experiment to its results: units, statistics, files.

    results = run_experiment(experiment, Path("runs/quickstart"), progress=Silent())

The output folder holds the specification as run, `stages/` with everything computed, `results.json`, figures and
`report.html`. The same command in the same folder goes on where an interrupted run stopped.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgebed.experiment.errors import Problem, UserError
from edgebed.experiment.folder import open_run_folder
from edgebed.experiment.results import write_results
from edgebed.experiment.specification import Experiment
from edgebed.experiment.sweep import expand
from edgebed.runner.progress import Progress
from edgebed.runner.units import VERSIONS, Outcomes, Unit, run_units


def run_experiment(
    experiment: Experiment, output: Path, *, jobs: int | None = None, progress: Progress, device: str = "cpu"
) -> dict[str, Any]:
    """Run on the simulator, as many units at once as there are cores; returns the content of `results.json`.

    Raises UserError for what cannot be run as asked, EnvironmentFault for a folder that cannot be written.
    """
    if experiment.spec.backend != "simulator":
        found = f"{experiment.spec.backend!r} is not available in this version"
        raise UserError(Problem("spec.backend", found, "run with --backend simulator"))
    folder = open_run_folder(output, experiment, VERSIONS)
    points = expand(folder.experiment)
    units = units_of(points)
    merged: list[Outcomes] = [{} for _ in points]
    jobs = jobs or cores()
    for unit, outcomes in zip(
        units, run_units(units, folder.stages.root, progress, jobs=jobs, device=device), strict=True
    ):
        merged[unit.point].update(outcomes)
    return write_results(folder, merged)


def units_of(points: Sequence[tuple[str, Experiment]]) -> list[Unit]:
    """What there is to run: every point of `expand(experiment)`, on every network, with every training seed."""
    return [
        Unit(
            point=index,
            replicate=replicate,
            training_seed=seed,
            label=_label(label, replicate, seed, point),
            experiment=point,
        )
        for index, (label, point) in enumerate(points)
        for replicate in range(point.spec.replicates)
        for seed in range(point.spec.training_seeds if _learns(point) else 1)
    ]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _learns(experiment: Experiment) -> bool:
    return any(method.learned for method in experiment.spec.methods)


def _label(point: str, replicate: int, seed: int, experiment: Experiment) -> str:
    """What progress calls a unit: network 2, seed 1."""
    parts = [str(point)] if point else []
    parts.append(f"network {replicate + 1}")
    if experiment.spec.training_seeds > 1:
        parts.append(f"seed {seed + 1}")
    return ", ".join(parts)
