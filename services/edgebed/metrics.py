"""What the metrics pages of all services share: how a metric is declared, how durations are counted, how a page is written.

    ARRIVALS = counter("edgebed_node_arrivals", "Tasks of this node's users", "run", "node")
    ...
    yield ARRIVALS.one(3, "small-1", "0")

Every metric is declared once, as data, so the table in docs/metrics.md is made from what services serve. Base units, counters
that end in _total, classic histograms, and labels of few values: never a task.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Literal

import psutil
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
PIECE = 50
"""Samples that are written at once: a fraction of a millisecond."""

Kind = Literal["counter", "gauge", "histogram", "summary"]


class Histogram:
    """Counts below given edges, as Prometheus' classic histograms have them."""

    def __init__(self, edges: Iterable[float]) -> None:
        self.edges = sorted(set(edges))
        self.counts = [0] * (len(self.edges) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """One more; an edge belongs to the bucket below it."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """(upper edge, cumulative count) up to +Inf."""
        running, out = 0, []
        for edge, count in zip([*map(repr, self.edges), "+Inf"], self.counts, strict=True):
            running += count
            out.append((edge, float(running)))
        return out


@dataclass(frozen=True)
class Sum:
    """How many values there were, and their sum: all that a mean over any time needs."""

    count: int
    total: float


Value = float | Histogram | Sum


@dataclass(frozen=True)
class Declared:
    """One metric."""

    name: str
    """With prefix, without `_total`."""
    kind: Kind
    text: str
    labels: tuple[str, ...]

    def one(self, value: Value, *labels: str) -> Metric:
        """The metric with one sample."""
        return self.many([(labels, value)])

    def many(self, samples: Iterable[tuple[Sequence[str], Value]]) -> Metric:
        """The metric with a sample for each combination of labels."""
        match self.kind:
            case "counter":
                counters = CounterMetricFamily(self.name, self.text, labels=self.labels)
                for labels, value in samples:
                    counters.add_metric(labels, value)  # type: ignore[arg-type]  # a number, as the kind says
                return counters
            case "gauge":
                gauges = GaugeMetricFamily(self.name, self.text, labels=self.labels)
                for labels, value in samples:
                    gauges.add_metric(labels, value)  # type: ignore[arg-type]
                return gauges
            case "histogram":
                histograms = HistogramMetricFamily(self.name, self.text, labels=self.labels)
                for labels, value in samples:
                    assert isinstance(value, Histogram)  # as the kind says
                    histograms.add_metric(labels, value.buckets(), value.total)
                return histograms
            case "summary":
                summaries = SummaryMetricFamily(self.name, self.text, labels=self.labels)
                for labels, value in samples:
                    assert isinstance(value, Sum)  # as the kind says
                    summaries.add_metric(labels, value.count, value.total)
                return summaries


def counter(name: str, text: str, *labels: str) -> Declared:
    """Only rises; Prometheus sees it with `_total` appended."""
    return Declared(name, "counter", text, labels)


def gauge(name: str, text: str, *labels: str) -> Declared:
    """What is now."""
    return Declared(name, "gauge", text, labels)


def histogram(name: str, text: str, *labels: str) -> Declared:
    """A distribution: how many values were at most each edge."""
    return Declared(name, "histogram", text, labels)


def summary(name: str, text: str, *labels: str) -> Declared:
    """Count and sum, for means: free where both are kept anyway."""
    return Declared(name, "summary", text, labels)


def states(metric: Declared, current: str | None, every: Iterable[str], *labels: str) -> Metric:
    """A gauge for each state of a set, 1 for the one that is; the state is the last label."""
    return metric.many([((*labels, state), float(state == current)) for state in every])


class ProcessMetrics:
    """What the process of a service costs."""

    def __init__(self, prefix: str, *labels: str) -> None:
        self.cpu = counter(f"{prefix}_cpu_seconds", "Processor time of the process", *labels)
        self.memory = gauge(f"{prefix}_memory_bytes", "Resident memory of the process", *labels)
        self.all: tuple[Declared, ...] = (self.cpu, self.memory)

    def collect(self, *labels: str) -> Iterator[Metric]:
        """Of this process, at this instant."""
        process = psutil.Process()
        with process.oneshot():
            yield self.cpu.one(sum(process.cpu_times()[:2]), *labels)
            yield self.memory.one(float(process.memory_info().rss), *labels)


def declared_in(*groups: Mapping[str, object] | ProcessMetrics) -> tuple[Declared, ...]:
    """The metrics among the names of modules, in their order."""
    found: list[Declared] = []
    for group in groups:
        if isinstance(group, ProcessMetrics):
            found.extend(group.all)
            continue
        for value in group.values():
            if isinstance(value, Declared):
                found.append(value)
            elif isinstance(value, ProcessMetrics):
                found.extend(value.all)
    return tuple(found)


async def page(collector: Collector) -> bytes:
    """The page of a collector, written in pieces: between two of them the event loop does what is due.

    A node of a large network has hundreds of lines to write, and links that must not wait for that.
    """
    parts = []
    for metric in collector.collect():
        await asyncio.sleep(0)
        for at in range(0, max(1, len(metric.samples)), PIECE):
            piece = copy(metric)
            piece.samples = metric.samples[at : at + PIECE]
            text = generate_latest(_One(piece))
            parts.append(
                text if at == 0 else text[text.index(b"\n", text.index(b"\n") + 1) + 1 :]
            )  # one head is enough
            await asyncio.sleep(0)
    return b"".join(parts)


class _One(Collector):
    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric
