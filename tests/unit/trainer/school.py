"""Trainers on the loopback, and a tiny experiment to learn on."""

import asyncio
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop

from edgebed.experiment.folder import open_run_folder
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.reading import load
from edgebed.experiment.stages import StageStore
from edgebed.runner.ground import SimulatorGround
from edgebed.runner.progress import Silent
from edgebed.runner.setting import Setting
from edgebed.runner.units import VERSIONS, Unit, run_methods
from edgebed.stores.artefacts import ArtefactStore, LocalArtefacts
from edgebed.trainer.app import create_app
from edgebed.trainer.jobs import Trainer
from edgebed.wire.server import HotRoutes, serve

EXPERIMENT = """
apiVersion: edgebed.dev/v1alpha1
kind: Experiment
metadata: {name: tiny}
spec:
  network:
    nodes: 3
    cores: {choice: [4, 8]}
    arrivalProbability: 0.7
    executionFailureRate: {uniform: [0, 0.1]}
    linkRateMBps: {uniform: [10, 40]}
    linkFailureRate: {uniform: [0, 0.03]}
  workload:
    {slotSeconds: 0.1, slots: 12, sizeKB: {uniform: [500, 2500]}, cyclesPerBit: {uniform: [400, 800]}, deadlineSeconds: 1}
  methods:
    - name: o2o
      collect: {policy: ratc, episodes: 4}
      offline: {algorithm: sac-cql, updates: 8, batchSlots: 8, hidden: 8}
      online: {algorithm: ppo, episodes: 6, episodesPerUpdate: 2, hidden: 8}
  evaluation: {episodes: 3, every: 2, curveEpisodes: 2}
"""


class Running:
    """A trainer on the loopback, in a thread of its own."""

    def __init__(self, folder: Path, port: int = 0, artefacts: ArtefactStore | None = None, **options: Any) -> None:
        self.artefacts = artefacts or LocalArtefacts(folder / "artefacts")
        self.trainer = Trainer(self.artefacts, folder / "trainer", **options)
        self.address = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve(port)))
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self, port: int) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = serve(create_app(self.trainer), HotRoutes(), ("127.0.0.1", port))
        await server.start()
        self.address = server.address
        self._ready.set()
        await self._stop.wait()
        await server.stop(0.1)

    def stop(self) -> None:
        """Ends it; what it had in memory is gone."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self.trainer.close()


@contextmanager
def running(folder, port=0, **options):
    trainer = Running(folder, port, **options)
    try:
        yield trainer
    finally:
        trainer.stop()


class Trainers:
    """One trainer after the other at the same address, with the same folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.all = [Running(folder)]

    @property
    def latest(self) -> Running:
        return self.all[-1]

    def restart(self) -> None:
        self.latest.stop()
        self.all.append(Running(self.folder, int(self.latest.address.rpartition(":")[2])))


@contextmanager
def one_after_the_other(folder):
    trainers = Trainers(folder)
    try:
        yield trainers
    finally:
        trainers.latest.stop()


def opened(folder, document=EXPERIMENT):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.yaml").write_text(document)
    run = open_run_folder(folder / "run", load(folder / "tiny.yaml"), VERSIONS)
    return run, Setting.of(run.experiment, 0, read_inputs(run.experiment))


class PlainGround(SimulatorGround):
    """Plays as a testbed does: the online episodes are the curve, and every point of it has a checkpoint."""

    plays_curve = False


def outcome(run, setting, teacher, ground=None):
    unit = Unit(0, 0, 0, "network 1", run.experiment)
    store = StageStore(run.path / "stages", VERSIONS)
    return run_methods(unit, ground or SimulatorGround(setting), teacher, store, Silent()), store


def actors(run):
    """What was learned, by kind of stage."""
    found = {p.parent.name.split("-")[0]: p.read_bytes() for p in (run.path / "stages").glob("*-*/actor.safetensors")}
    assert set(found) == {"offline", "online"}
    return found
