"""From outcomes to the content of `results.json`: what every method reached, and how methods differ on the same luck.

All rates are fractions of 1, all delays seconds; nothing is rounded. Which interval answers which question is said in
`intervals`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgebed.experiment import intervals
from edgebed.experiment.intervals import Interval, Rates
from edgebed.experiment.methods import Method
from edgebed.experiment.outcome import Outcome, Outcomes, runs
from edgebed.experiment.shipped import GENERALIST
from edgebed.experiment.specification import Experiment
from edgebed.systems.cooperative.rules import Horizon

Runs = Sequence[Sequence[Outcome]]

DIP_SHARE = 0.25
"""The dip is looked for in this first share of the online episodes."""


def summarise(experiment: Experiment, outcomes: Outcomes) -> dict[str, Any]:
    """`methods` and `differences` of one experiment without sweep.

    Raises ValueError when an outcome is missing, or methods were measured on different numbers of episodes.
    """
    spec = experiment.spec
    horizon = experiment.rules().horizon
    measured = {method.name: runs(outcomes, method.name, spec.replicates) for method in spec.methods}
    rates = {name: success_rates(found, horizon) for name, found in measured.items()}
    lengths = {name: array.shape[2] for name, array in rates.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"methods were measured on different numbers of episodes: {lengths}")
    names = [method.name for method in spec.methods]
    return {
        "methods": {m.name: _method(m, measured[m.name], rates[m.name]) for m in spec.methods},
        "differences": [
            {"method": name, "against": other, **difference(rates[name], rates[other])}
            for position, name in enumerate(names)
            for other in names[:position]
        ],
    }


def success_rates(found: Runs, horizon: Horizon) -> Rates:
    """(replicates, training seeds, episodes) eq. 9 for each episode."""
    return np.array([[outcome.success_rates(horizon) for outcome in row] for row in found], dtype=np.float64)


def difference(rates: Rates, others: Rates) -> dict[str, Any]:
    """How much more of the same tasks the first method completes: same replicate, same episode, same luck.

    Training seeds are paired in order; against a method with one outcome per replicate, it stands for all seeds.
    """
    seeds = {rates.shape[1], others.shape[1]}
    if len(seeds) > 1 and 1 not in seeds:
        raise ValueError(f"methods have different numbers of training seeds: {sorted(seeds)}")
    paired = rates - others
    each = intervals.per_replicate(paired)
    here, anywhere = intervals.on_these_networks(paired), intervals.over_runs(paired)
    return {
        "mean": number(here.mean),
        "ci95": pair(here),
        "ci95Over": "episodes",
        "ci95OverRuns": pair(anywhere),
        "perReplicate": numbers(each),
        "wins": int(np.sum(each > 0)),
        "replicates": len(each),
    }


def _method(method: Method, found: Runs, rates: Rates) -> dict[str, Any]:
    each = intervals.per_replicate(rates)
    here, anywhere = intervals.on_these_networks(rates), intervals.over_runs(rates)
    return {
        "kind": kind(method),
        "policy": method.policy.kind if method.policy is not None else None,
        "successRate": {
            "mean": number(here.mean),
            "std": number(intervals.spread(rates)),
            "ci95": pair(anywhere or here),
            "ci95Over": "runs" if anywhere else "episodes",
            "ci95SameNetworks": pair(here),
            "iqm": number(intervals.interquartile_mean(intervals.along(rates, 2).ravel())),
            "perReplicate": numbers(each),
            "perEpisode": [[numbers(run) for run in replicate] for replicate in rates],
        },
        "delaySeconds": _delays(found),
        **_shares(found),
        **_curve(found),
    }


def kind(method: Method) -> str:
    """`policy`, `offline`, `online`, `networks` for what was learned over many, or two of these with `-to-`."""
    if method.policy is not None:
        return "networks" if method.policy.kind == GENERALIST else "policy"
    parts = [
        ("networks", method.training is not None or method.start is not None),
        ("offline", method.offline is not None),
        ("online", method.online is not None),
    ]
    return "-to-".join(name for name, given in parts if given)


def _shares(found: Runs) -> dict[str, Any]:
    """What became of all tasks, and what deciding cost; the mean over replicates of shares of all arrived tasks."""
    names = ("succeeded", "dropped", "failed", "unfinished", "offloaded", "messages")
    shares = []
    for replicate in found:
        counts = {name: sum(getattr(e, name) for run in replicate for e in run.episodes) for name in names}
        tasks = sum(episode.tasks for run in replicate for episode in run.episodes)
        shares.append([counts[name] / tasks if tasks else math.nan for name in names])
    average = {name: number(value) for name, value in zip(names, intervals.along(np.array(shares), 0), strict=True)}
    return {
        "shares": {name: average[name] for name in names[:4]},
        "offloadedShare": average["offloaded"],
        "messagesPerTask": average["messages"],
    }


def _delays(found: Runs) -> dict[str, Any]:
    """Of succeeded tasks: the mean over all tasks of a replicate, and each quantile's mean over runs; then replicates."""
    means, quantiles = [], []
    for replicate in found:
        episodes = [e for run in replicate for e in run.episodes if e.delay_s_mean is not None]
        done = sum(episode.succeeded for episode in episodes)
        means.append(sum((e.delay_s_mean or 0.0) * e.succeeded for e in episodes) / done if done else math.nan)
        quantiles.append(
            {
                q: intervals.mean(np.array([run.delay_quantiles_s.get(q, math.nan) for run in replicate]))
                for q in sorted({q for run in replicate for q in run.delay_quantiles_s})
            }
        )
    names = sorted({name for row in quantiles for name in row}, key=lambda name: (len(name), name))
    delays = {name: number(intervals.mean(np.array([row.get(name, math.nan) for row in quantiles]))) for name in names}
    return {"mean": number(intervals.mean(np.array(means))), **delays}


