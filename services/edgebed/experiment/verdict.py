"""What the numbers say, in plain sentences, and no more than they say.

A difference is claimed only when its 95 % interval on the same tasks excludes 0. References that know what no node can
know (least completion) or were given what must be learned (price+mask) are compared apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from edgebed.experiment.methods import Method
from edgebed.experiment.specification import Experiment

REFERENCES = {
    "least-completion": "a centralised reference that sees every queue",
    "price-mask": "a reference that is given the network's parameters",
}
"""Policies to measure against rather than to compete with, by kind."""


def verdict(results: Mapping[str, Any], experiment: Experiment) -> list[str]:
    """The sentences, the most important first."""
    if "sweep" in results:
        return _swept(results["sweep"], experiment)
    summary = Summary(results)
    sentences = [_headline(summary, experiment)]
    sentences += _references(summary)
    for method in experiment.spec.methods:
        if method.offline is not None and method.online is not None:
            sentences += _tuned(summary, method, experiment.spec.methods)
    return [sentence for sentence in sentences if sentence]


class Summary:
    """Methods and differences of one comparison, looked up both ways."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        self.methods: Mapping[str, Any] = results["methods"]
        self._differences = {(d["method"], d["against"]): d for d in results["differences"]}

    def mean(self, name: str) -> float:
        """Success rate; -1 where nothing was measured."""
        value = self.methods[name]["successRate"]["mean"]
        return -1.0 if value is None else float(value)

    def best(self, names: Sequence[str]) -> str | None:
        """The one with the highest mean."""
        return max(names, key=self.mean, default=None)

    def reference(self, name: str) -> bool:
        """Whether it is one to measure against."""
        return self.methods[name]["policy"] in REFERENCES

    def difference(self, name: str, other: str) -> "Difference":
        """How much more `name` completes than `other`."""
        if (name, other) in self._differences:
            return Difference(self._differences[name, other], 1)
        return Difference(self._differences[other, name], -1)


class Difference:
    """A paired difference in percentage points, seen from one side."""

    def __init__(self, document: Mapping[str, Any], sign: int) -> None:
        self.points = 100 * sign * (document["mean"] or 0.0)
        ends = document["ci95"]
        self.interval = None if ends is None else tuple(sorted(100 * sign * end for end in ends))
        each = [sign * value for value in document["perReplicate"] if value is not None]
        self.wins, self.replicates = sum(value > 0 for value in each), len(each)

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)

    @property
    def ends(self) -> str:
        """`[2.2, 4.0]`."""
        return "" if self.interval is None else f"[{signed(self.interval[0])}, {signed(self.interval[1])}]"


def signed(points: float) -> str:
    """Points for people: one decimal, two below a tenth, a true minus."""
    text = f"{points:.2f}" if 0 < abs(points) < 0.1 else f"{points:.1f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else "0.0"


def percent(rate: float | None) -> str:
    """89.2 %."""
    return "unknown" if rate is None else f"{100 * rate:.1f} %"


def _headline(summary: Summary, experiment: Experiment) -> str:
    names = [name for name in (m.name for m in experiment.spec.methods) if not summary.reference(name)]
    names = names or list(summary.methods)
    best = summary.best(names)
    assert best is not None  # an experiment has at least one method
    if len(names) == 1:
        return f"{best} completes {percent(summary.mean(best))} of the tasks in time."
    group, what = _rivals(summary, best, names)
    rival = summary.best(group)
    assert rival is not None  # there are at least two methods
    found = summary.difference(best, rival)
    networks = found.replicates
    if not found.clear:
        interval = f" {found.ends}" if found.ends else ""
        return (
            f"{best} and {rival} cannot be told apart: {percent(summary.mean(best))} and {percent(summary.mean(rival))} "
            f"of the tasks, a difference of {signed(found.points)} points{interval} on the same tasks."
        )
    wins = f" It wins on {_of(found.wins, networks)}." if networks > 1 else ""
    if found.points < 0:  # the interval of one pair may contradict the order of means only when tasks are missing
        best, rival, wins = rival, best, ""
    return (
        f"{best} beats {rival}{what} by {signed(abs(found.points))} points {found.ends} on the same tasks: "
        f"{percent(summary.mean(best))} of them end in time, against {percent(summary.mean(rival))}.{wins}"
    )


def _rivals(summary: Summary, best: str, names: Sequence[str]) -> tuple[list[str], str]:
    """Whom the best method is compared with: learned with heuristics and the other way round, if there are both."""
    learned = summary.methods[best]["kind"] != "policy"
    others = [name for name in names if name != best]
    opposite = [name for name in others if (summary.methods[name]["kind"] != "policy") != learned]
    if opposite:
        many = len(opposite) > 1
        return opposite, (f", the best {'heuristic' if learned else 'learned method'}," if many else "")
    return others, ""


