"""A node's metrics for Prometheus, collected when they are asked for, from numbers that the hot path keeps anyway.

Base units, classic histograms with an edge at the deadline, labels of few values only (never a task).
"""

from collections.abc import Iterator
from typing import Protocol

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edgebed.edge_node.service import EdgeNode


class Seated(Protocol):
    """Who knows the node of this process."""

    @property
    def node(self) -> EdgeNode:
        """The node."""


class NodeCollector(Collector):
    """Everything that one node shows."""

    def __init__(self, seat: Seated) -> None:
        self._seat = seat

    def describe(self) -> list[Metric]:
        """Nothing: what there is depends on the node, which may not be seated yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """At this instant."""
        node, process = self._seat.node, psutil.Process()
        measured = node.measured
        index = "" if node.configuration is None else str(node.configuration.node)
        tasks = CounterMetricFamily("edgebed_node_tasks", "Tasks that ended at this node", labels=["node", "status"])
        for status, count in measured.tasks.items():
            tasks.add_metric([index, status], count)
        yield tasks
        delay = HistogramMetricFamily(
            "edgebed_node_task_delay_seconds", "From arrival to end of the tasks that ended here", labels=["node"]
        )
        delay.add_metric([index], measured.delay_s.buckets(), measured.delay_s.total)
        yield delay
        for name, text, value in (
            ("edgebed_node_arrivals", "Tasks of this node's users", measured.arrived),
            ("edgebed_node_sent_payload_bytes", "Task bytes sent to other nodes", measured.sent_bytes),
            ("edgebed_node_received_payload_bytes", "Task bytes received from other nodes", measured.received_bytes),
            ("edgebed_node_probes", "Questions to other nodes", measured.probes),
            ("edgebed_node_probes_failed", "Questions without an answer", measured.probes_failed),
            ("edgebed_node_probe_bytes", "Bytes of questions and answers", measured.probe_bytes),
            ("edgebed_node_announcements", "Queue lengths told to other nodes", measured.announcements),
            ("edgebed_node_cpu_seconds", "Processor time of the process", sum(process.cpu_times()[:2])),
        ):
            counter = CounterMetricFamily(name, text, labels=["node"])
            counter.add_metric([index], value)
            yield counter
        state = node.state()
        for name, text, value in (
            ("edgebed_node_execution_queue_tasks", "Tasks waiting in the execution queue", state.waiting),
            ("edgebed_node_executing_tasks", "Tasks in execution", int(state.executing)),
            ("edgebed_node_sending_queue_tasks", "Tasks waiting for all links", sum(state.waiting_to)),
            ("edgebed_node_model_version", "Version of the scheduler in use", state.model_version),
            ("edgebed_node_unsent_records", "Records that the log has not yet", node.progress()["unsentRecords"]),
            ("edgebed_node_memory_bytes", "Resident memory of the process", process.memory_info().rss),
        ):
            gauge = GaugeMetricFamily(name, text, labels=["node"])
            gauge.add_metric([index], value)
            yield gauge
