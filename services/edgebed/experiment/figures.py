"""The figures of a run, made from its results: each has the finding as its title and draws its intervals."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from edgebed.experiment.drawing import (
    FAINT,
    INK,
    LABEL_ON_BAR,
    LOSSES,
    PAPER,
    RULE,
    Drawn,
    colours,
    draw,
    spread_labels,
)
from edgebed.experiment.errors import alternatives
from edgebed.experiment.verdict import REFERENCES, Summary, gain_range, percent, signed

Results = Mapping[str, Any]
_ROW = 0.34


def figures(results: Results) -> list[Drawn]:
    """All figures that the results allow, in the order of the report."""
    order = results["order"]
    if "sweep" in results:
        points = results["sweep"]["points"]
        return [_sweep(results["sweep"], colours(points[0]["methods"], order, REFERENCES), order)]
    methods = results["methods"]
    inks = colours(methods, order, REFERENCES)
    ranked = sorted(order, key=lambda name: -Summary(results).mean(name))
    makers: list[Callable[[], Drawn | None]] = [
        partial(_comparison, results, inks, ranked),
        partial(_differences, results, inks, ranked),
        partial(_learning, results, inks, order),
        partial(_losses, results, ranked),
        partial(_delays, results, inks, ranked),
        partial(_backends, results, inks, ranked),
        partial(_links, results),
    ]
    return [figure for maker in makers if (figure := maker()) is not None]


def _comparison(results: Results, inks: Mapping[str, str], ranked: Sequence[str]) -> Drawn:
    rates = {name: results["methods"][name]["successRate"] for name in ranked}

    def paint(axes: Axes) -> None:
        for row, name in enumerate(reversed(ranked)):
            rate, ink = rates[name], inks[name]
            each = [100 * value for value in rate["perReplicate"] if value is not None]
            axes.plot(each, [row] * len(each), "|", color=ink, markersize=9, alpha=0.55, markeredgewidth=1.1)
            if rate["mean"] is None:
                continue
            if rate["ci95SameNetworks"]:
                low, high = (100 * end for end in rate["ci95SameNetworks"])
                axes.plot([low, high], [row, row], color=ink, linewidth=2.4, solid_capstyle="butt")
            axes.plot(100 * rate["mean"], row, "o", color=ink, markersize=6.5, markeredgecolor=PAPER, zorder=3)
            axes.annotate(
                f"{100 * rate['mean']:.1f}", (1.015, row), xycoords=("axes fraction", "data"), va="center", color=INK
            )
        _rows(axes, ranked)
        axes.set_xlabel("tasks completed in time, %")

    best = _best(results, ranked)
    after = f", after the reference {ranked[0]}" if best != ranked[0] else ""
    title = f"{best} completes the most tasks in time{after}: {percent(rates[best]['mean'])}"
    note = "Dot: mean. Bar: 95 % interval for other tasks on the same networks. Tick: one network."
    return draw("comparison", title, note, _ROW * len(ranked) + 0.55, paint)


def _differences(results: Results, inks: Mapping[str, str], ranked: Sequence[str]) -> Drawn | None:
    summary = Summary(results)
    best = _best(results, ranked)
    others = [name for name in ranked if name != best]
    if not others:
        return None
    found = {name: summary.difference(best, name) for name in others}

    def paint(axes: Axes) -> None:
        axes.axvline(0, color=FAINT, linewidth=1)
        for row, name in enumerate(reversed(others)):
            gain, ink = found[name], inks[name]
            if gain.interval:
                axes.plot(gain.interval, [row, row], color=ink, linewidth=2.4, solid_capstyle="butt")
            axes.plot(gain.points, row, "o", color=ink, markersize=6.5, markeredgecolor=PAPER, zorder=3)
            text = f"{signed(gain.points)}  {gain.ends}"
            axes.annotate(text, (1.015, row), xycoords=("axes fraction", "data"), va="center", color=INK, fontsize=8.5)
        _rows(axes, [f"{best} \N{MINUS SIGN} {name}" for name in others])
        axes.set_xlabel("percentage points, on the same tasks")

    ahead = [name for name in others if found[name].clear and found[name].points > 0]
    behind = [name for name in others if found[name].clear and found[name].points < 0]
    if len(ahead) == len(others):
        title = f"On the same tasks, {best} is clearly ahead of every other method"
    else:
        alike = len(others) - len(ahead) - len(behind)
        parts = [f"ahead of {len(ahead)}"] if ahead else []
        parts += [f"behind {len(behind)}"] if behind else []
        parts += [f"not distinguishable from {alike}"] if alike else []
        noun = "others" if len(others) > 1 else "other"
        title = f"Of {len(others)} {noun}, on the same tasks, {best} is {alternatives(parts, 'and')}"
    note = "Dot: paired difference. Bar: its 95 % interval on these networks; left of the line the other is better."
    return draw("differences", title, note, _ROW * len(others) + 0.55, paint)


def _learning(results: Results, inks: Mapping[str, str], order: Sequence[str]) -> Drawn | None:
    methods = results["methods"]
    curves = {name: methods[name]["learningCurve"] for name in order if "learningCurve" in methods[name]}
    if not curves:
        return None
    summary = Summary(results)
    flat = [name for name in order if name not in curves and methods[name]["successRate"]["mean"] is not None]
    heuristics = [n for n in flat if methods[n]["kind"] == "policy" and not summary.reference(n)]
    shown = [n for n in flat if n not in heuristics or n == summary.best(heuristics)]

    def paint(axes: Axes) -> None:
        labels = []
        for name in shown:
            level = 100 * methods[name]["successRate"]["mean"]
            axes.axhline(level, color=inks[name], linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)
            labels.append((level, name, inks[name]))
        for name, curve in curves.items():
            known = [point for point in curve if point["mean"] is not None]
            x = [point["onlineEpisodes"] for point in known]
            if all(point["ci95"] for point in known):
                low, high = ([100 * point["ci95"][side] for point in known] for side in (0, 1))
                axes.fill_between(x, low, high, color=inks[name], alpha=0.16, linewidth=0)
            axes.plot(x, [100 * point["mean"] for point in known], color=inks[name], linewidth=2, zorder=3)
            labels.append((100 * known[-1]["mean"], name, inks[name]))
        axes.margins(x=0.0)
        _grid(axes, "y")
        axes.set_xlabel("online episodes")
        axes.set_ylabel("tasks completed in time, %")
        spread_labels(axes, labels)

    title = _learning_title(methods, curves)
    note = (
        "Line: mean of networks and training seeds, on the same episodes at every point. Band: 95 % interval on these "
        "networks. Dashed: methods that do not learn online, from the final evaluation."
    )
    return draw("learning-curve", title, note, 3.3, paint)


def _learning_title(methods: Mapping[str, Any], curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What the warm start and the fine-tuning do to the curve."""
    tuned = next((name for name in curves if methods[name]["kind"] == "offline-to-online"), None)
    fresh = next((name for name in curves if methods[name]["kind"] == "online"), None)
    if tuned is None:
        name = next(iter(curves))
        return f"{name} goes from {percent(curves[name][0]['mean'])} to {percent(curves[name][-1]['mean'])}"
    dip = methods[tuned]["dip"]["points"] or 0.0
    start = "without a dip" if dip < 0.05 else f"with a dip of {signed(dip)} points"
    if fresh is None:
        ends = f"{percent(curves[tuned][0]['mean'])} to {percent(curves[tuned][-1]['mean'])}"
        return f"Fine-tuning takes {tuned} from {ends}, and begins {start}"
    begin = curves[tuned][0]["mean"] or 0.0
    reached = next((p["onlineEpisodes"] for p in curves[fresh] if (p["mean"] or 0.0) >= begin), None)
    if reached == 0:
        return f"{tuned} begins below {fresh}, and {start}"
    arrival = f"arrives after {reached} episodes" if reached is not None else "does not arrive"
    return f"{tuned} begins {start}, at a level where {fresh} {arrival}"


