"""A testbed in one process: real edge nodes, a generator and the controller's records, each a server on the loopback.

They live on an event loop of their own thread, so that a test drives the testbed as the controller's thread does.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI

from edgebed.controller.app import Parts, create_app, hot_routes
from edgebed.controller.configuration import Desk
from edgebed.controller.directory import Directory
from edgebed.controller.experiments import Experiments, Services
from edgebed.controller.ingest import Ingest
from edgebed.controller.registry import Waiting
from edgebed.controller.remote import Caller
from edgebed.controller.testbed import Testbed
from edgebed.edge_node.app import Seat
from edgebed.edge_node.app import create_app as node_app
from edgebed.edge_node.app import hot_routes as node_routes
from edgebed.edge_node.service import EdgeNode
from edgebed.emulation.clock import Clock
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.validation import validate
from edgebed.live.documents import ControllerSettings
from edgebed.live.in_use import InUse
from edgebed.runner.setting import Setting
from edgebed.stores.artefacts import ArtefactStore, LocalArtefacts
from edgebed.stores.coordination import EmbeddedCoordinator
from edgebed.stores.log_writer import LogWriter
from edgebed.stores.task_log import TaskLogStore
from edgebed.systems.cooperative.actor import ActorWeights
from edgebed.task_generator.app import create_app as generator_app
from edgebed.task_generator.app import hot_routes as generator_routes
from edgebed.task_generator.service import Generator
from edgebed.wire.server import HotRoutes, Server, bind, serve

T = TypeVar("T")

SMALL: dict[str, Any] = {
    "apiVersion": "edgebed.dev/v1alpha1",
    "kind": "Experiment",
    "metadata": {"name": "small"},
    "spec": {
        "backend": "processes",
        "seed": 3,
        "network": {
            "nodes": 3,
            "cores": {"choice": [8, 16]},
            "arrivalProbability": 0.8,
            "executionFailureRate": 0.2,
            "linkRateMBps": {"uniform": [20, 40]},
            "linkFailureRate": 0.03,
        },
        "workload": {
            "slotSeconds": 0.05,
            "slots": 10,
            "sizeKB": {"uniform": [100, 400]},
            "cyclesPerBit": {"uniform": [400, 800]},
            "deadlineSeconds": 0.4,
        },
        "methods": [{"name": "ratc", "policy": "ratc"}],
        "evaluation": {"episodes": 2},
    },
}


class Served:
    """A server that can be taken away and brought back at its address."""

    def __init__(self, name: str) -> None:
        self.name, self.port = name, 0
        self.server: Server | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class World:
    """Everything that a testbed needs, and a testbed."""

    def __init__(
        self,
        folder: Path,
        nodes: int = 3,
        document: dict[str, Any] = SMALL,
        artefacts: ArtefactStore | None = None,
        **options: Any,
    ) -> None:
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.store = TaskLogStore(f"sqlite:///{folder / 'tasks.db'}", busy_s=0.2)
        self.writer = LogWriter(self.store.append_rows, folder / "spool")
        self.ingest = Ingest(self.writer)
        self.artefacts = artefacts or LocalArtefacts(folder / "artefacts")
        self.coordinator = EmbeddedCoordinator(now=lambda: 0.0)  # nobody expires
        self.caller = Caller()
        self.stop = threading.Event()
        self.experiment = validate(document)
        self.setting = Setting.of(self.experiment, 0, read_inputs(self.experiment))
        self.versions = 0
        self.problems: list[str] = []
        self.alive: dict[str, EdgeNode] = {}
        self.nodes = [Served(f"node-{k}") for k in range(nodes)]
        self.controller, self.generator_at = Served("controller"), Served("generator")
        self.call(self._start())
        self.testbed = self.make_testbed(**options)

    def make_testbed(self, **options: Any) -> Testbed:
        return Testbed(
            options.pop("run", "run-1"),
            directory=Directory(self.coordinator, wait_s=1.0),
            caller=self.caller,
            store=self.store,
            ingest=self.ingest,
            artefacts=self.artefacts,
            log_address=self.controller.address,
            next_version=self._next_version,
            stop=self.stop,
            **options,
        )

    def _next_version(self) -> int:
        self.versions += 1
        return self.versions

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something on the servers' loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    async def _start(self) -> None:
        self.clock = Clock(self.loop)
        self.controller.port = (sock := bind("127.0.0.1", 0)).getsockname()[1]
        self.closing = asyncio.Event()
        services = Services(
            directory=Directory(self.coordinator, wait_s=1.0),
            caller=self.caller,
            store=self.store,
            ingest=self.ingest,
            artefacts=self.artefacts,
            address=self.controller.address,
            loss_s=1.0,
        )
        self.experiments = Experiments(self.folder / "runs", services)
        desk = Desk(self.coordinator, self.caller, self.folder / "cache")
        parts = Parts(
            self.coordinator,
            self.ingest,
            self.writer,
            self.experiments,
            Waiting(),
            desk,
            dict,
            InUse(ControllerSettings),
            problems=lambda: self.problems,
        )
        await self._serve(self.controller, create_app(parts, self.closing), hot_routes(parts), sock)
        self.generator = Generator(self.clock)
        await self._serve(self.generator_at, generator_app(self.generator), generator_routes(self.generator))
        self.coordinator.register("task-generator", "generator", self.generator_at.address, {})
        for served in self.nodes:
            await self._start_node(served)
            self.coordinator.register("edge-node", served.name, served.address, {})

    async def _start_node(self, served: Served) -> None:
        seat = Seat()
        node = EdgeNode(self.clock, memoryview(bytes(1 << 16)))
        seat.taken, seat.artefacts = node, self.artefacts
        self.alive[served.name] = node
        await self._serve(served, node_app(seat), node_routes(node))

    async def _serve(self, served: Served, app: FastAPI, routes: HotRoutes, sock: socket.socket | None = None) -> None:
        sock = sock or bind("127.0.0.1", served.port)
        served.port = sock.getsockname()[1]
        served.server = serve(app, routes, sock)
        await served.server.start()

    def kill(self, node: int) -> None:
        """The node is gone, with its tasks and its records."""
        served = self.nodes[node]

        async def work() -> None:
            gone = self.alive.pop(served.name)
            if gone.recorder is not None:
                gone.recorder._waiting.clear()
                gone.recorder._peer = None
            await gone.close()
            assert served.server is not None
            await served.server.stop(0.0)

        self.call(work())

    def start_again(self, node: int) -> None:
        """A new process at the same address, that knows nothing."""
        self.call(self._start_node(self.nodes[node]))

    def start_elsewhere(self, node: int) -> None:
        """The same at another address, as a pod that was started again."""
        self.nodes[node].port = 0
        self.start_again(node)
        served = self.nodes[node]
        self.coordinator.register("edge-node", served.name, served.address, {})

    def kill_generator(self) -> None:
        """Nothing is emitted any more, and nobody answers."""

        async def work() -> None:
            await self.generator.close()
            assert self.generator_at.server is not None
            await self.generator_at.server.stop(0.0)

        self.call(work())

    def start_generator(self, *, elsewhere: bool) -> None:
        """A new one, that knows nothing."""
        if elsewhere:
            self.coordinator.deregister("task-generator", "generator")
            self.generator_at.port = 0

        async def work() -> None:
            self.generator = Generator(self.clock)
            await self._serve(self.generator_at, generator_app(self.generator), generator_routes(self.generator))

        self.call(work())
        self.coordinator.register("task-generator", "generator", self.generator_at.address, {})

    def close(self) -> None:
        self.testbed.close()
        self.experiments.close()

        async def work() -> None:
            self.closing.set()
            for served in (*self.nodes, self.generator_at, self.controller):
                if served.server is not None:
                    await served.server.stop(0.2)
            for node in self.alive.values():
                await node.close()
            await self.generator.close()
            self.clock.close()

        self.call(work())
        self.writer.close()
        self.store.close()
        self.caller.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


def actor_for(setting: Setting, seed: int) -> ActorWeights:
    """An actor of random weights for a replicate."""
    observation = setting.observation
    rng = np.random.default_rng(seed)
    sizes = [observation.static_size + observation.dynamic_size, 8, 8, setting.network.nodes + 1]
    layers = [
        (rng.normal(scale=0.1, size=(i, o)).astype(np.float32), np.zeros(o, np.float32)) for i, o in pairwise(sizes)
    ]
    return ActorWeights(observation, (layers[0], layers[1], layers[2]))
