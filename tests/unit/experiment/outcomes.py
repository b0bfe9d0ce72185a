"""Outcomes with known properties, drawn from a seed: what a runner would hand over, without running anything."""

import numpy as np

from edgebed.experiment.methods import Method
from edgebed.experiment.outcome import CurvePoint, EpisodeCounts, Outcome
from edgebed.experiment.specification import Experiment, Spec

LEVELS = {
    "random": 0.71, "local": 0.72, "rda": 0.815, "ratc": 0.82, "offline-only": 0.84, "online-only": 0.852,
    "o2o": 0.871, "price-mask": 0.868, "least-completion": 0.89,
}  # fmt: skip


def outcomes(
    experiment: Experiment, shift: float = 0.0, tasks: int = 1000, levels: dict[str, float] = LEVELS
) -> dict[tuple[str, int, int], Outcome]:
    """Success rates near `levels`, alike in spread and in what is shared between methods to real ones."""
    spec = experiment.spec
    found = {}
    for r in range(spec.replicates):
        network = np.random.default_rng([spec.seed, r]).normal(0, 0.04)
        for m, method in enumerate(spec.methods):
            for s in range(spec.training_seeds if method.learned else 1):
                rng = np.random.default_rng([spec.seed, r, m, s])
                luck = np.random.default_rng([spec.seed, r, 99]).normal(0, 0.012, spec.evaluation.episodes)
                level = levels.get(method.name, 0.8) + network * (1.2 - levels.get(method.name, 0.8)) * 2 + shift
                found[method.name, r, s] = Outcome(
                    tuple(counts(level + e + rng.normal(0, 0.004), tasks, rng) for e in luck),
                    {q: 0.5 + 3 * p * (2 - level) / 1.2 for q, p in zip(
                        ("p5", "p25", "p50", "p75", "p95", "p99"), (0.02, 0.12, 0.3, 0.5, 0.85, 0.98), strict=True)},
                    curve(method, level, rng, spec) if method.online else (),
                )  # fmt: skip
    return found


def counts(rate: float, tasks: int, rng: np.random.Generator) -> EpisodeCounts:
    """One episode at a success rate."""
    succeeded = min(tasks, max(0, round(rate * tasks)))
    dropped = round((tasks - succeeded) * 0.7)
    failed = tasks - succeeded - dropped
    return EpisodeCounts(succeeded, dropped, failed, 0, int(rng.integers(0, tasks)), 2 * tasks, 1.3)


def curve(method: Method, level: float, rng: np.random.Generator, spec: Spec) -> tuple[CurvePoint, ...]:
    """A learning curve towards the level."""
    assert method.online is not None
    start = level - (0.02 if method.offline else 0.13)
    grid = range(0, method.online.episodes + 1, spec.evaluation.every)
    rate = method.online.episodes / 6
    luck = rng.normal(0, 0.006, spec.evaluation.curve_episodes)
    return tuple(
        CurvePoint(x, tuple(level - (level - start) * np.exp(-x / rate) + luck + rng.normal(0, 0.0015))) for x in grid
    )
