"""A trainer elsewhere teaches what a trainer here teaches, to the bit; and survives being killed in the middle."""

import asyncio
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvloop

from edgebed.experiment.errors import EnvironmentFault
from edgebed.experiment.folder import open_run_folder
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.reading import load
from edgebed.experiment.stages import StageStore
from edgebed.runner.ground import SimulatorGround
from edgebed.runner.progress import Silent
from edgebed.runner.remote import RemoteTeacher, experiment_artefact
from edgebed.runner.setting import Setting
from edgebed.runner.teacher import LocalTeacher
from edgebed.runner.units import VERSIONS, Unit, run_methods
from edgebed.stores.artefacts import LocalArtefacts
from edgebed.stores.log_files import write_log
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

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.artefacts = LocalArtefacts(folder / "artefacts")
        self.trainer = Trainer(self.artefacts, folder / "trainer")
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
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self.trainer.close()


@contextmanager
def running(folder, port=0):
    trainer = Running(folder, port)
    try:
        yield trainer
    finally:
        trainer.stop()


def opened(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.yaml").write_text(EXPERIMENT)
    run = open_run_folder(folder / "run", load(folder / "tiny.yaml"), VERSIONS)
    return run, Setting.of(run.experiment, 0, read_inputs(run.experiment))


class PlainGround(SimulatorGround):
    """Keeps the checkpoints of a testbed, where every point of the curve has one."""

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


def test_what_is_learned_elsewhere_is_the_same_to_the_bit(tmp_path):
    here, setting = opened(tmp_path / "here")
    expected, _ = outcome(here, setting, LocalTeacher(setting))
    there, setting = opened(tmp_path / "there")
    with running(tmp_path) as trainer:
        name = experiment_artefact(trainer.artefacts, there.path, "tiny")
        with closing(RemoteTeacher(trainer.address, trainer.artefacts, name, 0)) as teacher:
            found, _ = outcome(there, setting, teacher)
    assert found == expected
    for stage in ("offline", "online"):
        (mine,), (theirs,) = ([*(run.path / "stages").glob(f"{stage}-*")] for run in (here, there))
        assert (mine / "actor.safetensors").read_bytes() == (theirs / "actor.safetensors").read_bytes()


class Killing(RemoteTeacher):
    """Its trainer is replaced by a fresh one after every second update of the course."""

    restart: Any = None

    def ask(self, request, progress=None, stage=""):
        if request["kind"] == "update" and request["number"] % 2 == 0 and self.restart is not None:
            restart, self.restart = self.restart, None
            restart()
        return super().ask(request, progress, stage)


def test_a_trainer_that_was_started_again_goes_on_to_the_same_result(tmp_path):
    here, setting = opened(tmp_path / "here")
    expected, _ = outcome(here, setting, LocalTeacher(setting))
    there, setting = opened(tmp_path / "there")
    trainers = [Running(tmp_path)]
    try:
        name = experiment_artefact(trainers[0].artefacts, there.path, "tiny")
        teacher = Killing(trainers[0].address, trainers[0].artefacts, name, 0)
        port = int(trainers[0].address.rpartition(":")[2])

        def restart():
            trainers[-1].stop()
            trainers.append(Running(tmp_path, port))

        teacher.restart = restart
        with closing(teacher):
            found, _ = outcome(there, setting, teacher)
    finally:
        trainers[-1].stop()
    assert len(trainers) == 2
    assert found == expected


def test_a_job_that_cannot_be_done_says_why(tmp_path):
    with running(tmp_path) as trainer:
        request = {"kind": "offline", "lesson": {}, "log": "runs/x/log", "result": "runs/x/model"}
        with (
            closing(RemoteTeacher(trainer.address, trainer.artefacts, "runs/nobody/experiment", 0)) as teacher,
            pytest.raises(EnvironmentFault, match="there is no artefact runs/nobody/experiment"),
        ):
            teacher.ask({**request, "setting": {"experiment": "runs/nobody/experiment", "replicate": 0}})


@pytest.mark.parametrize(
    "body", [{}, {"kind": "bake"}, {"kind": "update", "course": "x", "number": 0, "log": "y"}, {"kind": "offline"}]
)
def test_a_wrong_job_is_a_problem_and_changes_nothing(tmp_path, body):
    with running(tmp_path) as trainer:
        answer = httpx.post(f"{trainer.address}/v1/jobs", json=body)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert httpx.get(f"{trainer.address}/v1/jobs/none").status_code == 404
        assert not trainer.trainer.ended


def test_the_same_job_is_done_once(tmp_path):
    run, setting = opened(tmp_path / "run")
    with running(tmp_path) as trainer:
        name = experiment_artefact(trainer.artefacts, run.path, "tiny")
        teacher = RemoteTeacher(trainer.address, trainer.artefacts, name, 0)
        played = setting.play(setting.policy(run.experiment.spec.methods[0].collect.policy), setting.tasks(2, range(4)))
        write_log(tmp_path / "log.parquet", played.log, {})
        trainer.artefacts.publish("x/log", {"log.parquet": (tmp_path / "log.parquet").read_bytes()}, {})
        lesson = {
            "settings": {"batch_slots": 8, "hidden": 8},
            "updates": 4,
            "attribution": "completion",
            "seed": 1,
            "label": "x",
        }
        place = {"experiment": name, "replicate": 0}
        request = {"kind": "offline", "lesson": lesson, "log": "x/log", "result": "x/model", "setting": place}
        with closing(teacher):
            results = [teacher.ask(request) for _ in range(3)]
        assert results[0] == results[1] == results[2]
        assert trainer.trainer.ended == {("offline", "succeeded"): 1}
        assert np.isfinite(trainer.trainer.seconds["offline"])


class Losing(RemoteTeacher):
    """The trainer does one job, and is replaced by a fresh one before anybody hears of that."""

    restart: Any = None
    kind = ""

    def ask(self, request, progress=None, stage=""):
        found = super().ask(request, progress, stage)
        if request["kind"] == self.kind and self.restart is not None:
            restart, self.restart = self.restart, None
            restart()
            return super().ask(request, progress, stage)
        return found


@pytest.mark.parametrize("kind", ["offline", "begin", "update", "checkpoint", "finish"])
def test_an_answer_that_is_lost_with_the_trainer_changes_nothing(tmp_path, kind):
    here, setting = opened(tmp_path / "here")
    expected, _ = outcome(here, setting, LocalTeacher(setting), PlainGround(setting))
    there, setting = opened(tmp_path / "there")
    trainers = [Running(tmp_path)]
    try:
        name = experiment_artefact(trainers[0].artefacts, there.path, "tiny")
        teacher = Losing(trainers[0].address, trainers[0].artefacts, name, 0)
        port = int(trainers[0].address.rpartition(":")[2])

        def restart():
            trainers[-1].stop()
            trainers.append(Running(tmp_path, port))

        teacher.kind, teacher.restart = kind, restart
        with closing(teacher):
            found, _ = outcome(there, setting, teacher, PlainGround(setting))
    finally:
        trainers[-1].stop()
    assert len(trainers) == 2
    assert found == expected
    assert actors(there) == actors(here)
