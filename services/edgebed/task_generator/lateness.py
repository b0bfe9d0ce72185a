"""How late slots were emitted: quantiles of one episode, and the edges of a histogram of all."""

from collections.abc import Sequence

EDGES_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
"""A tenth of the testbed's slot is among them."""


def quantiles(late_s: Sequence[float]) -> dict[str, float | None]:
    """Median, 99th percentile and maximum in seconds; None before the first slot."""
    if not late_s:
        return {"p50": None, "p99": None, "max": None}
    ordered = sorted(late_s)
    last = len(ordered) - 1
    return {"p50": ordered[round(0.5 * last)], "p99": ordered[round(0.99 * last)], "max": ordered[-1]}
