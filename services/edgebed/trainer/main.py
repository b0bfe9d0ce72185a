"""The trainer as a process: listens, registers, serves until it is told to stop."""

import asyncio
import contextlib
import socket

from edgebed.emulation.priority import give_way
from edgebed.experiment.errors import UserError
from edgebed.live.documents import Policies, TrainerSettings
from edgebed.live.in_use import InUse
from edgebed.live.member import Member, coordinator_of
from edgebed.settings import Settings
from edgebed.stores.artefacts import open_artefacts
from edgebed.stores.calls import Calls
from edgebed.trainer.app import create_app
from edgebed.trainer.jobs import Trainer
from edgebed.wire.server import HotRoutes
from edgebed.wire.server import serve as serve_http

DRAIN_S = 2.0


async def serve(settings: Settings, stop: asyncio.Event, sock: socket.socket | None = None) -> None:
    """Serves until `stop` is set. `sock` listens already where a parent has bound it."""
    # Learning gives way to nodes that share the machine: they have to be on time, it has not.
    tuning = InUse(TrainerSettings, lambda values: give_way(values.niceness))
    with contextlib.suppress(UserError):  # it was started with a higher one
        give_way(tuning.values.niceness)
    member = Member(settings, "trainer", "trainer", [tuning, InUse(Policies)])
    calls = Calls("trainer")
    artefacts = calls.of_artefacts(open_artefacts(settings.artefacts))
    trainer = Trainer(artefacts, settings.runs / "trainer", settings=tuning)
    where = sock or (settings.host, settings.port)
    app = create_app(trainer, member.state, calls)
    server = serve_http(app, HotRoutes(), where, token=settings.token, open_paths=frozenset({"/healthz"}))
    await server.start()
    member.join(calls.of_coordinator(coordinator_of(settings)))
    try:
        await stop.wait()
    finally:
        await member.stop()
        await server.stop(DRAIN_S)
        await asyncio.to_thread(trainer.close)
