"""The paper's claims, figure by figure, each judged from the results of our run by a rule that is written here.

A claim is `reproduced` when its rule holds wherever it was looked at, `partly` when it holds for some of the networks,
sources or values, and `not reproduced` otherwise. A difference counts only when its 95 % interval on the same tasks
excludes 0.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgebed.experiment.intervals import Interval, on_these_networks

HEURISTICS = ("random", "local", "rda", "ratc")
WARM, COLD, OFFLINE = "o2o", "online-only", "offline-only"


@dataclass(frozen=True)
class Claim:
    """One claim and what became of it."""

    text: str
    verdict: str
    evidence: str


def judged(text: str, held: Sequence[bool], evidence: str) -> Claim:
    """A claim that was looked at in several places."""
    verdict = "reproduced" if all(held) else "partly" if any(held) else "not reproduced"
    return Claim(text, verdict, evidence)


def percent(value: float) -> str:
    """A fraction as a percentage with one decimal."""
    return f"{100 * value:.1f}"


def mean(results: Mapping[str, Any], name: str) -> float:
    """Success rate of a method."""
    return float(results["methods"][name]["successRate"]["mean"])


def each(results: Mapping[str, Any], name: str) -> list[float]:
    """Success rate of a method on every network."""
    return [float(value) for value in results["methods"][name]["successRate"]["perReplicate"]]


def gain(results: Mapping[str, Any], name: str, other: str) -> tuple[float, float, float]:
    """How much more `name` completes than `other` on the same tasks, in points, and the ends of the interval."""
    for found in results["differences"]:
        low, high = found["ci95"] or (0.0, 0.0)
        if (found["method"], found["against"]) == (name, other):
            return 100 * found["mean"], 100 * low, 100 * high
        if (found["method"], found["against"]) == (other, name):
            return -100 * found["mean"], -100 * high, -100 * low
    raise KeyError((name, other))


def shown(found: tuple[float, float, float]) -> str:
    """+3.1 [2.2, 4.0]."""
    return f"{found[0]:+.1f} [{found[1]:+.1f}, {found[2]:+.1f}]"


def on_network(results: Mapping[str, Any], network: int, name: str, other: str | None = None) -> Interval:
    """Success rate of a method on one network, or by how much it is above another's on the same tasks; in points."""
    of = {key: results["methods"][key]["successRate"]["perEpisode"][network] for key in (name, other) if key}
    rates = {key: np.array(value, dtype=np.float64) for key, value in of.items()}
    return on_these_networks(100 * (rates[name] - rates[other] if other else rates[name])[None])


