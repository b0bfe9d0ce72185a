"""Runs one service in this process: what a forked child and `edgebed serve` have in common."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import uvloop

from edgebed.experiment.errors import EnvironmentFault
from edgebed.settings import Settings, read_settings

if TYPE_CHECKING:
    from edgebed.controller.companion import Accompany
    from edgebed.controller.experiments import Experiments
    from edgebed.stores.artefacts import ArtefactStore

TALKATIVE = ("httpx", "kopf")
"""Libraries that tell of everything that they do."""


def run_service(
    service: str, environment: Mapping[str, str], sock: socket.socket | None = None, prepared: Any = None
) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status. Raises SettingsError before anything is started."""
    settings = read_settings(service, environment, socket.gethostname())
    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format=f"%(asctime)s {service} %(levelname)s %(message)s"
    )
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    uvloop.run(_serve(settings, sock, prepared))
    return 0


async def _serve(settings: Settings, sock: socket.socket | None, prepared: Any = None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Each service imports what it alone needs: a node must not pay for torch.
    match settings.service:
        case "edge-node":
            from edgebed.edge_node.main import serve as serve_node

            await serve_node(settings, stop, sock, prepared)
        case "task-generator":
            from edgebed.task_generator.main import serve as serve_generator

            await serve_generator(settings, stop, sock)
        case "trainer":
            from edgebed.trainer.main import serve as serve_trainer

            await serve_trainer(settings, stop, sock)
        case _:
            from edgebed.controller.main import serve as serve_controller

            if not settings.operator:
                await serve_controller(settings, stop, sock)
                return
            from edgebed.controller.alone import alone

            accompany = _operator(settings)
            async with alone(settings.runs, stop):
                if not stop.is_set():
                    await serve_controller(settings, stop, sock, accompany)


def _operator(settings: Settings) -> "Accompany":
    """What makes the operator for a controller. Raises EnvironmentFault where it is not installed."""
    try:
        from edgebed.operator.main import Operator
        from edgebed.operator.played import PlayedRuns
    except ModuleNotFoundError as error:
        remedy = "install edgebed[operator], or set EDGEBED_OPERATOR=off"
        raise EnvironmentFault(f"the operator needs {error.name}; {remedy}") from error

    def accompany(experiments: "Experiments", artefacts: "ArtefactStore") -> Operator:
        return Operator.open(settings.operator_settings, PlayedRuns(experiments), artefacts)

    return accompany
