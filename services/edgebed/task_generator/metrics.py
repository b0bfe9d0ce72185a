"""The generator's metrics for Prometheus, collected when they are asked for. Base units; never a task as label."""

from collections.abc import Iterator

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edgebed.task_generator.service import Generator


class GeneratorCollector(Collector):
    """Everything that a generator shows."""

    def __init__(self, generator: Generator) -> None:
        self._generator, self._process = generator, psutil.Process()

    def collect(self) -> Iterator[Metric]:
        """At this instant."""
        generator = self._generator
        for name, text, value in (
            ("edgebed_generator_episodes", "Episodes begun", generator.episodes),
            ("edgebed_generator_tasks", "Tasks handed over to nodes", generator.emitted),
            ("edgebed_generator_tasks_failed", "Tasks that no node took", generator.failed),
            ("edgebed_generator_cpu_seconds", "Processor time of the process", sum(self._process.cpu_times()[:2])),
        ):
            counter = CounterMetricFamily(name, text)
            counter.add_metric([], value)
            yield counter
        late = HistogramMetricFamily(
            "edgebed_generator_slot_lateness_seconds", "From a slot's start to the hand-over of its last task"
        )
        late.add_metric([], generator.lateness.buckets(), generator.lateness.total)
        yield late
        memory = GaugeMetricFamily("edgebed_generator_memory_bytes", "Resident memory of the process")
        memory.add_metric([], self._process.memory_info().rss)
        yield memory
