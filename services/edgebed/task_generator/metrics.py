"""The generator's metrics for Prometheus, collected when they are asked for."""

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from edgebed.metrics import ProcessMetrics, counter, declared_in, histogram
from edgebed.task_generator.service import Generator

EPISODES = counter("edgebed_generator_episodes", "Episodes begun")
TASKS = counter("edgebed_generator_tasks", "Tasks handed over to nodes")
TASKS_FAILED = counter("edgebed_generator_tasks_failed", "Tasks that no node took")
LATENESS = histogram("edgebed_generator_slot_lateness_seconds", "From a slot's start to the hand-over of its last task")
PROCESS = ProcessMetrics("edgebed_generator")

GENERATOR_METRICS = declared_in(globals())


class GeneratorCollector(Collector):
    """Everything that a generator shows."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    def collect(self) -> Iterator[Metric]:
        """At this instant."""
        generator = self._generator
        yield EPISODES.one(generator.episodes)
        yield TASKS.one(generator.emitted)
        yield TASKS_FAILED.one(generator.failed)
        yield LATENESS.one(generator.lateness)
        yield from PROCESS.collect()
