"""A node's metrics for Prometheus, collected when they are asked for, from numbers that the hot path keeps anyway.

Every series names the run and the node's index in its network, which stay empty until the node is configured; counters begin
again with each configuration. Links are told by their receiver: a node of a network of N has N - 1 of them.
"""

from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from edgebed.edge_node.measurements import Measurements
from edgebed.edge_node.service import EdgeNode
from edgebed.metrics import ProcessMetrics, counter, declared_in, gauge, histogram, summary
from edgebed.stores.calls import Calls
from edgebed.wire.generated import testbed_pb2 as pb

_ME = ("run", "node")

ARRIVALS = counter("edgebed_node_arrivals", "Tasks of this node's users", *_ME)
TASKS = counter("edgebed_node_tasks", "Tasks that ended at this node", *_ME, "status")
DELAY = histogram(
    "edgebed_node_task_delay_seconds",
    "From arrival to end of the tasks that ended here, with an edge at the deadline",
    *_ME,
)
DECISIONS = counter(
    "edgebed_node_decisions", "Tasks that the scheduler kept (local) or sent elsewhere (remote)", *_ME, "destination"
)
DECISION_SECONDS = summary("edgebed_node_decision_seconds", "The policy's own work per decision, probes excluded", *_ME)
SCHEDULER = gauge("edgebed_node_scheduler_info", "1 for the policy in use", *_ME, "kind")
MODEL_VERSION = gauge("edgebed_node_model_version", "Version of the scheduler in use", *_ME)

WAITING = gauge("edgebed_node_execution_queue_tasks", "Tasks waiting in the execution queue", *_ME)
EXECUTING = gauge("edgebed_node_executing_tasks", "Tasks in execution", *_ME)
BUSY = counter("edgebed_node_busy_seconds", "Time with a task in execution: its rate is the utilisation", *_ME)
CAPACITY = gauge("edgebed_node_capacity_hertz", "Configured cycles per second", *_ME)

PROBES = counter("edgebed_node_probes", "Questions to other nodes", *_ME)
PROBES_FAILED = counter("edgebed_node_probes_failed", "Questions without an answer in time", *_ME)
PROBE_BYTES = counter("edgebed_node_probe_bytes", "Bytes of questions and answers", *_ME)
PROBE_SECONDS = histogram("edgebed_node_probe_seconds", "From a question to its answer", *_ME)
ANNOUNCEMENTS = counter("edgebed_node_announcements", "Queue lengths told to other nodes", *_ME)

SENT_BYTES = counter("edgebed_node_sent_payload_bytes", "Task bytes sent to other nodes", *_ME)
RECEIVED_BYTES = counter("edgebed_node_received_payload_bytes", "Task bytes received from other nodes", *_ME)
LINK_RATE = gauge("edgebed_node_link_configured_bytes_per_second", "Configured rate of a link", *_ME, "to")
LINK_BYTES = counter("edgebed_node_link_sent_bytes", "Payload that a link has carried", *_ME, "to")
LINK_BUSY = counter(
    "edgebed_node_link_busy_seconds", "Time of a link's transfers: bytes over this is its measured rate", *_ME, "to"
)
LINK_TRANSFERS = counter(
    "edgebed_node_link_transfers",
    "Transfers over a link: sent, cut by a failure, or lost with the peer",
    *_ME,
    "to",
    "outcome",
)
LINK_WAITING = gauge("edgebed_node_link_queue_tasks", "Tasks waiting for a link", *_ME, "to")

ARRIVAL_LATENESS = summary(
    "edgebed_node_arrival_lateness_seconds", "From the start of a task's slot to its arrival here", *_ME
)
SERVICE_LATENESS = summary(
    "edgebed_node_service_lateness_seconds", "From the planned end of a service to when the node noticed", *_ME
)
FAULT = gauge("edgebed_node_fault", "1 once something went wrong in the episode that is no task's luck", *_ME)
UNSENT = gauge("edgebed_node_unsent_records", "Records that the log has not yet, those on the disk included", *_ME)
SPOOLED = gauge("edgebed_node_spooled_records", "Those of them that are on the disk", *_ME)
REFUSED = counter("edgebed_node_refused_records", "Records that the log will never take", *_ME)
PROCESS = ProcessMetrics("edgebed_node", *_ME)

