"""The trainer over HTTP.

POST   /v1/jobs          a job; 202 with its key. The same job again is the same key
GET    /v1/jobs/{key}    how far it is, and its result
DELETE /v1/jobs/{key}    cancel
GET    /v1/state         what it does now, and what is in use of the configuration
GET    /metrics, /healthz
"""

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edgebed.trainer.jobs import Job, Trainer
from edgebed.trainer.requests import JobRequest
from edgebed.wire.description import TEXT, describe, problems
from edgebed.wire.problems import Problem, install_problem_handlers

MEASURED = {
    "reward": "reward",
    "valueError": "value_error",
    "entropy": "entropy",
    "divergence": "divergence",
    "clipped": "clipped_ratio",
}
"""Measurements of `learning.ppo` by their names for Prometheus."""


def create_app(trainer: Trainer, state: Callable[[], dict[str, Any]] = dict) -> FastAPI:
    """The API of a trainer; `state` is what its process says of itself beside."""
    app = FastAPI(title="edgebed trainer", version="1")
    install_problem_handlers(app)
    registry = CollectorRegistry()
    registry.register(_Collector(trainer))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response, responses=TEXT)
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.post("/v1/jobs", status_code=202)
    async def submit(request: JobRequest) -> dict[str, Any]:
        """Do a job, unless it is done already."""
        return trainer.submit(request).document()

    @app.get("/v1/jobs/{key}", responses=problems(404))
    async def job(key: str) -> dict[str, Any]:
        """How far a job is."""
        return _known(trainer, key).document()

    @app.delete("/v1/jobs/{key}", responses=problems(404))
    async def cancel(key: str) -> dict[str, Any]:
        """End a job when it next tells its progress."""
        found = _known(trainer, key)
        trainer.cancel(found)
        return found.document()

    @app.get("/v1/state")
    async def whole() -> dict[str, Any]:
        """What it does now, and what is in use of the configuration, for people."""
        return {"jobs": trainer.unfinished(), **state()}

    describe(app)
    return app


def _known(trainer: Trainer, key: str) -> Job:
    found = trainer.job(key)
    if found is None:
        raise Problem(404, "No such job", f"job {key!r} is not known here; post it again")
    return found


class _Collector(Collector):
    """Jobs and the time they took."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def collect(self) -> Iterator[Metric]:
        """At this instant."""
        jobs = CounterMetricFamily("edgebed_trainer_jobs", "Jobs that ended", labels=["kind", "state"])
        for (kind, state), count in list(self._trainer.ended.items()):
            jobs.add_metric([kind, state], count)
        yield jobs
        seconds = CounterMetricFamily("edgebed_trainer_job_seconds", "Time spent on jobs", labels=["kind"])
        for kind, spent in list(self._trainer.seconds.items()):
            seconds.add_metric([kind], spent)
        yield seconds
        measured = self._trainer.measured
        for name, metric in MEASURED.items():
            if name in measured:
                yield GaugeMetricFamily(f"edgebed_trainer_{metric}", "Of the latest update", value=measured[name])
