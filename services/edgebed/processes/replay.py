"""Replays cases on real processes: real bytes, real time, the decisions of the case.

    with ProcessStand(folder, nodes=3) as stand:
        log = stand.play(case)
        case.answer(log)

The stand is a testbed without experiments: nodes and generator are processes, or run elsewhere (`Stand`), and the testbed is
driven from here.
"""

import asyncio
import os
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvloop
from fastapi import FastAPI

from edgebed.controller.deployment import Order
from edgebed.controller.directory import Directory
from edgebed.controller.ingest import Ingest, ingest_routes
from edgebed.controller.remote import Caller
from edgebed.controller.testbed import Testbed
from edgebed.emulation.awake import to_keep_awake
from edgebed.experiment.inputs import Tasks
from edgebed.processes.family import Family
from edgebed.runner.setting import Setting
from edgebed.settings import read_settings, settings_of_run
from edgebed.stores.artefacts import LocalArtefacts
from edgebed.stores.coordination import EmbeddedCoordinator
from edgebed.stores.log_writer import LogWriter
from edgebed.stores.task_log import TaskLogStore
from edgebed.systems.cooperative.cases import Case
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import Network, NetworkModel
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.workload import Workload, WorkloadModel
from edgebed.wire.server import serve


def replay_on_processes(cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """The answer to each case, in order: name, and tasks with id, status and end time in seconds."""
    nodes = max(case.network.nodes for case in cases)
    with tempfile.TemporaryDirectory(prefix="edgebed-") as name, ProcessStand(Path(name), nodes) as stand:
        for case in cases:
            yield case.answer(stand.play(case))


class Stand(ABC):
    """Nodes and a generator that run already, and a testbed that is driven from here."""

    def __init__(self, folder: Path, task_log: str | None = None, host: str = "127.0.0.1") -> None:
        """`task_log`: its URL, if not in the folder. `host`: where the nodes reach this process, to hand in their records."""
        self._folder, self._host = folder, host
        self._task_log = task_log or f"sqlite:///{folder / 'tasks.db'}"
        self._open = ExitStack()
        self._plays = self._versions = 0

    @abstractmethod
    def services(self, stack: ExitStack) -> tuple[Sequence[str], str]:
        """Addresses of the nodes, and of the generator; what is to be ended with the stand is left in `stack`."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = self._folder
            nodes, generator = self.services(stack)
            self.store = TaskLogStore(self._task_log)
            stack.callback(self.store.close)
            writer = LogWriter(self.store.append_rows, folder / "spool")
            stack.callback(writer.close)
            ingest = Ingest(writer)
            log = stack.enter_context(_Served(ingest, self._host))
            self.log_address, self.writer = log.address, writer
            coordinator = EmbeddedCoordinator(now=lambda: 0.0)  # whoever owns the services sees who is gone
            for k, address in enumerate(nodes):
                coordinator.register("edge-node", f"node-{k:03d}", address, {})
            coordinator.register("task-generator", "task-generator", generator, {})
            caller = Caller()
            stack.callback(caller.close)
            self.testbed = Testbed(
                "replay",
                directory=Directory(coordinator),
                caller=caller,
                store=self.store,
                ingest=ingest,
                artefacts=LocalArtefacts(folder / "artefacts"),
                log_address=log.address,
                next_version=self._next_version,
                stop=threading.Event(),
            )
            stack.callback(self.testbed.close)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def play(self, case: Case) -> TaskLog:
        """What happened to the tasks of a case."""
        workload = WorkloadModel.around(case.workload)
        setting = Setting(
            network=case.network,
            network_seed=0,
            network_model=NetworkModel.around(case.network),
            workload_model=workload,
            source=_Given(case.workload),
            folder=self._folder,
            files={},
            rules=case.rules,
            mask_coefficient=1.0,
        )
        decisions = tuple((slot, source, to) for (slot, source), to in case.decisions.items())
        self.testbed.open(setting, {"kind": "synthetic"})
        self.testbed.deploy(Order("fixed", decisions=decisions))
        self._plays += 1
        played = self.testbed.play(case.workload, f"case-{self._plays}", 0)
        self.result = played.result
        return self.store.read("replay", [played.episode])

    def _next_version(self) -> int:
        self._versions += 1
        return self._versions


class ProcessStand(Stand):
    """Whose nodes and generator are processes of this machine."""

    def __init__(self, folder: Path, nodes: int, task_log: str | None = None) -> None:
        super().__init__(folder, task_log)
        self._count = nodes

    def services(self, stack: ExitStack) -> tuple[Sequence[str], str]:
        """Starts them."""
        awake = to_keep_awake(read_settings("edge-node", settings_of_run(os.environ)).keep_awake)
        self.family = stack.enter_context(Family(self._folder, awake=awake))
        environment = {
            "EDGEBED_SPOOL": str(self._folder / "spool"),
            "EDGEBED_ARTEFACTS": f"file:{self._folder / 'artefacts'}",
        }
        nodes = [self.family.start(f"node-{k:03d}", "edge-node", environment) for k in range(self._count)]
        generator = self.family.start("task-generator", "task-generator", {})
        return [node.address for node in nodes], generator.address


class _Given(Tasks):
    """The one episode of a case."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload

    def draw(self, network: Network, seed: int, stream: Stream, episodes: range, *index: int) -> Workload:
        """The same for every stream."""
        return self._workload


class _Served:
    """Takes the nodes' records, on an event loop in a thread of its own."""

    def __init__(self, ingest: Ingest, host: str) -> None:
        self._ingest, self._host = ingest, host
        self.address = ""
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._fault is not None:
            raise self._fault
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5.0)

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as error:  # told to who waits for the address
            self._fault = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = serve(FastAPI(), ingest_routes(self._ingest), (self._host, 0))
        await server.start()
        self.address = server.address
        self._ready.set()
        await self._stop.wait()
        await server.stop(0.5)