NODE_METRICS = declared_in(globals())

STATUSES = ("succeeded", "dropped", "failed", "unfinished")


class Seated(Protocol):
    """Who knows the node of this process."""

    @property
    def node(self) -> EdgeNode:
        """The node."""

    calls: Calls
    """To the node's stores."""


class NodeCollector(Collector):
    """Everything that one node shows."""

    def __init__(self, seat: Seated) -> None:
        self._seat = seat

    def describe(self) -> list[Metric]:
        """Nothing: what there is depends on the node, which may not be seated yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """At this instant."""
        node = self._seat.node
        configuration, measured, state, recorder = node.configuration, node.measured, node.state(), node.recorder
        me = ("", "") if configuration is None else (configuration.run, str(configuration.node))

        yield ARRIVALS.one(measured.arrived, *me)
        yield TASKS.many([((*me, status), measured.tasks[status]) for status in STATUSES])
        yield DELAY.one(measured.delay_s, *me)
        yield DECISIONS.many([((*me, "local"), measured.local), ((*me, "remote"), measured.remote)])
        yield DECISION_SECONDS.one(measured.sum("decision_s"), *me)
        yield SCHEDULER.many([((*me, state.scheduler), 1.0)] if state.scheduler else [])
        yield MODEL_VERSION.one(state.model_version, *me)

        yield WAITING.one(state.waiting, *me)
        yield EXECUTING.one(int(state.executing), *me)
        yield BUSY.one(measured.busy_s, *me)

        yield PROBES.one(measured.probes, *me)
        yield PROBES_FAILED.one(measured.probes_failed, *me)
        yield PROBE_BYTES.one(measured.probe_bytes, *me)
        yield PROBE_SECONDS.one(measured.probe_s, *me)
        yield ANNOUNCEMENTS.one(measured.announcements, *me)

        yield SENT_BYTES.one(measured.sent_bytes, *me)
        yield RECEIVED_BYTES.one(measured.received_bytes, *me)
        yield from _links(node, me, measured, state)

        yield ARRIVAL_LATENESS.one(measured.sum("arrival_lateness_s"), *me)
        yield SERVICE_LATENESS.one(measured.sum("service_lateness_s"), *me)
        yield FAULT.one(int(node.fault is not None), *me)
        yield UNSENT.one(0 if recorder is None else recorder.unsent, *me)
        yield SPOOLED.one(0 if recorder is None else recorder.spooled, *me)
        yield REFUSED.one(0 if recorder is None else recorder.refused, *me)
        yield from PROCESS.collect(*me)
        yield from self._seat.calls.collect()


def _links(node: EdgeNode, me: tuple[str, str], measured: Measurements, state: pb.NodeState) -> Iterator[Metric]:
    """The node's capacity and its links, once it is told of them."""
    configuration, context = node.configuration, node.context
    if configuration is None or context is None:
        yield from (metric.many([]) for metric in (CAPACITY, *_OF_LINKS))
        return
    network, index, counts = context.network, configuration.node, measured.links
    others = [j for j in range(network.nodes) if j != index]
    waiting = state.waiting_to or [0] * network.nodes
    names = {j: (*me, str(j)) for j in others}
    yield CAPACITY.one(float(network.capacity_hz[index]), *me)
    yield LINK_RATE.many([(names[j], float(network.link_rate_bits_per_s[index, j]) / 8) for j in others])
    yield LINK_BYTES.many([(names[j], counts[j].sent_bytes) for j in others])
    yield LINK_BUSY.many([(names[j], counts[j].busy_s) for j in others])
    yield LINK_TRANSFERS.many(
        [((*names[j], outcome), getattr(counts[j], outcome)) for j in others for outcome in ("sent", "cut", "lost")]
    )
    yield LINK_WAITING.many([(names[j], waiting[j]) for j in others])


_OF_LINKS = (LINK_RATE, LINK_BYTES, LINK_BUSY, LINK_TRANSFERS, LINK_WAITING)
