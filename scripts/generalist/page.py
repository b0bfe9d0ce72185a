"""Writes docs/generalist.md: tables of measured figures between sentences that do not depend on them."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy import stats

from scripts.generalist.cases import CASES
from scripts.generalist.measure import Decider, measure
from scripts.generalist.models import ROOT, SEEDS, SHIPPED, VARIANTS
from scripts.generalist.prose import PAGE

Work = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], list[Any]]

HEURISTICS = ("ratc", "price-mask", "least-completion")
HEADLINES = ("reference-simulation", "reference-testbed")
ELSEWHERE = tuple(name for name in CASES if name not in HEADLINES)
ASKS: tuple[str | int, ...] = ("none", 3, "all")
ABLATIONS = tuple(name for name in VARIANTS if name != SHIPPED)


def write_page(work: Work) -> None:
    """Trains and measures what is not there yet, and writes the page."""
    from scripts.generalist.__main__ import train_one

    work(train_one, [*((SHIPPED, seed) for seed in SEEDS), *((name, SEEDS[0]) for name in ABLATIONS)])
    units = [(case, decider) for case in HEADLINES for decider in _headline()]
    units += [(case, decider) for case in ELSEWHERE for decider in _elsewhere()]
    units += [(HEADLINES[0], _of(name, SEEDS[0], "none")) for name in ABLATIONS]
    units += [(HEADLINES[0], Decider("actor", SHIPPED, SEEDS[0], "none", sample=False))]
    work(measure, units)
    text = PAGE.format(
        headline=headline_table(),
        elsewhere=elsewhere_table(),
        information=information_table(),
        ablations=ablation_table(),
        model=json.loads((ROOT / "deploy" / "models" / f"{SHIPPED}.json").read_text()),
    )
    (ROOT / "docs" / "generalist.md").write_text(text)


def _of(variant: str, seed: int, ask: str | int) -> Decider:
    return Decider("actor", variant, seed, ask)


def _headline() -> list[Decider]:
    return [*(Decider(name) for name in HEURISTICS), *(_of(SHIPPED, seed, ask) for ask in ASKS for seed in SEEDS)]


def _elsewhere() -> list[Decider]:
    return [*(Decider(name) for name in HEURISTICS), *(_of(SHIPPED, SEEDS[0], ask) for ask in ("none", "all"))]


def headline_table() -> str:
    """Reference networks: heuristics, and the generalist by whom it asks, mean of seeds and each."""
    lines = [
        "| 5 networks, 400 episodes each | " + " | ".join(HEURISTICS) + " | one bit | and 3 backlogs | all backlogs |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for case in HEADLINES:
        cells = [f"{measure(case, Decider(name)).mean:.2f}" for name in HEURISTICS]
        for ask in ASKS:
            means = [measure(case, _of(SHIPPED, seed, ask)).mean for seed in SEEDS]
            cells.append(f"{np.mean(means):.2f} ({', '.join(f'{mean:.2f}' for mean in means)})")
        lines.append(f"| {CASES[case].words} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def elsewhere_table() -> str:
    """Fresh networks: success, and the paired difference to RATC over networks with its interval."""
    lines = [
        "| 20 fresh networks each | ratc | price-mask | least-completion | one bit | all backlogs | one bit less ratc |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for case in ELSEWHERE:
        found = {name: measure(case, Decider(name)) for name in HEURISTICS}
        bit, everything = (measure(case, _of(SHIPPED, SEEDS[0], ask)) for ask in ("none", "all"))
        cells = [f"{found[name].mean:.1f}" for name in HEURISTICS] + [f"{bit.mean:.1f}", f"{everything.mean:.1f}"]
        cells.append(difference(bit.rates - found["ratc"].rates))
        lines.append(f"| {CASES[case].words} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def information_table() -> str:
    """What a decision costs in messages, and what it brings."""
    lines = ["| asks | messages per task | numbers per task | simulation | testbed |", "|---|---|---|---|---|"]
    ratc = [measure(case, Decider("ratc")) for case in HEADLINES]
    lines.append(f"| ratc: two random nodes | {ratc[0].messages:.1f} | 2 | {ratc[0].mean:.2f} | {ratc[1].mean:.2f} |")
    words = {
        "none": ("one bit of everyone", "0"),
        3: ("and the backlogs of 3", "3"),
        "all": ("and all backlogs", "all"),
    }
    for ask in ASKS:
        found = [[measure(case, _of(SHIPPED, seed, ask)) for seed in SEEDS] for case in HEADLINES]
        means = [float(np.mean([one.mean for one in each])) for each in found]
        text, numbers = words[ask]
        lines.append(f"| {text} | {found[0][0].messages:.1f} | {numbers} | {means[0]:.2f} | {means[1]:.2f} |")
    return "\n".join(lines)


def ablation_table() -> str:
    """One thing changed, trained again with the first seed: the difference on the simulation's reference networks."""
    whole = measure(HEADLINES[0], _of(SHIPPED, SEEDS[0], "none"))
    lines = ["| trained | success % | difference |", "|---|---|---|", f"| as it comes along | {whole.mean:.2f} | |"]
    for name in ABLATIONS:
        found = measure(HEADLINES[0], _of(name, SEEDS[0], "none"))
        lines.append(f"| {name} | {found.mean:.2f} | {difference(found.rates - whole.rates)} |")
    greedy = measure(HEADLINES[0], Decider("actor", SHIPPED, SEEDS[0], "none", sample=False))
    lines.append(
        f"| as it comes along, likeliest node | {greedy.mean:.2f} | {difference(greedy.rates - whole.rates)} |"
    )
    return "\n".join(lines)


def difference(values: Any) -> str:
    """Mean over networks with its 95 % interval (Student's t), in points."""
    half = float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))
    return f"{values.mean():+.2f} ± {half:.2f}"
