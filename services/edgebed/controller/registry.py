"""Registry and configuration over HTTP: the embedded coordinator, for services that were given the controller's address.

POST        /v1/heartbeats                   hot: register, or still be there, as services do every second
PUT, DELETE /v1/registry/{service}/{name}    register and heartbeat, or leave
GET         /v1/registry/{service}           who was heard of lately
PUT         /v1/configuration/{key}          publish
GET         /v1/configuration/{key}          read; with `after` and `waitSeconds`, once its version is another
"""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field, ValidationError

from edgebed.experiment.document import Document
from edgebed.stores.coordination import Coordinator, Entry
from edgebed.wire.description import HotPath
from edgebed.wire.heartbeat import PATH
from edgebed.wire.problems import Problem
from edgebed.wire.server import HotRoutes

LONGEST_WAIT_S = 30.0

_WORD = r"^[A-Za-z0-9][A-Za-z0-9._:-]*$"
Word = Annotated[str, Path(pattern=_WORD, max_length=200)]
Text = Annotated[str, Field(max_length=200)]


class Registration(Document):
    """An instance of a service."""

    address: Annotated[str, Field(pattern=r"^http://[^/\s]+:\d{1,5}$", max_length=300)]
    """Under which others reach it: http://HOST:PORT."""
    metadata: Annotated[dict[Text, Text], Field(max_length=20, default_factory=dict)]
    """What else they may want to know."""


class Heartbeat(Registration):
    """The same with whose it is."""

    service: Annotated[str, Field(pattern=_WORD, max_length=200)]
    """Kind of service: edge-node, task-generator or trainer."""
    name: Annotated[str, Field(pattern=_WORD, max_length=200)]
    """Of the instance."""


HEARTBEATS_PATH = HotPath(
    PATH, "Register, or say that a service is still there", Heartbeat.model_json_schema(), problems=()
)


class Configuration(Document):
    """A text under a key."""

    text: Annotated[str, Field(max_length=4 << 20)]
    """Anything."""


def registry_routes(coordinator: Coordinator) -> APIRouter:
    """The routes over a coordinator in this process."""
    routes = APIRouter(tags=["registry"])

    @routes.put("/v1/registry/{service}/{name}")
    async def register(service: Word, name: Word, registration: Registration) -> dict[str, str]:
        """Enter an instance, or say that it is still there."""
        coordinator.register(service, name, registration.address, registration.metadata)
        return {"service": service, "name": name}

    @routes.delete("/v1/registry/{service}/{name}", status_code=204)
    async def deregister(service: Word, name: Word) -> Response:
        """Remove an instance; one that is not there stays away."""
        coordinator.deregister(service, name)
        return Response(status_code=204)

    @routes.get("/v1/registry/{service}")
    async def instances(service: Word) -> dict[str, Any]:
        """The instances that were heard of lately."""
        found = [
            {"name": i.name, "address": i.address, "metadata": dict(i.metadata)} for i in coordinator.instances(service)
        ]
        return {"service": service, "instances": found}

    @routes.put("/v1/configuration/{key}")
    async def publish(key: Word, configuration: Configuration) -> dict[str, Any]:
        """Set a text; the same text keeps its version."""
        entry = coordinator.publish(key, configuration.text)
        return {"key": entry.key, "text": entry.text, "version": entry.version}

    @routes.get("/v1/configuration/{key}", responses={204: {"description": "No other version within the time"}})
    async def get(
        key: Word,
        after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        wait_s: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S, alias="waitSeconds", allow_inf_nan=False)] = 0.0,
    ) -> Any:
        """A text, once its version is not `after`; waits for at most so many seconds."""
        entry = coordinator.get(key, after)
        if entry is None and wait_s > 0:
            entry = await _changed(coordinator, key, after, wait_s)
        if entry is None:
            return Response(status_code=204)
        return {"key": entry.key, "text": entry.text, "version": entry.version}

    return routes


async def _changed(coordinator: Coordinator, key: str, after: int, wait_s: float) -> Entry | None:
    """The entry once its version is not `after`; takes no thread while it waits, so many readers may."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Entry] = loop.create_future()

    def tell(entry: Entry) -> None:
        if not found.done() and entry.version != after:
            found.set_result(entry)

    def told(entry: Entry) -> None:
        loop.call_soon_threadsafe(tell, entry)

    watch = coordinator.watch(key, told)
    try:
        return await asyncio.wait_for(found, wait_s)
    except TimeoutError:
        return None
    finally:
        watch.close()


def heartbeat_routes(coordinator: Coordinator) -> HotRoutes:
    """The hot path of the registry."""

    def beat(body: bytes, _: str | None) -> bytes:
        try:
            heard = Heartbeat.model_validate_json(body)
        except ValidationError as error:
            detail = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
            raise Problem(422, "Not allowed", detail) from error
        coordinator.register(heard.service, heard.name, heard.address, heard.metadata)
        return b""

    return HotRoutes(unary={PATH: beat})
