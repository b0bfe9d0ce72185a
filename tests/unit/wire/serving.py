"""A small service with every kind of route, which remembers what it was told; and raw sockets to talk to it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

import uvloop
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from edgebed.wire.frames import varint
from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.messages import dump, parse
from edgebed.wire.problems import Problem, install_problem_handlers
from edgebed.wire.server import HotRoutes, Limits, Server, serve

QUICK = Limits(head_s=0.3, body_s=0.3, idle_s=0.3, odd_s=0.3, keep_alive_s=0.3, stall_s=0.3, linger_s=0.3)
"""Times that a test can wait for."""


def run(test: Coroutine[Any, Any, None], limit_s: float = 30.0) -> None:
    """A test on the loop that services have."""

    async def limited() -> None:
        await asyncio.wait_for(test, limit_s)

    uvloop.run(limited())


@dataclass
class Told:
    """What the service's handlers were told: what a refused request must not change."""

    probes: list[pb.Probe] = field(default_factory=list)
    uploads: list["Receiver"] = field(default_factory=list)
    ordinary: list[str] = field(default_factory=list)


class Receiver:
    """One upload."""

    def __init__(self, told: Told, head: bytes, size: int) -> None:
        self.task = parse(pb.TaskHeader, head, None)
        if self.task.source > 100:
            raise Problem(409, "Refused in this state", "source over 100")
        self.size, self.count, self.end = size, 0, ""
        self.ended = asyncio.Event()
        told.uploads.append(self)

    def received(self, count: int) -> None:
        assert count > 0
        assert not self.end
        self.count += count
        if self.task.slot == 13 and self.count > self.size / 2:
            raise Problem(409, "Refused in this state", "slot 13 ends in the middle")

    def complete(self) -> bytes:
        self._ends("complete")
        if self.task.slot == 14:
            raise Problem(409, "Refused in this state", "slot 14 ends at the end")
        return b"%d" % self.count

    def lost(self) -> None:
        self._ends("lost")

    def _ends(self, how: str) -> None:
        assert not self.end
        self.end = how
        self.ended.set()


class Item(BaseModel):
    """A body for FastAPI."""

    name: str


def service(told: Told) -> tuple[FastAPI, HotRoutes]:
    """Probes are answered at once, at /v1/slow later; /v1/tasks takes uploads; FastAPI has the rest."""
    app = FastAPI()
    install_problem_handlers(app)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.put("/v1/items")
    async def items(item: Item) -> dict[str, str]:
        told.ordinary.append(item.name)
        return {"name": item.name}

    @app.post("/v1/unread")
    async def unread() -> dict[str, str]:
        return {"status": "not read"}

    @app.post("/v1/size")
    async def size(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    @app.get("/v1/events")
    async def events() -> StreamingResponse:
        async def some() -> AsyncIterator[bytes]:
            for k in range(3):
                yield b"data: %d\n\n" % k
                await asyncio.sleep(0.01)

        return StreamingResponse(some(), media_type="text/event-stream")

    @app.get("/v1/fault")
    async def fault() -> None:
        raise RuntimeError("a secret of the service")

    def probe(body: bytes, content_type: str | None) -> bytes:
        message = parse(pb.Probe, body, content_type)
        if message.asker > 100:
            raise Problem(422, "Not allowed", f"asker {message.asker} is not allowed; give at most 100")
        if message.asker == 13:
            raise RuntimeError("a secret of the service")
        told.probes.append(message)
        return dump(pb.ProbeAnswer(node=message.asker, waiting=message.slot), content_type)

    async def slow(body: bytes, content_type: str | None) -> bytes:
        await asyncio.sleep(0.02)
        return probe(body, content_type)

    async def stuck(body: bytes, content_type: str | None) -> bytes:
        await asyncio.Event().wait()
        return b""

    routes = HotRoutes({"/v1/probe": probe, "/v1/slow": slow, "/v1/stuck": stuck, "/v1/echo": lambda body, _: body})
    routes.uploads["/v1/tasks"] = lambda head, count: Receiver(told, head, count)
    routes.largest["/v1/echo"] = 4 << 20
    return app, routes


@contextlib.asynccontextmanager
async def serving(
    limits: Limits | None = None, token: str | None = None, port: int = 0
) -> AsyncIterator[tuple[Server, Told]]:
    """The service, started."""
    told = Told()
    app, routes = service(told)
    server = serve(app, routes, ("127.0.0.1", port), token=token, limits=limits, open_paths=frozenset({"/healthz"}))
    await server.start()
    try:
        yield server, told
    finally:
        await server.stop(0.5)


def request(path: str, body: bytes = b"", *fields: str, method: str = "POST") -> bytes:
    """A plain request."""
    lines = [f"{method} {path} HTTP/1.1", "host: test", f"content-length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def probe(asker: int = 3, slot: int = 5) -> bytes:
    """A question that is answered with `node=asker, waiting=slot`."""
    return pb.Probe(run="r", episode=1, slot=slot, asker=asker).SerializeToString()


def upload_body(task: pb.TaskHeader, payload: bytes) -> bytes:
    """As `Peer.upload` writes it."""
    head = task.SerializeToString()
    return varint(len(head)) + head + payload


class Raw:
    """A socket of a client that says what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """(status, fields, body) of the next answer, whose length must be declared."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await asyncio.wait_for(self.reader.readexactly(int(fields["content-length"])), 5)
        if int(head[0].split()[1]) >= 400:
            assert fields["content-type"] == "application/problem+json"
            assert json.loads(body)["status"] == int(head[0].split()[1])
        return int(head[0].split()[1]), fields, body

    async def status(self) -> int:
        return (await self.answer())[0]

    async def closed(self, limit_s: float = 5.0) -> bool:
        """Whether the server ends the connection without another byte."""
        try:
            return await asyncio.wait_for(self.reader.read(1), limit_s) == b""
        except ConnectionError:
            return True


@contextlib.asynccontextmanager
async def raw(server: Server) -> AsyncIterator[Raw]:
    """A connection."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
