"""What a node measures of itself: counts and bounded samples, kept as plain numbers so that the hot path stays quick."""

import math
from collections import Counter, deque
from typing import Literal

from edgebed.metrics import Histogram, Sum

SAMPLES = 10_000
"""The latest values of a quantity that are kept for its quantiles."""
DELAY_EDGES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
"""In deadlines: an edge at the deadline makes the share in time readable off the histogram."""
PROBE_EDGES_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25)


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


class LinkCounts:
    """What one link of the node has carried."""

    __slots__ = ("busy_s", "cut", "lost", "sent", "sent_bytes")

    def __init__(self) -> None:
        self.sent = self.cut = self.lost = 0
        """Transfers by how they ended."""
        self.sent_bytes, self.busy_s = 0, 0.0
        """Payload of all of them, and how long they took: the quotient is the measured rate."""

    def add(self, outcome: Literal["sent", "cut", "lost"], sent_bytes: int, busy_s: float) -> None:
        """One more transfer."""
        if outcome == "sent":
            self.sent += 1
        elif outcome == "cut":
            self.cut += 1
        else:
            self.lost += 1
        self.sent_bytes += sent_bytes
        self.busy_s += busy_s


class Measurements:
    """Of one node, since it was configured; `episode_*` since the episode began."""

    def __init__(self, deadline_s: float, nodes: int = 0) -> None:
        """Of a node with links to `nodes` nodes, itself counted."""
        self.tasks: Counter[str] = Counter()
        """Ended here, by status."""
        self.arrived = 0
        self.local = self.remote = 0
        """Decisions to execute a task here, and elsewhere."""
        self.busy_s = 0.0
        """How long tasks were in execution here."""
        self.sent_bytes = self.received_bytes = 0
        """Of payload."""
        self.links = [LinkCounts() for _ in range(nodes)]
        """By receiver."""
        self.delay_s = Histogram(float(f"{deadline_s * k:.9g}") for k in DELAY_EDGES)
        self.probes = self.probe_bytes = self.probes_failed = 0
        self.probe_s = Histogram(PROBE_EDGES_S)
        self.announcements = 0
        self._before: dict[str, Sum] = {}
        self._begin()

    def _begin(self) -> None:
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
        self._before = {name: self.sum(name) for name in ("decision_s", "arrival_lateness_s", "service_lateness_s")}
        self._begin()

    def sum(self, name: str) -> Sum:
        """Count and sum of the samples of that name in all episodes."""
        sample: Sample = getattr(self, name)
        before = self._before.get(name, Sum(0, 0.0))
        return Sum(before.count + sample.count, before.total + sample.total)

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