def _losses(results: Results, ranked: Sequence[str]) -> Drawn:
    shares = {name: results["methods"][name]["shares"] for name in ranked}
    widest = max(100 * sum(share[kind] or 0.0 for kind in LOSSES) for share in shares.values())
    kinds = [kind for kind in LOSSES if kind != "unfinished" or any(share[kind] for share in shares.values())]

    def paint(axes: Axes) -> None:
        for row, name in enumerate(reversed(ranked)):
            left = 0.0
            for kind in kinds:
                width = 100 * (shares[name][kind] or 0.0)
                axes.barh(row, width, left=left, height=0.62, color=LOSSES[kind], linewidth=0)
                if width > widest / 12:
                    text = f"{width:.1f}"
                    axes.annotate(
                        text, (left + width / 2, row), va="center", ha="center", color=LABEL_ON_BAR, fontsize=8
                    )
                left += width
            text = f"{left:.1f}"
            axes.annotate(text, (left, row), xytext=(4, 0), textcoords="offset points", va="center", color=INK)
        _rows(axes, ranked)
        axes.set_xlim(left=0)
        axes.margins(x=0.12)
        place = 0.0
        for kind in kinds:
            item = axes.annotate(
                f"\N{BLACK SQUARE} {kind}", (place, 1.02), xycoords="axes fraction", color=LOSSES[kind], fontsize=8.5
            )
            place += 0.045 + 0.0175 * len(item.get_text())
        axes.set_xlabel("share of all tasks, %")

    best = _best(results, ranked)
    lost = sum(shares[best][kind] or 0.0 for kind in kinds)
    most = max(kinds, key=lambda kind: shares[best][kind] or 0.0)
    share = 100 * (shares[best][most] or 0.0) / lost if lost else 0.0
    title = f"{best} loses {percent(lost)} of the tasks; {share:.0f} % of these are {most}"
    note = "Dropped: given up, or ended after the deadline. Failed: lost on a link or a node."
    return draw("losses", title, note, _ROW * len(ranked) + 0.75, paint)


