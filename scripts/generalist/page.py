"""Writes docs/generalist.md: tables of measured figures between sentences that do not depend on them."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy import stats

from scripts.generalist.cases import CASES, EPISODES, NETWORKS, REFERENCE_EPISODES
from scripts.generalist.measure import Decider, measure
from scripts.generalist.models import ROOT, SEEDS, SHIPPED, document
from scripts.generalist.pictures import asks_of, by_messages, by_size, name_of
from scripts.generalist.prose import PAGE, TUNED

Work = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], list[Any]]

HEURISTICS = ("ratc", "price-mask", "least-completion")
HEADLINES = ("reference-simulation", "reference-testbed")
ELSEWHERE = tuple(name for name in CASES if name not in HEADLINES)
ASKS: tuple[str | int, ...] = ("none", 3, "all")
MORE_ASKS: tuple[str | int, ...] = (1, 2, 5, 10)
LACKING = {
    "eta 0": "without what a decision does to others (eta 0)",
    "eta 2": "with twice that (eta 2)",
    "no mask": "without the mask: every bit says available",
    "no failure rates": "without failure rates",
    "no loads": "without arrivals and loads",
    "no own links": "without the own sending queues",
}
"""Variants that were trained and used without something."""


def write_page(work: Work) -> None:
    """Trains and measures what is not there yet, and writes the page."""
    from scripts.generalist.work import train_one

    work(train_one, [*((SHIPPED, seed) for seed in SEEDS), *((name, SEEDS[0]) for name in LACKING)])
    units = [(case, decider) for case in HEADLINES for decider in _headline()]
    units += [(HEADLINES[0], decider) for decider in _information()]
    units += [(case, Decider("actor", name, SEEDS[0])) for case in HEADLINES for name in LACKING]
    work(measure, units + [(case, decider) for case in ELSEWHERE for decider in _elsewhere()])
    for drawn in (by_size(ELSEWHERE), by_messages(HEADLINES[0], _information())):
        (ROOT / "docs" / "images" / f"generalist-{drawn.name}.png").write_bytes(drawn.png)
    text = PAGE.format(
        variations=variations_table(),
        seeds=len(SEEDS),
        networks=NETWORKS,
        episodes=EPISODES,
        reference_episodes=REFERENCE_EPISODES,
        headline=headline_table(),
        elsewhere=elsewhere_table(),
        information=information_table(),
        ablations=ablation_table(),
        tuned=TUNED,
    )
    (ROOT / "docs" / "generalist.md").write_text(text)


def _of(seed: int, ask: str | int) -> Decider:
    return Decider("actor", SHIPPED, seed, ask)


def _headline() -> list[Decider]:
    return [*(Decider(name) for name in HEURISTICS), *(_of(seed, ask) for ask in ASKS for seed in SEEDS)]


def _elsewhere() -> list[Decider]:
    return [*(Decider(name) for name in HEURISTICS), _of(SEEDS[0], "none")]


def _information() -> list[Decider]:
    """Policies by what they ask for."""
    return [Decider(name) for name in ("rda", *HEURISTICS)] + [_of(SEEDS[0], ask) for ask in (*ASKS, *MORE_ASKS)]


def variations_table() -> str:
    """What the training networks are multiplied by, from the experiment that the model is made from."""
    method = next(method for method in document(SHIPPED)["spec"]["methods"] if "training" in method)
    varied = method["training"]["networks"]["domainRandomisation"]
    lines = ["| factor of | from | to |", "|---|---|---|"]
    lines += [f"| `{name}` | {low:g} | {high:g} |" for name, value in varied.items() if isinstance(value, dict)
              for low, high in [value["uniform"]]]  # fmt: skip
    return "\n".join(lines)


def headline_table() -> str:
    """Reference networks: heuristics, and the generalist by whom it asks, network by network."""
    lines = []
    for case in HEADLINES:
        lines += [
            f"Success on {CASES[case].words}, %:",
            "",
            "| | 1 | 2 | 3 | 4 | 5 | mean | training seeds, 95 % interval |",
            "|---|---|---|---|---|---|---|---|",
        ]
        rows = {name: [measure(case, Decider(name)).rates] for name in HEURISTICS}
        words = {"none": "generalist, one bit of everyone", 3: "and the backlogs of 3", "all": "and all backlogs"}
        for ask in ASKS:
            rows[words[ask]] = [measure(case, _of(seed, ask)).rates for seed in SEEDS]
        for name, found in rows.items():
            rates, means = np.mean(found, axis=0), np.mean(found, axis=1)
            seeds = f"{means.mean():.2f} ± {_half(means):.2f}" if len(means) > 1 else ""
            cells = [*(f"{rate:.1f}" for rate in rates), f"{rates.mean():.2f}", seeds]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def elsewhere_table() -> str:
    """Fresh networks: success, and the paired difference to RATC over networks with its interval."""
    lines = [
        "| | ratc | price-mask | least-completion | generalist | less ratc, 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    for case in ELSEWHERE:
        found = [measure(case, decider) for decider in _elsewhere()]
        cells = [*(f"{one.mean:.1f}" for one in found), difference(found[-1].rates - found[0].rates)]
        lines.append(f"| {CASES[case].words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def information_table() -> str:
    """What is asked for, what it costs, and what it brings."""
    lines = ["| policy | asks for | messages per task | success % |", "|---|---|---|---|"]
    for decider in sorted(_information(), key=lambda one: measure(HEADLINES[0], one).mean):
        figures = measure(HEADLINES[0], decider)
        lines.append(f"| {name_of(decider)} | {asks_of(decider)} | {figures.messages:.1f} | {figures.mean:.2f} |")
    return "\n".join(lines)


def ablation_table() -> str:
    """What the model loses that lacks something, in training and use."""
    lines = ["| | simulation, % | difference | testbed, % | difference |", "|---|---|---|---|---|"]
    whole = [measure(case, _of(SEEDS[0], "none")) for case in HEADLINES]
    lines.append(f"| generalist, training seed {SEEDS[0]} | {whole[0].mean:.2f} | | {whole[1].mean:.2f} | |")
    for name, words in LACKING.items():
        cells = []
        for case, full in zip(HEADLINES, whole, strict=True):
            less = measure(case, Decider("actor", name, SEEDS[0]))
            cells += [f"{less.mean:.2f}", difference(less.rates - full.rates)]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def difference(values: Any) -> str:
    """Mean over networks with its 95 % interval (Student's t), in points."""
    return f"{values.mean():+.2f} ± {_half(values):.2f}"


def _half(values: Any) -> float:
    return float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))