def fig3(results: Mapping[str, Any]) -> list[Claim]:
    """The learning curve."""
    warm, cold = (results["methods"][name]["learningCurve"] for name in (WARM, COLD))
    dip = results["methods"][WARM]["dip"]["points"]
    goal = cold[-1]["mean"]
    reached = next((point["onlineEpisodes"] for point in warm if point["mean"] >= goal), None)
    over_ratc = [a > b for a, b in zip(each(results, WARM), each(results, "ratc"), strict=True)]
    offline = [a > b for a, b in zip(each(results, OFFLINE), each(results, "ratc"), strict=True)]
    tuned = gain(results, WARM, OFFLINE)
    claims = [
        judged(
            "The warm start spares the poor beginning of online learning",
            [warm[0]["mean"] > cold[0]["mean"]],
            f"at 0 online episodes {percent(warm[0]['mean'])} against {percent(cold[0]['mean'])}",
        ),
        judged(
            "Fine-tuning begins without a dip",
            [dip <= 0.5],
            f"lowest point of the first quarter: {dip:.2f} points below",
        ),
        judged("Fine-tuning improves on offline learning", [tuned[1] > 0], f"{shown(tuned)} points"),
        judged(
            "Offline-to-online surpasses RATC",
            over_ratc,
            f"on {sum(over_ratc)} of {len(over_ratc)} networks, {shown(gain(results, WARM, 'ratc'))} points",
        ),
        judged(
            "Offline learning alone surpasses the heuristic that made its log",
            offline,
            f"on {sum(offline)} of {len(offline)} networks, {shown(gain(results, OFFLINE, 'ratc'))} points",
        ),
        judged(
            "It needs fewer online episodes than learning from scratch",
            [reached is not None and reached < cold[-1]["onlineEpisodes"]],
            f"{percent(goal)}, where {COLD} ends after {cold[-1]['onlineEpisodes']} episodes, "
            + (f"is reached after {reached}" if reached is not None else "is not reached"),
        ),
    ]
    if "o2o-paper" in results["methods"]:
        own = [a > b for a, b in zip(each(results, "o2o-paper"), each(results, "ratc"), strict=True)]
        against = gain(results, "o2o-paper", "online-only-paper")
        claims += [
            judged(
                "The same with the paper's own recipe: offline-to-online surpasses RATC",
                own,
                f"on {sum(own)} of {len(own)} networks, {shown(gain(results, 'o2o-paper', 'ratc'))} points",
            ),
            judged(
                "With the paper's own recipe it ends above learning from scratch",
                [against[1] > 0],
                f"{shown(against)} points after {cold[-1]['onlineEpisodes']} episodes of both",
            ),
        ]
    if "price-mask" in results["methods"]:
        found = gain(results, WARM, "price-mask")
        claims.append(
            judged(
                "(not in the paper) It comes within 0.5 points of price+mask",
                [found[0] >= -0.5],
                f"{shown(found)} points",
            )
        )
    return claims


def fig4(results: Mapping[str, Any]) -> list[Claim]:
    """Logs of different heuristics."""
    sources = [name for name in HEURISTICS if f"offline-{name}" in results["methods"]]
    over = {name: gain(results, f"offline-{name}", name) for name in sources}
    tuned = {name: gain(results, f"o2o-{name}", f"offline-{name}") for name in sources}
    ends = [mean(results, f"o2o-{name}") for name in sources]
    order = sorted(sources, key=lambda name: mean(results, name))
    follows = sorted(sources, key=lambda name: mean(results, f"offline-{name}")) == order
    return [
        judged(
            "Offline learning surpasses the heuristic whose log it learns from",
            [found[1] > 0 for found in over.values()],
            "; ".join(f"{name} {shown(found)}" for name, found in over.items()),
        ),
        judged(
            "Fine-tuning improves it, whatever the source",
            [found[1] > 0 for found in tuned.values()],
            "; ".join(f"{name} {shown(found)}" for name, found in tuned.items()),
        ),
        judged(
            "A better heuristic makes a better log",
            [follows],
            "offline learning from "
            + ", ".join(f"{name} {percent(mean(results, f'offline-{name}'))}" for name in order),
        ),
        judged(
            "After fine-tuning the source hardly matters (within a point)",
            [max(ends) - min(ends) <= 0.01],
            ", ".join(f"{name} {percent(end)}" for name, end in zip(sources, ends, strict=True)),
        ),
    ]


def swept(what: str, falls: bool | None) -> Callable[[Mapping[str, Any]], list[Claim]]:
    """A figure over the values of a field."""

    def claims(results: Mapping[str, Any]) -> list[Claim]:
        points = results["sweep"]["points"]
        best = []
        for point in points:
            rivals = [name for name in HEURISTICS if name in point["methods"]]
            rival = max(rivals, key=lambda name: mean(point, name))
            best.append((point["label"], rival, gain(point, WARM, rival)))
        found = [
            judged(
                f"Offline-to-online is above every heuristic at every {what}",
                [difference[1] > 0 for _, _, difference in best],
                "; ".join(f"{label}: {shown(difference)} over {rival}" for label, rival, difference in best),
            )
        ]
        rates = [mean(point, WARM) for point in points]
        steps = [later <= earlier for earlier, later in itertools.pairwise(rates)]
        if falls is not None:
            found.append(
                judged(f"Success falls with {what}", steps, ", ".join(percent(rate) for rate in rates) + " for o2o")
            )
        return found

    return claims


