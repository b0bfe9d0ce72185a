"""The controller as one application: registry, records, experiments."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Response

from edgebed.controller.api import experiment_routes
from edgebed.controller.configuration import Desk, check, configuration_routes
from edgebed.controller.experiments import Experiments
from edgebed.controller.files import file_routes
from edgebed.controller.ingest import RECORDS_PATH, Ingest, ingest_routes
from edgebed.controller.metrics import ControllerCollector
from edgebed.controller.page.routes import page_routes
from edgebed.controller.registry import HEARTBEATS_PATH, Waiting, heartbeat_routes, registry_routes
from edgebed.live.documents import ControllerSettings
from edgebed.live.in_use import InUse
from edgebed.metrics import CONTENT_TYPE, page
from edgebed.stores.calls import Calls
from edgebed.stores.coordination import Coordinator
from edgebed.stores.log_writer import LogWriter
from edgebed.wire.description import TEXT, describe, problems
from edgebed.wire.problems import Problem, install_problem_handlers
from edgebed.wire.server import HotRoutes


@dataclass(frozen=True)
class Parts:
    """What the application serves."""

    coordinator: Coordinator
    ingest: Ingest
    writer: LogWriter
    experiments: Experiments
    waiting: Waiting
    desk: Desk
    state: Callable[[], dict[str, Any]]
    """What the process says of itself."""
    settings: InUse[ControllerSettings]
    calls: Calls = field(default_factory=lambda: Calls("controller"))
    """To the controller's stores."""
    problems: Callable[[], list[str]] = list
    """Why the process should be started again; nothing while it works."""


def create_app(parts: Parts, closing: asyncio.Event) -> FastAPI:
    """The control API; streams end when `closing` is set."""
    app = FastAPI(title="edgebed controller", version="1")
    install_problem_handlers(app)
    collector = ControllerCollector(parts.experiments, parts.ingest, parts.writer, parts.coordinator, parts.calls)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/livez", responses=problems(503))
    async def livez() -> dict[str, str]:
        """Whether the process works: it answers, and so does what works beside it. For a probe of its liveness."""
        if found := parts.problems():
            raise Problem(503, "Not alive", "; ".join(found))
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response, responses=TEXT)
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(await page(collector), media_type=CONTENT_TYPE)

    app.include_router(configuration_routes(parts.desk, parts.state))
    app.include_router(registry_routes(parts.coordinator, parts.waiting, check))
    app.include_router(experiment_routes(parts.experiments, closing, parts.settings))
    app.include_router(file_routes(parts.experiments))
    app.include_router(page_routes())
    describe(app, RECORDS_PATH, HEARTBEATS_PATH)
    return app


def hot_routes(parts: Parts) -> HotRoutes:
    """Records and heartbeats."""
    records, beats = ingest_routes(parts.ingest), heartbeat_routes(parts.coordinator, parts.waiting)
    return HotRoutes(unary={**records.unary, **beats.unary}, largest=records.largest)