def _delays(results: Results, inks: Mapping[str, str], ranked: Sequence[str]) -> Drawn | None:
    delays = {name: results["methods"][name]["delaySeconds"] for name in ranked}
    wanted = ("p5", "p25", "p50", "p75", "p95")
    known = [name for name in ranked if all(delays[name].get(q) is not None for q in wanted)]
    if not known:
        return None

    def paint(axes: Axes) -> None:
        for row, name in enumerate(reversed(known)):
            p5, p25, p50, p75, p95 = (delays[name][q] for q in wanted)
            axes.plot([p5, p95], [row, row], color=inks[name], linewidth=1.1)
            axes.plot([p25, p75], [row, row], color=inks[name], linewidth=5.5, solid_capstyle="butt")
            axes.plot(
                p50, row, "o", color=PAPER, markeredgecolor=inks[name], markersize=6, markeredgewidth=1.6, zorder=3
            )
            axes.annotate(
                f"{p50:.2f} s", (1.015, row), xycoords=("axes fraction", "data"), va="center", color=INK, fontsize=8.5
            )
        _rows(axes, known)
        axes.set_xlim(left=0)
        axes.set_xlabel("seconds from arrival to completion, of the tasks completed in time")

    best = _best(results, known)
    title = f"Half of the tasks that {best} completes take less than {delays[best]['p50']:.2f} s"
    note = "Circle: median. Thick: the middle half. Thin: 5 % to 95 %."
    return draw("delays", title, note, _ROW * len(known) + 0.55, paint)


def _backends(results: Results, inks: Mapping[str, str], ranked: Sequence[str]) -> Drawn | None:
    """Testbed and simulator, the same policy and luck."""
    found = results.get("fidelity", {}).get("methods", {})
    known = [
        n for n in ranked if n in found and None not in (found[n]["successRate"], found[n]["simulatedSuccessRate"])
    ]
    if not known:
        return None
    gaps = {name: 100 * (found[name]["successRate"] - found[name]["simulatedSuccessRate"]) for name in known}

    def paint(axes: Axes) -> None:
        for row, name in enumerate(reversed(known)):
            here, there = 100 * found[name]["successRate"], 100 * found[name]["simulatedSuccessRate"]
            axes.plot([here, there], [row, row], color=inks[name], linewidth=1.1)
            axes.plot(there, row, "o", color=PAPER, markeredgecolor=inks[name], markersize=7, markeredgewidth=1.6)
            axes.plot(here, row, "o", color=inks[name], markersize=4.5, zorder=3)
            axes.annotate(signed(gaps[name]), (1.015, row), xycoords=("axes fraction", "data"), va="center", color=INK)
        _rows(axes, known)
        axes.set_xlabel("tasks completed in time, %")

    widest = max(known, key=lambda name: abs(gaps[name]))
    title = f"Measured and simulated success differ by at most {abs(gaps[widest]):.1f} points"
    note = (
        "Filled: measured on the testbed. Open: the simulator, same policy and luck. Right: the difference in points."
    )
    return draw("fidelity", title, note, _ROW * len(known) + 0.55, paint)


