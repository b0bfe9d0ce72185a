"""The task generator over HTTP.

POST   /v1/episodes            hot: an EpisodePlan, protobuf or JSON; answered with nothing once it is accepted
GET    /v1/episodes/current    how far it is, how late, and which nodes did not take their tasks
DELETE /v1/episodes/current    stop
GET    /v1/state               the same, with what is in use of the configuration
GET    /metrics, /healthz
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Response

from edgebed.metrics import CONTENT_TYPE, page
from edgebed.task_generator.metrics import GeneratorCollector
from edgebed.task_generator.plan import Refused
from edgebed.task_generator.service import Generator
from edgebed.wire.description import TEXT, HotPath, describe
from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.messages import parse
from edgebed.wire.problems import Problem, install_problem_handlers
from edgebed.wire.server import HotRoutes

PLAN_BYTES = 64 << 20
"""A plan of a thousand nodes and a hundred slots has about 10 MB."""


def create_app(generator: Generator, state: Callable[[], dict[str, Any]] = dict) -> FastAPI:
    """The control API of a generator; `state` is what its process says of itself beside."""
    app = FastAPI(title="edgebed task generator", version="1")
    install_problem_handlers(app)
    collector = GeneratorCollector(generator)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response, responses=TEXT)
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(await page(collector), media_type=CONTENT_TYPE)

    @app.get("/v1/episodes/current")
    async def current() -> dict[str, Any]:
        """How far the episode is."""
        return generator.progress()

    @app.delete("/v1/episodes/current")
    async def stop() -> dict[str, Any]:
        """Emit nothing any more; answers how far it was."""
        return generator.stop()

    @app.get("/v1/state")
    async def whole() -> dict[str, Any]:
        """How far it is, and what is in use of the configuration, for people."""
        return {"progress": generator.progress(), **state()}

    describe(app, HotPath("/v1/episodes", "Emit the tasks of an episode from its start on", pb.EpisodePlan))
    return app


def hot_routes(generator: Generator) -> HotRoutes:
    """Where plans come in: far larger than what FastAPI should parse."""
    routes = HotRoutes()

    def begin(body: bytes, content_type: str | None) -> bytes:
        message = parse(pb.EpisodePlan, body, content_type)
        try:
            generator.begin(message)
        except Refused as error:
            raise Problem(error.status, "Plan refused", str(error)) from error
        return b""

    routes.unary["/v1/episodes"] = begin
    routes.largest["/v1/episodes"] = PLAN_BYTES
    return routes