def testbed(results: Mapping[str, Any]) -> list[Claim]:
    """The testbed setup: 200 episodes of RATC, and 50 online."""
    networks = range(results["replicates"])
    warm, cold = (results["methods"][name]["learningCurve"] for name in (WARM, COLD))
    dip = results["methods"][WARM]["dip"]["points"]

    def over_ratc(name: str) -> tuple[list[bool], str]:
        each_network = [on_network(results, network, name, "ratc") for network in networks]
        held = [found.low is not None and found.low > 0 for found in each_network]
        gains = ", ".join(f"{found.mean:+.1f}" for found in each_network)
        return held, f"clearly on {sum(held)} of {len(held)} networks: {gains} points"

    offline = gain(results, OFFLINE, "ratc")
    tuned = gain(results, WARM, OFFLINE)
    started = gain(results, WARM, COLD)
    claims = [
        judged("Offline-to-online surpasses RATC on every network", *over_ratc(WARM)),
        judged("Offline learning alone surpasses the heuristic that made its log", *over_ratc(OFFLINE)),
        judged(
            "(not in the paper) Offline learning is within 3 points of RATC on average",
            [offline[0] >= -3],
            f"{shown(offline)} points",
        ),
        judged("Fine-tuning improves on offline learning", [tuned[1] > 0], f"{shown(tuned)} points"),
        judged("Fine-tuning begins without a dip", [dip <= 0.5], f"lowest point of the first quarter: {dip:.2f} below"),
        judged(
            "The warm start spares the poor beginning of online learning",
            [warm[0]["mean"] > cold[0]["mean"]],
            f"at 0 online episodes {percent(warm[0]['mean'])} against {percent(cold[0]['mean'])}",
        ),
        judged(
            "After 50 online episodes it is above learning from scratch", [started[1] > 0], f"{shown(started)} points"
        ),
    ]
    if "o2o-paper" in results["methods"]:
        claims.append(
            judged("The same with the paper's own recipe: offline-to-online surpasses RATC", *over_ratc("o2o-paper"))
        )
        against = gain(results, "o2o-paper", "online-only-paper")
        claims.append(
            judged(
                "With the paper's own recipe it ends above learning from scratch",
                [against[1] > 0],
                f"{shown(against)} points after {cold[-1]['onlineEpisodes']} episodes of both",
            )
        )
    return claims


def loose_mask(results: Mapping[str, Any]) -> list[Claim]:
    """Whether offline learning keeps up with its heuristic when the mask no longer keeps nodes from herding."""
    found = {str(point["label"]): gain(point, OFFLINE, "ratc") for point in results["sweep"]["points"]}
    evidence = "; ".join(f"coefficient {label}: {shown(difference)}" for label, difference in found.items())
    return [
        judged(
            "(not in the paper) Offline learning surpasses RATC whatever the mask",
            [difference[1] > 0 for difference in found.values()],
            evidence,
        ),
        judged(
            "(not in the paper) It is within 3 points of RATC on average whatever the mask",
            [difference[0] >= -3 for difference in found.values()],
            evidence,
        ),
    ]


def fig8(results: Mapping[str, Any]) -> list[Claim]:
    """The testbed on processes: real bytes, real time."""
    found = results["fidelity"]
    methods = found["methods"]
    gaps = {name: 100 * (m["successRate"] - m["simulatedSuccessRate"]) for name, m in methods.items()}
    over = {name: gain(results, WARM, name) for name in HEURISTICS}
    return [
        judged(
            "Offline-to-online completes more tasks than every heuristic, on real processes",
            [low > 0 for _, low, _ in over.values()],
            "; ".join(f"{name} {shown(value)}" for name, value in over.items()),
        ),
        judged(
            "(not in the paper) Measured and simulated success differ by at most a point, for the same policy and luck",
            [abs(gap) <= 1 for gap in gaps.values()],
            ", ".join(f"{name} {gap:+.1f}" for name, gap in gaps.items()),
        ),
        judged(
            "(not in the paper) At least 99 % of the tasks end as the simulator says, given the same decisions",
            [found["sameStatus"] >= 0.99],
            f"{100 * found['sameStatus']:.2f} % of {found['tasks']:,} tasks",
        ),
    ]


