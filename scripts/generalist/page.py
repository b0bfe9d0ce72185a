"""Writes docs/generalist.md: tables of measured figures between sentences that do not depend on them."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy import stats

from scripts.generalist.cases import CASES, EPISODES, NETWORKS, REFERENCE_EPISODES
from scripts.generalist.measure import Decider, measure
from scripts.generalist.models import ROOT, SEEDS, SHIPPED
from scripts.generalist.prose import PAGE

Work = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], list[Any]]

HEURISTICS = ("ratc", "price-mask", "least-completion")
HEADLINES = ("reference-simulation", "reference-testbed")
ELSEWHERE = tuple(name for name in CASES if name not in HEADLINES)
ASKS: tuple[str | int, ...] = ("none", 3, "all")


def write_page(work: Work) -> None:
    """Trains and measures what is not there yet, and writes the page."""
    from scripts.generalist.work import train_one

    work(train_one, [(SHIPPED, seed) for seed in SEEDS])
    units = [(case, decider) for case in HEADLINES for decider in _headline()]
    work(measure, units + [(case, decider) for case in ELSEWHERE for decider in _elsewhere()])
    text = PAGE.format(
        seeds=len(SEEDS),
        networks=NETWORKS,
        episodes=EPISODES,
        reference_episodes=REFERENCE_EPISODES,
        headline=headline_table(),
        elsewhere=elsewhere_table(),
        messages=f"{measure(HEADLINES[0], _of(SEEDS[0], 'none')).messages:.0f}",
    )
    (ROOT / "docs" / "generalist.md").write_text(text)


def _of(seed: int, ask: str | int) -> Decider:
    return Decider("actor", SHIPPED, seed, ask)


def _headline() -> list[Decider]:
    return [*(Decider(name) for name in HEURISTICS), *(_of(seed, ask) for ask in ASKS for seed in SEEDS)]


def _elsewhere() -> list[Decider]:
    return [*(Decider(name) for name in HEURISTICS[:1]), _of(SEEDS[0], "none")]


def headline_table() -> str:
    """Reference networks: heuristics, and the generalist by whom it asks, network by network."""
    lines = []
    for case in HEADLINES:
        lines += [
            f"Success on {CASES[case].words}, %:",
            "",
            "| | 1 | 2 | 3 | 4 | 5 | mean |",
            "|---|---|---|---|---|---|---|",
        ]
        rows = {name: measure(case, Decider(name)).rates for name in HEURISTICS}
        words = {"none": "generalist, one bit of everyone", 3: "and the backlogs of 3", "all": "and all backlogs"}
        for ask in ASKS:
            rows[words[ask]] = np.mean([measure(case, _of(seed, ask)).rates for seed in SEEDS], axis=0)
        for name, rates in rows.items():
            lines.append(f"| {name} | " + " | ".join(f"{rate:.1f}" for rate in rates) + f" | {rates.mean():.2f} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def elsewhere_table() -> str:
    """Fresh networks: success, and the paired difference to RATC over networks with its interval."""
    lines = ["| | ratc | generalist | difference, 95 % interval |", "|---|---|---|---|"]
    for case in ELSEWHERE:
        ratc, bit = measure(case, Decider("ratc")), measure(case, _of(SEEDS[0], "none"))
        lines.append(
            f"| {CASES[case].words} | {ratc.mean:.1f} | {bit.mean:.1f} | {difference(bit.rates - ratc.rates)} |"
        )
    return "\n".join(lines)


def difference(values: Any) -> str:
    """Mean over networks with its 95 % interval (Student's t), in points."""
    half = float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))
    return f"{values.mean():+.2f} ± {half:.2f}"
