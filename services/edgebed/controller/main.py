"""The controller as a process: opens its stores, serves, goes on with what was interrupted, and drains when told to stop."""

import asyncio
import logging
import socket
import time

from edgebed.controller.app import Parts, create_app, hot_routes
from edgebed.controller.companion import Accompany
from edgebed.controller.configuration import Desk, check_policies
from edgebed.controller.directory import Directory
from edgebed.controller.experiments import Experiments, Services
from edgebed.controller.ingest import Ingest
from edgebed.controller.page.routes import OPEN_PATHS
from edgebed.controller.registry import Waiting
from edgebed.controller.remote import Caller
from edgebed.live.documents import ControllerSettings, Policies
from edgebed.live.in_use import InUse
from edgebed.live.member import Member, coordinator_of
from edgebed.settings import Settings
from edgebed.stores.artefacts import open_artefacts
from edgebed.stores.calls import COORDINATION, Calls
from edgebed.stores.coordination import EmbeddedCoordinator
from edgebed.stores.log_writer import LogWriter
from edgebed.stores.task_log import TaskLogStore
from edgebed.wire.server import serve as serve_http

DRAIN_S = 2.0

_log = logging.getLogger(__name__)


async def serve(
    settings: Settings, stop: asyncio.Event, sock: socket.socket | None = None, accompany: Accompany | None = None
) -> None:
    """Serves until `stop` is set, then drains. `sock` listens already where a parent has bound it.

    What `accompany` makes works beside the controller as long as it serves.
    """
    calls = Calls("controller")
    store = TaskLogStore(settings.task_log, password=settings.task_log_password)
    writer = LogWriter(calls.timed("taskLog", "append_rows", store.append_rows), settings.spool / "controller")
    caller = Caller(settings.token)
    # Versions above those that watchers have seen from a controller before this one.
    own = coordinator_of(settings) or EmbeddedCoordinator(first_version=int(time.time()))
    coordinator = calls.of("coordination", own, COORDINATION)
    ingest, waiting = Ingest(writer), Waiting()
    tuning, policies = InUse(ControllerSettings), InUse(Policies, check_policies)
    member = Member(settings, "controller", "controller", [tuning, policies])
    artefacts = calls.of_artefacts(open_artefacts(settings.artefacts))
    services = Services(
        directory=Directory(coordinator, settings=tuning, testbed=settings.testbed),
        caller=caller,
        store=store,
        ingest=ingest,
        artefacts=artefacts,
        address=settings.advertise,
        token=settings.token,
        settings=tuning,
        policies=policies,
        calls=calls,
    )
    experiments = Experiments(settings.runs, services)
    companion = None if accompany is None else accompany(experiments, artefacts)
    desk = Desk(coordinator, caller, settings.cache)
    problems = list if companion is None else companion.problems
    parts = Parts(coordinator, ingest, writer, experiments, waiting, desk, member.state, tuning, calls, problems)
    server = serve_http(
        create_app(parts, stop),
        hot_routes(parts),
        sock or (settings.host, settings.port),
        token=settings.token,
        open_paths=frozenset({"/healthz", "/livez"}) | OPEN_PATHS,
    )
    await server.start()
    member.join(coordinator, desk.open)
    try:
        resumed = await asyncio.to_thread(experiments.resume)
        for running in resumed:
            _log.warning("experiment %s goes on where it was interrupted", running.name)
        if companion is not None:
            companion.start()
        await stop.wait()
    finally:
        stop.set()
        waiting.close()
        # First who gives orders; then what runs, while the nodes can still deliver their records; then server and stores.
        if companion is not None:
            await asyncio.to_thread(companion.close)
        await asyncio.to_thread(experiments.close)
        await server.stop(DRAIN_S)
        await member.stop()
        await asyncio.to_thread(writer.close)
        store.close()
        caller.close()