CLAIMS: dict[str, Callable[[Mapping[str, Any]], list[Claim]]] = {
    "fig3": fig3,
    "fig4": fig4,
    "fig5a": swept("task size", falls=True),
    "fig5b": swept("arrival probability", falls=True),
    "fig5c": swept("failure rate", falls=True),
    "fig6": swept("number of nodes", falls=None),
    "testbed-networks": testbed,
    "testbed-mask": loose_mask,
    "fig8": fig8,
}


def methods_table(results: Mapping[str, Any]) -> str:
    """All methods in one table: with a sweep a column per value, otherwise success, interval and losses."""
    if "sweep" in results:
        points = results["sweep"]["points"]
        names = list(points[0]["methods"])
        lines = ["| method | " + " | ".join(str(point["label"]) for point in points) + " |"]
        lines.append("|---|" + "---|" * len(points))
        order = results["order"]
        for name in sorted(names, key=order.index):
            lines.append(f"| {name} | " + " | ".join(percent(mean(point, name)) for point in points) + " |")
        return "\n".join(lines)
    networks = results["replicates"]
    head = "| method | success % | 95 % interval | dropped % | failed % | delay s | "
    lines = [head + " | ".join(f"network {k + 1}" for k in range(networks)) + " |", "|---|" + "---|" * (networks + 5)]
    for name in results["order"]:
        method = results["methods"][name]
        low, high = method["successRate"]["ci95"] or (float("nan"), float("nan"))
        shares = method["shares"]
        cells = [percent(mean(results, name)), f"{percent(low)} to {percent(high)}", percent(shares["dropped"])]
        cells += [percent(shares["failed"]), f"{method['delaySeconds']['mean']:.2f}"]
        cells += [percent(value) for value in each(results, name)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def fidelity_table(results: Mapping[str, Any]) -> str:
    """Each method measured on the testbed and played by the simulator, and what its questions cost."""
    found = results["fidelity"]
    head = "| method | measured % | simulated % | same status % | end time error p50, p99 ms | questions | latency ms |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for name in results["order"]:
        m = found["methods"][name]
        error = m["endErrorSeconds"]
        latency = m["probeLatencySeconds"]
        cells = [percent(m["successRate"]), percent(m["simulatedSuccessRate"]), f"{100 * m['sameStatus']:.2f}"]
        cells += [f"{1000 * error['p50']:.2f}, {1000 * error['p99']:.2f}", f"{m['probesPerTask']:.1f}"]
        cells += ["" if latency is None else f"{1000 * latency:.2f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    link, slot = found["transferErrorShare"], found["slotLatenessSeconds"]
    lines += [
        "",
        f"Transfers against size / rate: {100 * link['p50']:.2f} % off in the median, {100 * link['p99']:.2f} % for the 99th "
        f"percentile. Slots began {1000 * slot['p50']:.1f} ms late in the median, at most {1000 * slot['max']:.1f} ms. Nodes "
        f"had {' and '.join(found['priorities'])} priority"
        + (", and processors were kept from sleeping." if found.get("awake") else "."),
    ]
    return "\n".join(lines)


def networks_table(results: Mapping[str, Any]) -> str:
    """Each method on each network, with the 95 % interval for other tasks and other training seeds there."""
    names = [name for name in results["order"] if name in ("ratc", "price-mask") or "line" in name or "o2o" in name]
    lines = ["| network | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for network in range(results["replicates"]):
        found = [on_network(results, network, name) for name in names]
        cells = [f"{rate.mean:.1f}" + (f" ± {rate.high - rate.mean:.1f}" if rate.high else "") for rate in found]
        lines.append(f"| {network + 1} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
