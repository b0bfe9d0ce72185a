"""The trainer's metrics for Prometheus, collected when they are asked for.

What learning measured is that of the latest update, of the one experiment that learned last; so there is one series of each,
however many experiments a trainer serves.
"""

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from edgebed.metrics import Declared, ProcessMetrics, counter, gauge
from edgebed.stores.calls import Calls
from edgebed.trainer.jobs import Trainer

KINDS = ("offline", "begin", "update", "checkpoint", "finish")
_IT = ("experiment", "algorithm")

JOBS = counter("edgebed_trainer_jobs", "Jobs that ended", "kind", "state")
JOB_SECONDS = counter("edgebed_trainer_job_seconds", "Time spent on jobs", "kind")
UNFINISHED = gauge("edgebed_trainer_unfinished_jobs", "Jobs that wait or are being done", "state")
PROGRESS = gauge("edgebed_trainer_job_progress_ratio", "How much of the latest job that tells it is done", "kind")
UPDATES = gauge("edgebed_trainer_updates", "Updates of the network that learned last", *_IT)
_MEASURED: dict[str, Declared] = {
    name: gauge(f"edgebed_trainer_{metric}", text, *_IT)
    for name, metric, text in (
        ("policyLoss", "policy_loss", "Mean loss of the actor in the latest update"),
        ("valueError", "value_error", "Mean squared error of the state values before the latest update"),
        ("criticError", "critic_error", "Mean squared error of the action values in the latest update (sac-cql)"),
        (
            "conservativeGap",
            "conservative_gap",
            "By how much the best actions are valued over those of the log (sac-cql)",
        ),
        ("entropy", "entropy", "Mean entropy of the policy in nats"),
        ("advantage", "advantage", "Mean advantage of the decisions of the latest batch, before normalisation (ppo)"),
        ("advantageDeviation", "advantage_deviation", "Its standard deviation (ppo)"),
        ("reward", "reward", "Mean outcome of a task of the latest batch, 1 or -1 (ppo)"),
        ("divergence", "divergence", "How far the latest update moved the policy (ppo)"),
        ("clipped", "clipped_ratio", "Share of decisions that left the clip in the latest update (ppo)"),
    )
}
"""Measurements of `learning` by their names there."""
PROCESS = ProcessMetrics("edgebed_trainer")

TRAINER_METRICS = (JOBS, JOB_SECONDS, UNFINISHED, PROGRESS, UPDATES, *_MEASURED.values(), *PROCESS.all)


class TrainerCollector(Collector):
    """Everything that a trainer shows."""

    def __init__(self, trainer: Trainer, calls: Calls) -> None:
        self._trainer, self._calls = trainer, calls

    def collect(self) -> Iterator[Metric]:
        """At this instant."""
        trainer, measured = self._trainer, self._trainer.measured
        ended, seconds = dict(trainer.ended), dict(trainer.seconds)
        yield JOBS.many([((k, s), ended.get((k, s), 0)) for k in KINDS for s in ("succeeded", "failed")])
        yield JOB_SECONDS.many([((kind,), seconds.get(kind, 0.0)) for kind in KINDS])
        unfinished = trainer.unfinished()
        yield UNFINISHED.many([((s,), sum(job.state == s for job in unfinished)) for s in ("waiting", "running")])
        yield PROGRESS.many([((job.kind,), job.done / job.total) for job in trainer.latest() if job.total])
        it = (measured.experiment, measured.algorithm)
        yield UPDATES.many([(it, measured.updates)] if measured.experiment else [])
        for name, metric in _MEASURED.items():
            yield metric.many([(it, measured.values[name])] if name in measured.values else [])
        yield from PROCESS.collect()
        yield from self._calls.collect()
