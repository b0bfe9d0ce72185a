"""Registry and configuration over HTTP: the embedded coordinator, for services that were given the controller's address.

POST        /v1/heartbeats                   hot: register, or still be there, as services do every second; hear what is new
PUT, DELETE /v1/registry/{service}/{name}    register and heartbeat, or leave
GET         /v1/registry/{service}           who was heard of lately
PUT         /v1/configuration/{key}          publish, once it has been checked
GET         /v1/configuration/{key}          read; with `after` and `waitSeconds`, once its version is another

Where the coordination is another's (Nacos), the controller passes on what people ask and publish; services register there.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field, ValidationError

from edgebed.experiment.document import Document
from edgebed.experiment.errors import EnvironmentFault, UserError
from edgebed.stores.coordination import Coordinator, EmbeddedCoordinator, Entry
from edgebed.wire.description import HotPath, problems
from edgebed.wire.heartbeat import PATH
from edgebed.wire.messages import JsonText
from edgebed.wire.problems import Problem
from edgebed.wire.server import HotRoutes

LONGEST_WAIT_S = 30.0

_WORD = r"^[A-Za-z0-9][A-Za-z0-9._:-]*$"
Word = Annotated[str, Path(pattern=_WORD, max_length=200)]
Text = Annotated[str, Field(max_length=200)]
Key = Annotated[str, Field(pattern=_WORD, max_length=200)]
Version = Annotated[int, Field(ge=0, lt=2**63)]


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
    known: Annotated[dict[Key, Version], Field(max_length=20, default_factory=dict)]
    """Configurations that it listens to, with the version that it knows; 0 for none."""
    wait_seconds: Annotated[float, Field(ge=0, le=LONGEST_WAIT_S)] = 0.0
    """How long the answer may wait for another version of one of them."""


_ENTRY = {
    "type": "object",
    "properties": {"key": {"type": "string"}, "text": {"type": "string"}, "version": {"type": "integer"}},
    "required": ["key", "text", "version"],
}
NEWS = {"type": "object", "properties": {"entries": {"type": "array", "items": _ENTRY}}, "required": ["entries"]}

HEARTBEATS_PATH = HotPath(
    PATH,
    "Register, or say that a service is still there; answered with entries that are new, if there are any",
    Heartbeat.model_json_schema(),
    NEWS,
    problems=(409,),
)


class Configuration(Document):
    """A text under a key."""

    text: Annotated[str, Field(max_length=4 << 20)]
    """Anything."""


class Waiting:
    """Requests that wait for a configuration; none does any more once it is closed."""

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[None]] = set()
        self._closed = False

    async def changed(self, coordinator: EmbeddedCoordinator, known: Mapping[str, int], wait_s: float) -> list[Entry]:
        """The entries whose version is not the known one, once there is one; takes no thread while it waits."""
        found = _others(coordinator, known)
        if found or wait_s <= 0 or self._closed or not known:
            return found
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not future.done():
                future.set_result(None)

        def told(entry: Entry) -> None:
            if entry.version != known[entry.key]:
                loop.call_soon_threadsafe(tell)

        self._futures.add(future)
        watches = [coordinator.watch(key, told) for key in known]
        try:
            async with asyncio.timeout(wait_s):
                await future
        except TimeoutError:
            return []
        finally:
            self._futures.discard(future)
            for watch in watches:
                watch.close()
        return _others(coordinator, known)

    def close(self) -> None:
        """On the event loop: everybody is answered now."""
        self._closed = True
        for future in self._futures:
            if not future.done():
                future.set_result(None)


def _others(coordinator: EmbeddedCoordinator, known: Mapping[str, int]) -> list[Entry]:
    return [entry for key, version in known.items() if (entry := coordinator.get(key, version)) is not None]


def registry_routes(
    coordinator: Coordinator, waiting: Waiting | None = None, check: Callable[[str, str], None] = lambda *_: None
) -> APIRouter:
    """The routes over a coordinator; `check` raises UserError for a text that nobody could use under its key."""
    routes = APIRouter(tags=["registry"])
    waiters = waiting or Waiting()

    @routes.put("/v1/registry/{service}/{name}", responses=problems(409))
    async def register(service: Word, name: Word, registration: Registration) -> dict[str, str]:
        """Enter an instance, or say that it is still there."""
        _ours(coordinator).register(service, name, registration.address, registration.metadata)
        return {"service": service, "name": name}

    @routes.delete("/v1/registry/{service}/{name}", status_code=204, responses=problems(409))
    async def deregister(service: Word, name: Word) -> Response:
        """Remove an instance; one that is not there stays away."""
        _ours(coordinator).deregister(service, name)
        return Response(status_code=204)

    @routes.get("/v1/registry/{service}", responses=problems(503))
    async def instances(service: Word) -> dict[str, Any]:
        """The instances that were heard of lately."""
        with coordination_refusals():
            if isinstance(coordinator, EmbeddedCoordinator):
                there = coordinator.instances(service)
            else:
                there = await asyncio.to_thread(coordinator.instances, service)
        found = [{"name": i.name, "address": i.address, "metadata": dict(i.metadata)} for i in there]
        return {"service": service, "instances": found}

    @routes.put("/v1/configuration/{key}", responses=problems(422, 503))
    def publish(key: Word, configuration: Configuration) -> dict[str, Any]:
        """Set a text, which must be a configuration under its key; the same text keeps its version."""
        with coordination_refusals():
            check(key, configuration.text)
            entry = coordinator.publish(key, configuration.text)
        return {"key": entry.key, "text": entry.text, "version": entry.version}

    @routes.get(
        "/v1/configuration/{key}",
        responses={204: {"description": "No other version within the time"}, **problems(503)},
    )
    async def get(
        key: Word,
        after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        wait_s: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S, alias="waitSeconds", allow_inf_nan=False)] = 0.0,
    ) -> Any:
        """A text, once its version is not `after`; waits for at most so many seconds."""
        if isinstance(coordinator, EmbeddedCoordinator):
            entry = next(iter(await waiters.changed(coordinator, {key: after}, wait_s)), None)
        else:
            with coordination_refusals():
                entry = await asyncio.to_thread(coordinator.get, key, after, wait_s)
        if entry is None:
            return Response(status_code=204)
        return {"key": entry.key, "text": entry.text, "version": entry.version}

    return routes


def _ours(coordinator: Coordinator) -> EmbeddedCoordinator:
    """The coordinator in this process, for who wants to be in its registry. Raises Problem where there is none."""
    if isinstance(coordinator, EmbeddedCoordinator):
        return coordinator
    raise Problem(
        409, "Not here", "this controller's registry is elsewhere; give the service its EDGEBED_COORDINATION, too"
    )


class coordination_refusals:  # noqa: N801  # a context manager reads like a word
    """Errors of a coordinator as problems for the client."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UserError):
            raise Problem(422, "Not a configuration that can be used", str(error)) from error
        if isinstance(error, EnvironmentFault):
            raise Problem(503, "The coordination is away", str(error)) from error


def heartbeat_routes(coordinator: Coordinator, waiting: Waiting | None = None) -> HotRoutes:
    """The hot path of the registry."""
    waiters = waiting or Waiting()

    async def beat(body: bytes, _: str | None) -> bytes:
        try:
            heard = Heartbeat.model_validate_json(body)
        except ValidationError as error:
            detail = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
            raise Problem(422, "Not allowed", detail) from error
        ours = _ours(coordinator)
        ours.register(heard.service, heard.name, heard.address, heard.metadata)
        entries = await waiters.changed(ours, heard.known, heard.wait_seconds)
        if not entries:
            return b""
        found = [{"key": entry.key, "text": entry.text, "version": entry.version} for entry in entries]
        return JsonText(json.dumps({"entries": found}).encode())

    return HotRoutes(unary={PATH: beat})
