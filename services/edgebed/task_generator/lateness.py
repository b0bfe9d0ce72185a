"""How late slots were emitted: quantiles of one episode, and a histogram of all."""

from collections.abc import Sequence

EDGES_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
"""A tenth of the testbed's slot is among them."""


class Histogram:
    """Counts below fixed edges, as Prometheus' classic histograms have them."""

    def __init__(self) -> None:
        self.counts = [0] * (len(EDGES_S) + 1)
        self.total = 0.0

    def add(self, late_s: float) -> None:
        """One more slot; an edge belongs to the bucket below it."""
        self.counts[sum(edge < late_s for edge in EDGES_S)] += 1
        self.total += late_s

    def buckets(self) -> list[tuple[str, float]]:
        """(upper edge, cumulative count) up to +Inf."""
        running, out = 0, []
        for edge, count in zip([*map(repr, EDGES_S), "+Inf"], self.counts, strict=True):
            running += count
            out.append((edge, float(running)))
        return out


def quantiles(late_s: Sequence[float]) -> dict[str, float | None]:
    """Median, 99th percentile and maximum in seconds; None before the first slot."""
    if not late_s:
        return {"p50": None, "p99": None, "max": None}
    ordered = sorted(late_s)
    last = len(ordered) - 1
    return {"p50": ordered[round(0.5 * last)], "p99": ordered[round(0.99 * last)], "max": ordered[-1]}
