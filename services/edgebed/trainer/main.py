"""The trainer as a process: listens, registers, serves until it is told to stop."""

import asyncio
import os
import socket

from edgebed.settings import Settings
from edgebed.stores.artefacts import open_artefacts
from edgebed.stores.calls import Calls
from edgebed.trainer.app import create_app
from edgebed.trainer.jobs import Trainer
from edgebed.wire.heartbeat import Heartbeat
from edgebed.wire.server import HotRoutes
from edgebed.wire.server import serve as serve_http

DRAIN_S = 2.0
NICENESS = 10
"""Learning gives way to nodes that share the machine: they have to be on time, it has not."""


async def serve(settings: Settings, stop: asyncio.Event, sock: socket.socket | None = None) -> None:
    """Serves until `stop` is set. `sock` listens already where a parent has bound it."""
    os.nice(NICENESS)
    calls = Calls("trainer")
    trainer = Trainer(calls.of_artefacts(open_artefacts(settings.artefacts)), settings.runs / "trainer")
    where = sock or (settings.host, settings.port)
    app = create_app(trainer, calls)
    server = serve_http(app, HotRoutes(), where, token=settings.token, open_paths=frozenset({"/healthz"}))
    await server.start()
    heartbeat = None
    if settings.controller is not None:
        heartbeat = Heartbeat("trainer", "trainer", settings.advertise, settings.controller, settings.token)
    try:
        await stop.wait()
    finally:
        if heartbeat is not None:
            await heartbeat.stop()
        await server.stop(DRAIN_S)
        await asyncio.to_thread(trainer.close)
