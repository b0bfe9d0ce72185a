"""The trainer over HTTP.

POST   /v1/jobs          a job; 202 with its key. The same job again is the same key
GET    /v1/jobs/{key}    how far it is, and its result
DELETE /v1/jobs/{key}    cancel
GET    /v1/state         what it does now, and what is in use of the configuration
GET    /metrics, /healthz
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Response

from edgebed.metrics import CONTENT_TYPE, page
from edgebed.stores.calls import Calls
from edgebed.trainer.jobs import Job, Trainer
from edgebed.trainer.metrics import TrainerCollector
from edgebed.trainer.requests import JobRequest
from edgebed.wire.description import TEXT, describe, problems
from edgebed.wire.problems import Problem, install_problem_handlers


def create_app(trainer: Trainer, state: Callable[[], dict[str, Any]] = dict, calls: Calls | None = None) -> FastAPI:
    """The API of a trainer; `state` is what its process says of itself beside, `calls` are those to its stores."""
    app = FastAPI(title="edgebed trainer", version="1")
    install_problem_handlers(app)
    collector = TrainerCollector(trainer, calls or Calls("trainer"))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response, responses=TEXT)
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(await page(collector), media_type=CONTENT_TYPE)

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
        jobs = [
            {"job": j.key, "kind": j.kind, "state": j.state, "done": j.done, "total": j.total}
            for j in trainer.unfinished()
        ]
        return {"jobs": jobs, **state()}

    describe(app)
    return app


def _known(trainer: Trainer, key: str) -> Job:
    found = trainer.job(key)
    if found is None:
        raise Problem(404, "No such job", f"job {key!r} is not known here; post it again")
    return found