def _references(summary: Summary) -> list[str]:
    """Where the best method stands to the references."""
    names = [name for name in summary.methods if not summary.reference(name)]
    best = summary.best(names)
    sentences = []
    for name in summary.methods:
        if best is not None and summary.reference(name):
            found = summary.difference(best, name)
            place = "above" if found.points > 0 else "below"
            where = f"{signed(abs(found.points))} points {place}" if found.clear else "not distinguishable from"
            sentences.append(f"{best} is {where} {name} ({percent(summary.mean(name))}), {_kind(summary, name)}.")
    return sentences


def _kind(summary: Summary, name: str) -> str:
    return REFERENCES[summary.methods[name]["policy"]]


def _tuned(summary: Summary, method: Method, methods: Sequence[Method]) -> list[str]:
    """What the warm start and the fine-tuning of an offline-to-online method are worth."""
    same_offline = [
        m for m in methods if m.online is None and m.offline == method.offline and m.collect == method.collect
    ]
    same_online = [m for m in methods if m.offline is None and m.online is not None and m.online == method.online]
    sentences = []
    for other, change in ((same_offline, "Fine-tuning"), (same_online, "The warm start")):
        if other:
            found = summary.difference(method.name, other[0].name)
            effect = f"{'adds' if found.points > 0 else 'costs'} {signed(abs(found.points))} points {_ends(found)}"
            effect = (
                effect if found.clear else f"makes no clear difference ({signed(found.points)} points {found.ends})"
            )
            sentences.append(f"{change} {effect} ({method.name} against {other[0].name}).")
    dip = summary.methods[method.name].get("dip", {}).get("points")
    if dip is not None:
        at = summary.methods[method.name]["dip"]["atOnlineEpisodes"]
        start = (
            f"begins with a dip of {signed(dip)} points, at {at} online episodes"
            if dip >= 0.05
            else "begins without a dip"
        )
        sentences.append(f"Fine-tuning of {method.name} {start}.")
    return sentences


def _ends(found: Difference) -> str:
    ends = found.interval or (0.0, 0.0)
    low, high = sorted(abs(end) for end in ends)
    return f"[{signed(low)}, {signed(high)}]"


def _swept(sweep: Mapping[str, Any], experiment: Experiment) -> list[str]:
    """How the methods compare over the swept values."""
    points = [Summary(point) for point in sweep["points"]]
    names = [m.name for m in experiment.spec.methods if not points[0].reference(m.name)]
    best_at: dict[str, int] = {}
    for point in points:
        best = point.best(names or list(point.methods))
        assert best is not None  # as above
        best_at[best] = best_at.get(best, 0) + 1
    leader = max(best_at, key=lambda name: best_at[name])
    many = _of(best_at[leader], len(points), "value")
    at = f"every value of {sweep['label']}" if best_at[leader] == len(points) else f"{many} of {sweep['label']}"
    sentences = [f"{leader} completes the most tasks at {at}."]
    first, last = sweep["points"][0]["label"], sweep["points"][-1]["label"]
    start, end = percent(points[0].mean(leader)), percent(points[-1].mean(leader))
    sentences.append(f"From {first} to {last} its success rate goes from {start} to {end}.")
    heuristics = [n for n in names if points[0].methods[n]["kind"] == "policy"]
    if points[0].methods[leader]["kind"] != "policy" and heuristics:
        clear = sum(gain.clear and gain.points > 0 for gain in gains(points, leader, heuristics))
        change = f"the difference is {gain_range(points, leader, heuristics)} points"
        sentences.append(
            f"Against the best heuristic at each value {change}; it is clearly above 0 at "
            f"{_of(clear, len(points), 'value')}."
        )
    return sentences


def gains(points: Sequence[Summary], name: str, heuristics: Sequence[str]) -> list["Difference"]:
    """How much more than the best heuristic a method completes, at each value of a sweep."""
    return [point.difference(name, point.best(heuristics) or name) for point in points]


def gain_range(points: Sequence[Summary], name: str, heuristics: Sequence[str]) -> str:
    """The smallest and the largest of these: `2.1 to 4.8`."""
    found = [gain.points for gain in gains(points, name, heuristics)]
    low, high = signed(min(found)), signed(max(found))
    return low if low == high else f"{low} to {high}"


def _of(count: int, total: int, noun: str = "network") -> str:
    return f"{count} of {total} {noun}{'s' if total != 1 else ''}"
