"""What a node measures of itself: counts and bounded samples, kept as plain numbers so that the hot path stays quick."""

import math
from collections import Counter, deque
from collections.abc import Iterable

SAMPLES = 10_000
"""The latest values of a quantity that are kept for its quantiles."""


class Sample:
    """The latest values of a quantity, in its base unit, with the count and sum of all of them."""

    def __init__(self) -> None:
        self.count, self.total, self.maximum = 0, 0.0, -math.inf
        self._latest: deque[float] = deque(maxlen=SAMPLES)

    def add(self, value: float) -> None:
        """One more."""
        self.count += 1
        self.total += value
        self.maximum = max(self.maximum, value)
        self._latest.append(value)

    def summary(self) -> dict[str, float | int | None]:
        """Count, mean, and median, 99th percentile and maximum of the latest; None where there is no value."""
        ordered = sorted(self._latest)
        if not ordered:
            return {"count": 0, "mean": None, "p50": None, "p99": None, "max": None}
        last = len(ordered) - 1
        return {
            "count": self.count,
            "mean": self.total / self.count,
            "p50": ordered[round(0.5 * last)],
            "p99": ordered[round(0.99 * last)],
            "max": self.maximum,
        }


class Histogram:
    """Counts below given edges, as Prometheus' classic histograms have them."""

    def __init__(self, edges: Iterable[float]) -> None:
        self.edges = sorted(set(edges))
        self.counts = [0] * (len(self.edges) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """One more; an edge belongs to the bucket below it."""
        for index, edge in enumerate(self.edges):
            if value <= edge:
                self.counts[index] += 1
                break
        else:
            self.counts[-1] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """(upper edge, cumulative count) up to +Inf."""
        running, out = 0, []
        for edge, count in zip([*map(repr, self.edges), "+Inf"], self.counts, strict=True):
            running += count
            out.append((edge, float(running)))
        return out


class Measurements:
    """Of one node, since it was configured; `episode_*` since the episode began."""

    def __init__(self, deadline_s: float) -> None:
        self.tasks: Counter[str] = Counter()
        """Ended here, by status."""
        self.arrived = 0
        self.sent_bytes = self.received_bytes = 0
        """Of payload."""
        # An edge at the deadline makes the share in time readable off the histogram.
        self.delay_s = Histogram([deadline_s * k for k in (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)])
        self.probes = self.probe_bytes = self.probes_failed = 0
        self.announcements = 0
        self.probe_latency_s = Sample()
        self.decision_s = Sample()
        """Time of the policy's own work per decision, probes excluded."""
        self.arrival_lateness_s = Sample()
        """From the start of a task's slot to its arrival here."""
        self.service_lateness_s = Sample()
        """From the planned end of an execution or transfer to the instant at which the node noticed."""

    def new_episode(self) -> None:
        """Samples start again; counts go on."""
        self.episode_probes, self.episode_probe_bytes, self.episode_probes_failed = (
            self.probes,
            self.probe_bytes,
            self.probes_failed,
        )
        self.probe_latency_s, self.decision_s = Sample(), Sample()
        self.arrival_lateness_s, self.service_lateness_s = Sample(), Sample()

    def summary(self) -> dict[str, object]:
        """Of the episode, as JSON."""
        return {
            "probes": {
                "count": self.probes - self.episode_probes,
                "failed": self.probes_failed - self.episode_probes_failed,
                "bytes": self.probe_bytes - self.episode_probe_bytes,
                "latencySeconds": self.probe_latency_s.summary(),
            },
            "decisionSeconds": self.decision_s.summary(),
            "arrivalLatenessSeconds": self.arrival_lateness_s.summary(),
            "serviceLatenessSeconds": self.service_lateness_s.summary(),
        }