def _links(results: Results) -> Drawn | None:
    """Configured against measured rate of every link that was used."""
    links = results.get("fidelity", {}).get("links", [])
    if not links:
        return None
    configured, measured = ([link[key] for link in links] for key in ("configuredMBps", "measuredMBps"))

    def paint(axes: Axes) -> None:
        ends = [min(configured), max(configured)]
        axes.plot(ends, ends, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot(configured, measured, "o", color=INK, markersize=3.2, alpha=0.55, markeredgewidth=0)
        _grid(axes, "both")
        axes.set_xlabel("configured rate of a link, MB/s")
        axes.set_ylabel("measured, MB/s")

    worst = max(abs(there / here - 1) for here, there in zip(configured, measured, strict=True))
    title = f"Links keep their configured rate to within {100 * worst:.1f} %"
    note = "A dot: all transfers of one link. Dashed: as configured."
    return draw("links", title, note, 2.8, paint)


def _sweep(sweep: Mapping[str, Any], inks: Mapping[str, str], order: Sequence[str]) -> Drawn:
    points = sweep["points"]
    positions = [point["position"] for point in points]
    numeric = None not in positions and len(set(positions)) == len(positions)
    x = positions if numeric else list(range(len(points)))
    summaries = [Summary(point) for point in points]

    def paint(axes: Axes) -> None:
        labels = []
        for name in order:
            rates = [point["methods"][name]["successRate"] for point in points]
            known = [(at, rate) for at, rate in zip(x, rates, strict=True) if rate["mean"] is not None]
            at = [place for place, _ in known]
            reference, learned = summaries[0].reference(name), points[0]["methods"][name]["kind"] != "policy"
            if known and all(rate["ci95SameNetworks"] for _, rate in known):
                low, high = ([100 * rate["ci95SameNetworks"][side] for _, rate in known] for side in (0, 1))
                axes.vlines(at, low, high, color=inks[name], linewidth=2.2, alpha=0.45)
            style: Any = (0, (4, 3)) if reference else "-"
            means = [100 * rate["mean"] for _, rate in known]
            axes.plot(
                at,
                means,
                color=inks[name],
                linestyle=style,
                linewidth=2 if learned else 1.3,
                marker="o",
                markersize=5 if learned else 4,
                markeredgecolor=PAPER,
                zorder=3 if learned else 2,
            )
            if known:
                labels.append((means[-1], name, inks[name]))
        axes.set_xticks(x, [point["label"] for point in points])
        if len(points) > 6 or max(len(point["label"]) for point in points) > 12:
            axes.tick_params(axis="x", labelrotation=30)
        _grid(axes, "y")
        axes.set_xlabel(sweep["label"])
        axes.set_ylabel("tasks completed in time, %")
        spread_labels(axes, labels)

    names = [name for name in order if not summaries[0].reference(name)] or list(order)
    winners = [summary.best(names) for summary in summaries]
    leader = max(names, key=winners.count)
    title = f"{leader} completes the most tasks at {winners.count(leader)} of {len(points)} values"
    heuristics = [name for name in names if points[0]["methods"][name]["kind"] == "policy"]
    if heuristics and leader not in heuristics:
        title = f"{leader} against the best heuristic: {gain_range(summaries, leader, heuristics)} points"
    note = "Dot: mean of the networks. Bar: 95 % interval for other tasks on the same networks."
    return draw("sweep", title, note, 3.4, paint)


def _best(results: Results, ranked: Sequence[str]) -> str:
    """The best method that is not a reference."""
    return next((name for name in ranked if not Summary(results).reference(name)), ranked[0])


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """One row per name, the first on top."""
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.tick_params(axis="y", labelcolor=INK, pad=8)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(6, min_n_ticks=3))
    _grid(axes, "x")


def _grid(axes: Axes, axis: Any) -> None:
    axes.grid(axis=axis)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_color(RULE)
    ticks = axes.xaxis if axis == "x" else axes.yaxis
    ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}")))
