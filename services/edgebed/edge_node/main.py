"""The edge node as a process: listens, registers, serves until it is told to stop."""

import asyncio
import contextlib
import logging
import mmap
import os
import socket

from edgebed.edge_node.app import create_app, hot_routes
from edgebed.edge_node.service import EdgeNode
from edgebed.emulation.clock import Clock
from edgebed.settings import Settings
from edgebed.stores.artefacts import open_artefacts
from edgebed.stores.coordination import HttpCoordinator
from edgebed.wire.server import serve as serve_http

PAYLOAD_BYTES = 1 << 20

_log = logging.getLogger(__name__)


def make_payload() -> memoryview:
    """A megabyte of random bytes that no link can compress; made before forking, it is shared by all nodes."""
    pages = mmap.mmap(-1, PAYLOAD_BYTES)
    pages.write(os.urandom(PAYLOAD_BYTES))
    return memoryview(pages)


async def serve(
    settings: Settings, stop: asyncio.Event, sock: socket.socket | None = None, payload: memoryview | None = None
) -> None:
    """Serves until `stop` is set, then drains. `sock` listens already where a parent has bound it."""
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    node = EdgeNode(clock, payload or make_payload(), token=settings.token, spool=settings.spool)
    app = create_app(node, open_artefacts(settings.artefacts))
    server = serve_http(app, hot_routes(node), sock or (settings.host, settings.port), token=settings.token)
    await server.start()
    registration = None
    if settings.controller is not None:
        coordinator = HttpCoordinator(settings.controller, token=settings.token)
        registration = coordinator.keep_registered("edge-node", settings.node, settings.advertise, {})
    try:
        await stop.wait()
    finally:
        if registration is not None:
            with contextlib.suppress(Exception):
                await registration.stop()
        await server.stop(2.0)
        await node.close()
        clock.close()
