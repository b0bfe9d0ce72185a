"""The edge node as a process: listens, registers, serves until it is told to stop."""

import asyncio
import mmap
import os
import socket
from dataclasses import dataclass

from fastapi import FastAPI

from edgebed.edge_node.app import Seat, create_app, hot_routes
from edgebed.edge_node.service import EdgeNode
from edgebed.emulation.clock import Clock
from edgebed.live.documents import EdgeNodeSettings, Policies
from edgebed.live.in_use import InUse
from edgebed.live.member import Member, coordinator_of
from edgebed.settings import Settings
from edgebed.stores.artefacts import open_artefacts
from edgebed.systems.registry import BUILT_IN, find_policy
from edgebed.wire.server import serve as serve_http

PAYLOAD_BYTES = 1 << 20
DRAIN_S = 2.0


@dataclass(frozen=True)
class Prepared:
    """What does not depend on the process: made before forking, it is shared by all nodes."""

    payload: memoryview
    """Random bytes, so that no link can compress them."""
    seat: Seat
    app: FastAPI


def prepare() -> Prepared:
    """Everything that a parent can make for its children."""
    for name in BUILT_IN:
        find_policy(name)  # imported here, a policy's code is shared
    pages = mmap.mmap(-1, PAYLOAD_BYTES)
    pages.write(os.urandom(PAYLOAD_BYTES))
    seat = Seat()
    return Prepared(memoryview(pages), seat, create_app(seat))


async def serve(
    settings: Settings, stop: asyncio.Event, sock: socket.socket | None = None, prepared: Prepared | None = None
) -> None:
    """Serves until `stop` is set, then drains. `sock` listens already where a parent has bound it."""
    ready = prepared or prepare()
    clock = Clock(asyncio.get_running_loop())
    tuning = InUse(EdgeNodeSettings)
    member = Member(settings, "edge-node", settings.node, [tuning, InUse(Policies)], metadata={"node": settings.node})
    node = EdgeNode(clock, ready.payload, token=settings.token, spool=settings.spool, settings=tuning)
    node.priority, node.awake = clock.precedence.take(), settings.keep_awake == "on"
    ready.seat.taken, ready.seat.artefacts = node, ready.seat.calls.of_artefacts(open_artefacts(settings.artefacts))
    ready.seat.state = member.state
    where = sock or (settings.host, settings.port)
    server = serve_http(ready.app, hot_routes(node), where, token=settings.token, open_paths=OPEN_PATHS)
    await server.start()
    member.join(ready.seat.calls.of_coordinator(coordinator_of(settings)))
    try:
        await stop.wait()
    finally:
        await member.stop()
        await server.stop(DRAIN_S)
        await node.close()
        clock.close()


OPEN_PATHS = frozenset({"/healthz"})
"""Answered without a token, for probes of a container's health."""
