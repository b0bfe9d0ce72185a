"""A generator and small nodes as real servers on the loopback, on one event loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI

from edgebed.emulation.clock import Clock
from edgebed.task_generator.app import create_app, hot_routes
from edgebed.task_generator.service import Generator
from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.messages import parse
from edgebed.wire.problems import Problem
from edgebed.wire.server import HotRoutes, Server, serve


class Node:
    """Takes arrivals and remembers when."""

    def __init__(self) -> None:
        self.arrived: list[tuple[int, pb.TaskHeader]] = []
        """(Unix nanoseconds, task)"""
        self.connections_before_first = 0

    def arrive(self, body: bytes, content_type: str | None) -> bytes:
        arrivals = parse(pb.Arrivals, body, content_type)
        if not arrivals.tasks:
            raise Problem(409, "Refused in this state", "no task is in the message")
        self.arrived += [(time.time_ns(), task) for task in arrivals.tasks]
        return b""


class World:
    """Some nodes and a generator."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token
        self.servers: list[Server] = []
        self.nodes: list[Node] = []

    async def start(self, nodes: int) -> None:
        self.clock = Clock(asyncio.get_running_loop())
        self.generator = Generator(self.clock, token=self.token)
        for _ in range(nodes):
            node = Node()
            self.nodes.append(node)
            await self._serve(FastAPI(), HotRoutes(unary={"/v1/arrivals": node.arrive}))
        self.server = await self._serve(create_app(self.generator), hot_routes(self.generator))

    async def _serve(self, app: FastAPI, routes: HotRoutes) -> Server:
        server = serve(app, routes, ("127.0.0.1", 0), token=self.token)
        await server.start()
        self.servers.append(server)
        return server

    @property
    def addresses(self) -> list[str]:
        return [server.address for server in self.servers[: len(self.nodes)]]

    async def stop(self) -> None:
        for server in self.servers:
            await server.stop(0.5)
        await self.generator.close()
        self.clock.close()


@pytest.fixture
def run() -> Callable[..., None]:
    """Runs a test's body in a world of its own: `run(body, nodes=3)`."""

    def runner(body: Callable[[World], Awaitable[None]], nodes: int = 3, token: str | None = None) -> None:
        async def everything() -> None:
            world = World(token)
            await world.start(nodes)
            try:
                async with asyncio.timeout(20):
                    await body(world)
            finally:
                await world.stop()

        asyncio.run(everything())

    return runner


def plan(addresses: list[str], *, slots: int = 8, slot_s: float = 0.02, lead_s: float = 0.1) -> pb.EpisodePlan:
    """A task at every node in every slot but the third, where only node 0 has one."""
    message = pb.EpisodePlan(
        run="r", episode=4, slot_s=slot_s, slots=slots, starts_at_unix_ns=time.time_ns() + round(lead_s * 1e9)
    )
    message.addresses.extend(addresses)
    for slot in range(slots):
        for source in range(len(addresses)):
            if slot == 2 and source > 0:
                continue
            message.tasks.append(
                pb.TaskHeader(
                    number=len(message.tasks),
                    slot=slot,
                    source=source,
                    size_bits=8e5,
                    cycles=1e9,
                    deadline_s=1.0,
                    arrived_s=slot * slot_s,
                    u_transmission=0.5,
                    u_execution=0.25,
                )
            )
    return message