def _curve(found: Runs) -> dict[str, Any]:
    """The learning curve of a method that learns online, and its dip."""
    if not all(run.curve for replicate in found for run in replicate):
        return {}
    grid = [point.online_episodes for point in found[0][0].curve]
    if any([point.online_episodes for point in run.curve] != grid for replicate in found for run in replicate):
        raise ValueError("learning curves have points at different online episodes")
    points = []
    for position, episodes in enumerate(grid):
        rates = np.array([[run.curve[position].success_rates for run in replicate] for replicate in found])
        interval = intervals.on_these_networks(rates)
        each = numbers(intervals.per_replicate(rates))
        points.append(
            {"onlineEpisodes": episodes, "mean": number(interval.mean), "ci95": pair(interval), "perReplicate": each}
        )
    return {"learningCurve": points, "dip": dip(points)}


def dip(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far fine-tuning first falls below where it began.

    `points` (percentage points, at least 0) is 100 times the success rate at 0 online episodes less the lowest one in
    the first quarter of the online episodes (and in any case at the first point after 0), of the mean curve over
    replicates and training seeds. All points are measured on the same episodes. `atOnlineEpisodes` is where.
    """
    start, later = points[0], list(points[1:])
    until = max((p["onlineEpisodes"] for p in points), default=0) * DIP_SHARE
    early = [p for position, p in enumerate(later) if position == 0 or p["onlineEpisodes"] <= until]
    if not early or start["mean"] is None or any(p["mean"] is None for p in early):
        return {"points": None, "atOnlineEpisodes": None, "perReplicate": []}
    lowest = min(early, key=lambda p: (p["mean"], p["onlineEpisodes"]))
    fallen = [
        max(0.0, 100 * (start["perReplicate"][r] - min(p["perReplicate"][r] for p in early)))
        for r in range(len(start["perReplicate"]))
    ]
    return {
        "points": max(0.0, 100 * (start["mean"] - lowest["mean"])),
        "atOnlineEpisodes": lowest["onlineEpisodes"],
        "perReplicate": fallen,
    }


def number(value: float | None) -> float | None:
    """A JSON number: None for NaN."""
    return None if value is None or math.isnan(value) else float(value)


def numbers(values: Rates) -> list[float | None]:
    """The same for an array."""
    return [number(float(value)) for value in values]


def pair(interval: Interval | None) -> list[float | None] | None:
    """[low, high], or None."""
    return None if interval is None or interval.low is None else [number(interval.low), number(interval.high)]
