"""Figures of docs/generalist.md."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from edgebed.experiment.drawing import FAINT, LEARNED, PAPER, REFERENCE, Drawn, draw, spread_labels
from scripts.generalist.cases import SIZES
from scripts.generalist.measure import Decider, measure
from scripts.generalist.models import SHIPPED

_INKS = {"ratc": "#3f4a54", "rda": "#98a3ad", "price-mask": "#76828d", "least-completion": REFERENCE}
_ASKED = {
    "rda": "the backlog of one node",
    "ratc": "the backlogs of two nodes",
    "price-mask": "one bit of everyone",
    "least-completion": "nothing: in the simulator it sees all backlogs",
}


def name_of(decider: Decider) -> str:
    """How a policy is called in tables and figures."""
    return SHIPPED if decider.variant == SHIPPED else decider.policy


def asks_of(decider: Decider) -> str:
    """What it asks for, in words."""
    if decider.variant != SHIPPED:
        return _ASKED[decider.policy]
    if decider.ask == "none":
        return "one bit of everyone"
    return "all backlogs" if decider.ask == "all" else f"one bit of everyone, the backlogs of {decider.ask}"


def by_size(cases: Sequence[str]) -> Drawn:
    """Success against the number of nodes, on networks that it has not seen."""
    wanted = [f"nodes-{n}" for n in SIZES]
    assert set(wanted) <= set(cases)
    deciders = [Decider(name) for name in ("ratc", "price-mask", "least-completion")] + [Decider("actor", SHIPPED)]

    def paint(axes: Axes) -> None:
        labels = []
        for decider in deciders:
            rates = [measure(case, decider).mean for case in wanted]
            learned = decider.variant == SHIPPED
            ink = LEARNED["networks"] if learned else _INKS[decider.policy]
            style = "--" if decider.policy == "least-completion" else "-"
            axes.plot(
                SIZES, rates, style, color=ink, linewidth=2 if learned else 1.3, marker="o", markeredgecolor=PAPER
            )
            labels.append((rates[-1], name_of(decider), ink))
        axes.set_xticks(SIZES)
        axes.grid(axis="y")
        axes.set_xlabel("edge nodes")
        axes.set_ylabel("tasks completed in time, %")
        spread_labels(axes, labels)

    ratc, ours = ([measure(case, decider).mean for case in wanted] for decider in (deciders[0], deciders[-1]))
    gains = [mine - theirs for mine, theirs in zip(ours, ratc, strict=True)]
    span = f"{min(gains):.1f} to {max(gains):.1f}"
    title = f"On networks of {SIZES[0]} to {SIZES[-1]} nodes, {SHIPPED} is {span} points above ratc"
    return draw("nodes", title, "Mean of fresh networks, the same tasks and luck for all.", 3.2, paint)


def by_messages(case: str, deciders: Sequence[Decider]) -> Drawn:
    """Success against the messages that a task costs."""

    def paint(axes: Axes) -> None:
        for decider in deciders:
            figures, learned = measure(case, decider), decider.variant == SHIPPED
            ink = LEARNED["networks"] if learned else _INKS[decider.policy]
            axes.plot(figures.messages, figures.mean, "o", color=ink, markersize=7, markeredgecolor=PAPER)
            words = f"{name_of(decider)}, {asks_of(decider)}" if learned else name_of(decider)
            if not learned or decider.ask in ("none", "all"):
                axes.annotate(
                    words, (figures.messages, figures.mean), (-8, 0), textcoords="offset points",
                    color=ink if not learned else FAINT, ha="right", va="center", fontsize=8.5,
                )  # fmt: skip
        axes.grid(axis="y")
        axes.set_xlim(left=-2)
        axes.set_xlabel("messages per task, question and answer counted once")
        axes.set_ylabel("tasks completed in time, %")

    bit, everything = (measure(case, Decider("actor", SHIPPED, 0, ask)).mean for ask in ("none", "all"))
    title = f"One bit of everyone is worth {bit:.1f} %; all backlogs add {everything - bit:.1f} points"
    return draw("messages", title, "The five reference networks of the simulation setup.", 3.2, paint)
