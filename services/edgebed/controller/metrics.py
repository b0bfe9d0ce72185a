"""The controller's metrics for Prometheus, collected when they are asked for. Base units; never a task as label."""

from collections.abc import Iterator

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edgebed.controller.experiments import Experiments
from edgebed.controller.ingest import Ingest
from edgebed.stores.log_writer import LogWriter


class ControllerCollector(Collector):
    """Everything that a controller shows."""

    def __init__(self, experiments: Experiments, ingest: Ingest, writer: LogWriter) -> None:
        self._experiments, self._ingest, self._writer = experiments, ingest, writer
        self._process = psutil.Process()

    def collect(self) -> Iterator[Metric]:
        """At this instant."""
        ingest, writer = self._ingest, self._writer
        for name, text, value in (
            ("edgebed_controller_records", "Task records taken from nodes", ingest.records),
            ("edgebed_controller_refused_batches", "Batches of records that were refused", ingest.refused),
            ("edgebed_controller_stored_records", "Records new to the task log", writer.stored),
            ("edgebed_controller_spooled_records", "Records that went through the spool", writer.spooled),
            ("edgebed_controller_cpu_seconds", "Processor time of the process", sum(self._process.cpu_times()[:2])),
        ):
            counter = CounterMetricFamily(name, text)
            counter.add_metric([], value)
            yield counter
        current = self._experiments.current
        found = {} if current is None else current.document()
        for name, text, value in (
            ("edgebed_controller_queued_records", "Records that wait for the task log", writer.queued),
            ("edgebed_controller_log_away", "1 while the task log cannot be written", int(writer.fault is not None)),
            ("edgebed_controller_running", "1 while an experiment runs", int(found.get("state") == "running")),
            ("edgebed_controller_episodes", "Episodes played or found in the log", found.get("episodesPlayed", 0)),
            ("edgebed_controller_late_episodes", "Those with a slot that began too late", found.get("lateEpisodes", 0)),
            ("edgebed_controller_lost_tasks", "Tasks whose node went away", found.get("lostTasks", 0)),
            (
                "edgebed_controller_lost_nodes",
                "Nodes that are lost",
                sum(node["lost"] is not None for node in found.get("nodes", [])),
            ),
            ("edgebed_controller_memory_bytes", "Resident memory of the process", self._process.memory_info().rss),
        ):
            gauge = GaugeMetricFamily(name, text)
            gauge.add_metric([], value)
            yield gauge
        rates = GaugeMetricFamily(
            "edgebed_controller_success_ratio", "Mean success rate so far", labels=["method", "stream"]
        )
        for method, streams in found.get("methods", {}).items():
            for stream, series in streams.items():
                if series["successRate"] is not None:
                    rates.add_metric([method, stream], series["successRate"])
        yield rates
