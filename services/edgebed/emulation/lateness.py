"""How late things were, in a fixed amount of memory.

Sixteen buckets per doubling from a microsecond on: a quantile is told as the upper edge of its bucket, at most 4.4 % above
the value itself. The maximum is exact.
"""

import math

_LEAST_S = 1e-6
_PER_DOUBLING = 16
_BUCKETS = 1 + 26 * _PER_DOUBLING
"""Up to a minute; whatever is later counts as that."""


class Lateness:
    """Counts durations."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.maximum_s = 0.0

    def add(self, seconds: float) -> None:
        """One more; a negative duration counts as none."""
        self.count += 1
        if seconds > self.maximum_s:
            self.maximum_s = seconds
        if seconds <= _LEAST_S:
            self._counts[0] += 1
            return
        bucket = math.ceil(math.log2(seconds / _LEAST_S) * _PER_DOUBLING)
        self._counts[min(bucket, _BUCKETS - 1)] += 1

    def quantile_s(self, share: float) -> float:
        """The duration that this share of all did not exceed, in seconds; 0 when there are none."""
        wanted, seen = share * self.count, 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return float(min(self.maximum_s, _LEAST_S * 2 ** (bucket / _PER_DOUBLING)))
        return 0.0

    def clear(self) -> None:
        """Start again."""
        self._counts = [0] * _BUCKETS
        self.count, self.maximum_s = 0, 0.0

    def summary(self) -> dict[str, float]:
        """Count, and median, 99th percentile and maximum in seconds."""
        return {
            "count": self.count,
            "p50": self.quantile_s(0.5),
            "p99": self.quantile_s(0.99),
            "max": self.maximum_s,
        }
