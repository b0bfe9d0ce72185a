"""The task generator as a process: listens, registers, serves until it is told to stop."""

import asyncio
import socket

from edgebed.emulation.clock import Clock
from edgebed.emulation.priority import take_priority
from edgebed.live.documents import Policies, TaskGeneratorSettings
from edgebed.live.in_use import InUse
from edgebed.live.member import Member, coordinator_of
from edgebed.settings import Settings
from edgebed.task_generator.app import create_app, hot_routes
from edgebed.task_generator.service import Generator
from edgebed.wire.server import serve as serve_http

DRAIN_S = 2.0


async def serve(settings: Settings, stop: asyncio.Event, sock: socket.socket | None = None) -> None:
    """Serves until `stop` is set, then drains. `sock` listens already where a parent has bound it."""
    clock = Clock(asyncio.get_running_loop())
    take_priority()  # a slot that is emitted late makes the whole run unreliable
    tuning = InUse(TaskGeneratorSettings)
    member = Member(settings, "task-generator", settings.advertise.removeprefix("http://"), [tuning, InUse(Policies)])
    generator = Generator(clock, token=settings.token, settings=tuning)
    where = sock or (settings.host, settings.port)
    server = serve_http(
        create_app(generator, member.state),
        hot_routes(generator),
        where,
        token=settings.token,
        open_paths=frozenset({"/healthz"}),
    )
    await server.start()
    member.join(coordinator_of(settings))
    try:
        await stop.wait()
    finally:
        await member.stop()
        await server.stop(DRAIN_S)
        await generator.close()
        clock.close()
