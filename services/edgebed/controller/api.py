"""Experiments over HTTP, for people and for the command line.

POST   /v1/experiments           an experiment's document, JSON or YAML: starts it, or goes on with it
GET    /v1/experiments           all of them
GET    /v1/experiments/{name}    phase, episode, success rates, queues, lateness
DELETE /v1/experiments/{name}    stop; posting the document again goes on
GET    /v1/events                the same as it changes, as server-sent events
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import StreamingResponse

from edgebed.controller.documents import JSON, YAML, read_document, refusals
from edgebed.controller.experiments import Busy, Experiments
from edgebed.experiment.errors import EnvironmentFault
from edgebed.live.documents import ControllerSettings
from edgebed.live.in_use import InUse
from edgebed.wire.description import EVENTS, problems
from edgebed.wire.problems import Problem

HEARTBEAT_S = 5.0
LISTENERS = 50
"""Streams of events at once."""

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=100)]

BODY = {
    "required": True,
    "content": {
        JSON: {"schema": {"type": "object", "additionalProperties": True}},
        YAML[0]: {"schema": {"type": "string", "description": "the same as YAML"}},
    },
}
"""Of a document, as OpenAPI says it."""


async def _body(request: Request) -> bytes:
    return await request.body()


def experiment_routes(
    experiments: Experiments, closing: asyncio.Event, settings: InUse[ControllerSettings] | None = None
) -> APIRouter:
    """The routes; streams of events end when `closing` is set."""
    tuning = settings or InUse(ControllerSettings)
    routes = APIRouter(tags=["experiments"])
    listeners = 0

    @routes.post(
        "/v1/experiments", status_code=202, responses=problems(409, 415, 422, 503), openapi_extra={"requestBody": BODY}
    )
    def submit(
        request: Request,
        body: Annotated[bytes, Depends(_body)],
        folder: Annotated[
            str | None, Query(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=100)
        ] = None,
    ) -> dict[str, Any]:
        """Start an experiment, or go on with it; `folder` is that of the run, by default metadata.name.

        A document that is refused is answered with everything that is wrong with it, field by field; of YAML, by line.
        """
        document = read_document(body, request.headers.get("content-type"))
        try:
            with refusals(document):
                return experiments.submit(document.content, folder).document()
        except Busy as error:
            raise Problem(409, "Busy", str(error)) from error
        except EnvironmentFault as error:
            raise Problem(503, "Something that this service needs is missing", str(error)) from error

    @routes.get("/v1/experiments")
    def all_of_them() -> dict[str, Any]:
        """Every experiment that this controller knows."""
        return {"experiments": experiments.all()}

    @routes.get("/v1/experiments/{name}", responses=problems(404))
    def one(name: Name) -> dict[str, Any]:
        """How far an experiment is."""
        found = experiments.find(name)
        if found is None:
            raise Problem(404, "No such experiment", f"{name!r} is not known here; GET /v1/experiments lists all")
        return found

    @routes.delete("/v1/experiments/{name}", status_code=202, responses=problems(404))
    def stop(name: Name) -> dict[str, Any]:
        """Stop an experiment; what was played and learned is kept."""
        if not experiments.stop(name):
            raise Problem(404, "No such experiment", f"{name!r} is not known here; GET /v1/experiments lists all")
        return {"name": name}

    @routes.get("/v1/events", response_class=StreamingResponse, responses={**EVENTS, **problems(503)})
    async def events() -> StreamingResponse:
        """Every experiment that runs, each time that something about it changes; first, how they and the last one are."""
        nonlocal listeners
        if listeners >= LISTENERS:
            raise Problem(503, "Too busy", f"{LISTENERS} listeners are there already; try again later")

        async def stream() -> AsyncIterator[str]:
            nonlocal listeners
            listeners += 1
            try:
                async for event in changes(experiments, closing, tuning):
                    yield event
            finally:
                listeners -= 1

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    return routes


async def changes(
    experiments: Experiments, closing: asyncio.Event, settings: InUse[ControllerSettings]
) -> AsyncIterator[str]:
    """Server-sent events: the document of an experiment when it changed, and a comment when nothing did for long."""
    told, silent_s = Told(), 0.0
    yield ": events of the experiments that run\n\n"
    while not closing.is_set():
        news = told.news(experiments)
        if news:
            silent_s = 0.0
            for text in news:
                yield f"event: experiment\ndata: {text}\n\n"
        elif silent_s >= HEARTBEAT_S:
            silent_s = 0.0
            yield ": still here\n\n"
        wait_s = settings.values.event_seconds
        try:
            await asyncio.wait_for(closing.wait(), wait_s)
        except TimeoutError:
            silent_s += wait_s


class Told:
    """What one listener knows already."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}
        self._open: set[str] = set()

    def news(self, experiments: Experiments) -> list[str]:
        """The documents that it does not know; the last one of an experiment tells how it ended."""
        live = {one.name: one.document() for one in experiments.live()}
        ended = self._open - live.keys()
        documents = [*(found for name in sorted(ended) if (found := experiments.find(name))), *live.values()]
        self._open = {name for name, document in live.items() if document["state"] == "running"}
        news = []
        for document in documents:
            text = json.dumps(_without_clock(document), sort_keys=True)
            if self._last.get(document["name"]) != text:
                self._last[document["name"]] = text
                news.append(text)
        return news


def _without_clock(document: dict[str, Any]) -> dict[str, Any]:
    """Time alone is no news."""
    return {key: value for key, value in document.items() if key != "seconds"}
