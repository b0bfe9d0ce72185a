"""The controller's metrics for Prometheus, collected when they are asked for.

Those of an experiment (`edgebed_experiment_...`) are of the one that runs, or of the last one that did, and name it and its
run, as the nodes' do. What is counted of its tasks is what the log says: a controller that is started again goes on with it.
"""

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from edgebed.controller.experiments import Experiments, Running
from edgebed.controller.ingest import Ingest
from edgebed.controller.steps import STEPS
from edgebed.experiment.errors import EdgebedError
from edgebed.metrics import ProcessMetrics, counter, declared_in, gauge, states
from edgebed.stores.calls import Calls
from edgebed.stores.coordination import Coordinator
from edgebed.stores.log_writer import LogWriter

_IT = ("experiment", "run")
_METHOD = (*_IT, "method", "stream")

INFO = gauge("edgebed_experiment_info", "1 for the experiment that runs, or ran last", *_IT, "backend", "system")
PHASE = gauge("edgebed_experiment_phase", "1 for the phase that the experiment is in, 0 for the others", *_IT, "phase")
PROGRESS = gauge("edgebed_experiment_phase_progress_ratio", "How much of the present phase is done", *_IT)
EPISODES = gauge("edgebed_experiment_episodes", "Episodes that count, of before a restart as well", *_IT)
PLANNED = gauge("edgebed_experiment_planned_episodes", "Episodes that the experiment will have at its end", *_IT)
LATE_EPISODES = gauge(
    "edgebed_experiment_late_episodes", "Episodes with a slot that began too late to be trusted", *_IT
)
ELAPSED = gauge("edgebed_experiment_elapsed_seconds", "Since this controller began or took up the experiment", *_IT)
NODES = gauge("edgebed_experiment_nodes", "Nodes of the present network", *_IT)
LOST_NODES = gauge("edgebed_experiment_lost_nodes", "Those of them that do not answer", *_IT)
LOST_TASKS = gauge("edgebed_experiment_lost_tasks", "Tasks whose node went away", *_IT)
SUCCESS = gauge("edgebed_experiment_success_ratio", "Mean success rate of the episodes so far", *_METHOD)
LATEST = gauge("edgebed_experiment_latest_success_ratio", "Success rate of the latest episode", *_METHOD)
METHOD_EPISODES = gauge("edgebed_experiment_method_episodes", "Episodes of a method so far", *_METHOD)
TASKS = counter("edgebed_experiment_tasks", "Tasks of finished episodes by what became of them", *_METHOD, "status")

RECORDS = counter("edgebed_controller_records", "Task records taken from nodes")
REFUSED_BATCHES = counter("edgebed_controller_refused_batches", "Batches of records that were refused")
STORED = counter("edgebed_controller_stored_records", "Records new to the task log")
REPEATED = counter("edgebed_controller_repeated_records", "Records that the task log had already")
SPOOLED = counter("edgebed_controller_spooled_records", "Records that went through the spool")
SET_ASIDE = counter("edgebed_controller_set_aside_records", "Records that no database will take, kept beside the spool")
TRANSACTIONS = counter("edgebed_controller_log_transactions", "Transactions of the log's writer")
QUEUED = gauge("edgebed_controller_queued_records", "Records that wait for the task log, those in the spool included")
LOG_AWAY = gauge("edgebed_controller_log_away", "1 while the task log cannot be written")
SPOOL_FULL = gauge("edgebed_controller_spool_away", "1 while the spool takes nothing")
INSTANCES = gauge("edgebed_controller_instances", "Services that the registry knows to be there", "role")
PROCESS = ProcessMetrics("edgebed_controller")

CONTROLLER_METRICS = declared_in(globals())

STATUSES = ("succeeded", "dropped", "failed", "unfinished")
ROLES = ("edge-node", "task-generator", "trainer")


class ControllerCollector(Collector):
    """Everything that a controller shows."""

    def __init__(
        self,
        experiments: Experiments,
        ingest: Ingest,
        writer: LogWriter,
        coordinator: Coordinator,
        calls: Calls,
    ) -> None:
        self._experiments, self._ingest, self._writer = experiments, ingest, writer
        self._coordinator, self._calls = coordinator, calls

    def collect(self) -> Iterator[Metric]:
        """At this instant."""
        current = self._experiments.current
        yield from _nothing() if current is None else _experiment(current)

        ingest, writer, counts = self._ingest, self._writer, self._writer.counts()
        yield RECORDS.one(ingest.records)
        yield REFUSED_BATCHES.one(ingest.refused)
        yield STORED.one(counts.stored)
        yield REPEATED.one(counts.repeated)
        yield SPOOLED.one(counts.spooled)
        yield SET_ASIDE.one(counts.refused)
        yield TRANSACTIONS.one(counts.batches)
        yield QUEUED.one(counts.queued)
        yield LOG_AWAY.one(int(writer.fault is not None))
        yield SPOOL_FULL.one(int(writer.spool_fault is not None))

        yield INSTANCES.many([((role,), there) for role in ROLES if (there := self._there(role)) is not None])
        yield from PROCESS.collect()
        yield from self._calls.collect()

    def _there(self, role: str) -> int | None:
        """How many instances of a service there are; None while the registry is away."""
        try:
            return len(self._coordinator.instances(role))
        except EdgebedError:
            return None


def _nothing() -> Iterator[Metric]:
    """The experiment's metrics before there was one."""
    yield from (metric.many([]) for metric in CONTROLLER_METRICS if metric.name.startswith("edgebed_experiment_"))


def _experiment(current: Running) -> Iterator[Metric]:
    found, spec = current.document(), current.folder.experiment.spec
    it = (current.folder.experiment.name, str(current.state["run"]))
    yield INFO.one(1.0, *it, str(spec.backend), str(spec.system))
    yield states(PHASE, found["step"], STEPS, *it)
    episode = found["episode"]
    yield PROGRESS.many([(it, episode["done"] / episode["of"])] if episode and episode["of"] else [])
    yield EPISODES.one(sum(one["episodes"] for streams in found["methods"].values() for one in streams.values()), *it)
    yield PLANNED.one(found["episodesPlanned"], *it)
    yield LATE_EPISODES.one(found["lateEpisodes"], *it)
    yield ELAPSED.one(found["seconds"], *it)
    yield NODES.one(len(found["nodes"]), *it)
    yield LOST_NODES.one(sum(node["lost"] is not None for node in found["nodes"]), *it)
    yield LOST_TASKS.one(found["lostTasks"], *it)

    series: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        ((*it, method, stream), one) for method, streams in found["methods"].items() for stream, one in streams.items()
    ]
    yield SUCCESS.many([(key, one["successRate"]) for key, one in series if one["successRate"] is not None])
    latest = [(key, one["history"][-1]) for key, one in series]
    yield LATEST.many([(key, rate) for key, rate in latest if rate is not None])
    yield METHOD_EPISODES.many([(key, one["episodes"]) for key, one in series])
    yield TASKS.many(
        [((*key, status), one["tasks"].get(status, 0)) for key, one in series for status in STATUSES],
    )
