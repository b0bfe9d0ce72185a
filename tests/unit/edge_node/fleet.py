"""Real edge nodes on the loopback, with the log that they record to, on one event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import httpx
import uvloop
from fastapi import FastAPI

from edgebed.controller.ingest import row_of
from edgebed.edge_node.app import Seat, create_app, hot_routes
from edgebed.edge_node.service import EdgeNode
from edgebed.emulation.clock import Clock
from edgebed.stores.artefacts import ArtefactStore
from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerRefused
from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.problems import Problem
from edgebed.wire.server import HotRoutes, Server, bind, serve

RUN, EPISODE = "run", 1
RATE = 8e7
"""Bits per second of every link: 100 KB take 10 ms."""
CAPACITY = 8e9
"""Cycles per second of every node."""
PAYLOAD = memoryview(bytes(1 << 16))


def run(test: Coroutine[Any, Any, None], limit_s: float = 40.0) -> None:
    """A test on the loop that services have; what nobody caught fails it."""
    uncaught: list[Any] = []

    async def limited() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: uncaught.append(context))
        await asyncio.wait_for(test, limit_s)

    uvloop.run(limited())
    assert not uncaught


def network(nodes: int, alpha: float = 0.0, beta: float = 0.0) -> dict[str, Any]:
    """All nodes and links alike."""
    return {
        "capacityHz": [CAPACITY] * nodes,
        "cores": [8.0] * nodes,
        "arrivalProbability": [0.5] * nodes,
        "executionFailureRate": [alpha] * nodes,
        "linkRateBitsPerSecond": [[RATE] * nodes] * nodes,
        "linkFailureRate": [[beta] * nodes] * nodes,
    }


def task(number: int, source: int = 0, **changes: Any) -> pb.TaskHeader:
    """10 ms on a link, 10 ms in execution, five seconds to be due."""
    values = {
        "run": RUN,
        "episode": EPISODE,
        "number": number,
        "source": source,
        "size_bits": RATE * 0.01,
        "cycles": CAPACITY * 0.01,
        "deadline_s": 5.0,
        "u_transmission": 0.5,
        "u_execution": 0.5,
    }
    return pb.TaskHeader(**{**values, **changes})


def transfer(number: int, source: int, destination: int, **changes: Any) -> pb.TaskHeader:
    """The same on its way."""
    return task(number, source, destination=destination, decided_s=0.001, sent_s=0.002, **changes)


class Log:
    """Takes records, refuses what the task log refuses, and can go away and come back at its address."""

    def __init__(self) -> None:
        self.records: list[pb.TaskRecord] = []
        self.answer = 200
        self.port = 0
        self._server: Server | None = None

    async def start(self) -> None:
        async def take(body: bytes, _: str | None) -> bytes:
            if self.answer != 200:
                raise Problem(self.answer, "Not now")
            batch = pb.RecordBatch.FromString(body)
            for record in batch.records:
                row_of(record)
            self.records += batch.records
            return pb.RecordReceipt(stored=len(batch.records)).SerializeToString()

        listener = bind("127.0.0.1", self.port)
        self.port = listener.getsockname()[1]
        self._server = serve(FastAPI(), HotRoutes({"/v1/records": take}, largest={"/v1/records": 4 << 20}), listener)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0.2)
            self._server = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def by_number(self) -> dict[int, pb.TaskRecord]:
        """The latest record of each task."""
        return {record.task.number: record for record in self.records}

    async def has(self, count: int) -> dict[int, pb.TaskRecord]:
        """Waits for so many tasks."""
        while len(self.by_number()) < count:
            await asyncio.sleep(0.005)
        return self.by_number()


class Fleet:
    """Nodes 0, 1, ... and their log."""

    def __init__(self, spool: Path | None, token: str | None, artefacts: ArtefactStore | None) -> None:
        self.spool, self.token, self.artefacts = spool, token, artefacts
        self.clock = Clock(asyncio.get_running_loop())
        self.log = Log()
        self.nodes: list[EdgeNode] = []
        self.servers: list[Server] = []
        self.peers: list[Peer] = []
        self.begins = 0.0
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self.http = httpx.AsyncClient(headers=headers, timeout=20.0)

    async def add(self) -> None:
        """A node that knows nothing."""
        node = EdgeNode(self.clock, PAYLOAD, token=self.token, spool=self.spool)
        seat = Seat(node, self.artefacts)
        server = serve(create_app(seat), hot_routes(node), ("127.0.0.1", 0), token=self.token)
        await server.start()
        self.nodes.append(node)
        self.servers.append(server)
        self.peers.append(Peer(server.address, token=self.token))

    def configuration(self, node: int, addresses: list[str] | None = None, **changes: Any) -> dict[str, Any]:
        """The body of PUT /v1/configuration; `alpha` and `beta` are failure rates."""
        where = addresses or [server.address for server in self.servers]
        rates = {name: changes.pop(name) for name in ("alpha", "beta") if name in changes}
        workload = {"slots": 100, "sizeBits": 8e5, "cyclesPerBit": 100, "deadlineSeconds": 0.5}
        return {
            "version": 1,
            "node": node,
            "network": network(len(where), **rates),
            "slotSeconds": 0.1,
            "workload": workload,
            "addresses": where,
            "log": self.log.address,
            **changes,
        }

    async def configure(self, addresses: list[str] | None = None, **changes: Any) -> None:
        """All nodes; `addresses` may name others than these."""
        for index in range(len(self.nodes)):
            await self.put(index, "/v1/configuration", self.configuration(index, addresses, **changes))

    async def decide(self, kind: str = "local", **choice: Any) -> None:
        """How all nodes decide."""
        for index in range(len(self.nodes)):
            await self.put(index, "/v1/scheduler", {"version": 1, "kind": kind, **choice})

    async def send_all(self, destination: int, tasks: int = 50) -> None:
        """Every task of slots 0 to `tasks` goes to one node."""
        decisions = [[slot, node, destination] for slot in range(tasks) for node in range(len(self.nodes))]
        await self.decide("fixed", decisions=decisions)

    async def begin(self, slots: int = 600, episode: int = EPISODE) -> None:
        """An episode at all nodes, from now on."""
        self.begins = self.clock.now()
        at = self.clock.to_unix_ns(self.begins)
        body = {"run": RUN, "episode": episode, "startsAtUnixNs": at, "slots": slots, "decisionKey": "7"}
        for index in range(len(self.nodes)):
            assert (await self.http.post(f"{self.servers[index].address}/v1/episodes", json=body)).status_code == 200

    async def finish(self, node: int, episode: int = EPISODE) -> dict[str, Any]:
        """What the node measured."""
        body = {"run": RUN, "episode": episode}
        answer = await self.http.post(f"{self.servers[node].address}/v1/episodes/finish", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def put(self, node: int, path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
        answer = await self.http.put(f"{self.servers[node].address}{path}", json=body)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def arrive(self, node: int, *tasks: pb.TaskHeader) -> int:
        """The status with which arrivals are answered."""
        return await self.post(node, "/v1/arrivals", pb.Arrivals(tasks=tasks).SerializeToString())

    async def post(self, node: int, path: str, body: bytes) -> int:
        try:
            await self.peers[node].post(path, body)
        except PeerRefused as error:
            return error.status
        return 200

    async def upload(self, node: int, head: bytes, payload: int) -> int:
        """The status with which a transfer is answered."""
        upload = await self.peers[node].upload("/v1/tasks", head, payload)
        upload.write(bytes(payload))
        try:
            await upload.finish(5.0)
        except PeerRefused as error:
            return error.status
        return 200

    def state(self, node: int) -> tuple[Any, ...]:
        """Everything that a refused request must leave alone."""
        found = self.nodes[node]
        episode = found.episode
        assert episode is not None  # it has begun
        queues = found.state()
        queues.ClearField("now_s")
        counts = (episode.created, dict(episode.ended), len(episode.core.tasks()), episode.idle)
        return (*counts, queues.SerializeToString(), found.measured.arrived, found.fault)

    async def close(self) -> None:
        await self.http.aclose()
        for peer in self.peers:
            await peer.close()
        for server in self.servers:
            await server.stop(0.2)
        for node in self.nodes:
            if node.recorder is not None:
                await node.recorder.stop(0.1)
            await node.close()
        await self.log.stop()
        self.clock.close()


@contextlib.asynccontextmanager
async def bare(
    nodes: int = 2, spool: Path | None = None, token: str | None = None, artefacts: ArtefactStore | None = None
) -> AsyncIterator[Fleet]:
    """Nodes that know nothing yet."""
    made = Fleet(spool, token, artefacts)
    try:
        await made.log.start()
        for _ in range(nodes):
            await made.add()
        yield made
    finally:
        await made.close()


@contextlib.asynccontextmanager
async def playing(nodes: int = 2, spool: Path | None = None, slots: int = 600, **changes: Any) -> AsyncIterator[Fleet]:
    """Nodes that decide locally and play an episode; `changes` are those of the configuration."""
    async with bare(nodes, spool) as made:
        await made.configure(**changes)
        await made.decide()
        await made.begin(slots)
        yield made


@contextlib.asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """Takes connections and everything that comes, and never answers."""
    open_writers: list[asyncio.StreamWriter] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 16):
                pass

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_writers:
            writer.transport.abort()


async def until(condition: Any) -> None:
    """Waits for what must come; the test's limit ends it otherwise."""
    while not condition():
        await asyncio.sleep(0.002)
