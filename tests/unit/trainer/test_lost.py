"""A trainer that goes away in the middle changes nothing but the time it takes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from edgebed.experiment.errors import EnvironmentFault
from edgebed.runner.progress import Silent
from edgebed.runner.remote import RemoteTeacher, experiment_artefact
from edgebed.runner.teacher import CHECKPOINT_UPDATES, LocalTeacher, OfflineLesson
from edgebed.stores.artefacts import LocalArtefacts
from edgebed.stores.log_files import write_log
from edgebed.systems.cooperative.randomness import Stream
from tests.unit.trainer.school import PlainGround, actors, one_after_the_other, opened, outcome

UPDATES = CHECKPOINT_UPDATES + 500
KINDS = ["offline", "begin", "update", "checkpoint", "finish"]


class Interrupted(RemoteTeacher):
    """Something happens once, before a job of some kind is asked for, or when it is done and nobody has heard of it."""

    kind = "update"
    after = False
    happens: Any = None

    def ask(self, request, progress=None, stage=""):
        if request["kind"] != self.kind or request.get("number") == 1 or self.happens is None:
            return super().ask(request, progress, stage)
        if self.after:
            super().ask(request, progress, stage)
        happens, self.happens = self.happens, None
        happens()
        return super().ask(request, progress, stage)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What is learned without interruption."""
    run, setting = opened(tmp_path_factory.mktemp("here"))
    return outcome(run, setting, LocalTeacher(setting), PlainGround(setting))[0], actors(run)


@pytest.mark.parametrize("after", [False, True], ids=["asked", "answered"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_trainer_that_is_started_again_goes_on_to_the_same_result(tmp_path, expected, kind, after):
    run, setting = opened(tmp_path / "there")
    with one_after_the_other(tmp_path) as trainers:
        first = trainers.latest
        name = experiment_artefact(first.artefacts, run.path, "tiny")
        with closing(Interrupted(first.address, first.artefacts, name, 0)) as teacher:
            teacher.kind, teacher.after, teacher.happens = kind, after, trainers.restart
            found, _ = outcome(run, setting, teacher, PlainGround(setting))
        assert len(trainers.all) == 2
    assert (found, actors(run)) == expected


def test_a_trainer_that_loses_its_checkpoints_too_is_taught_from_the_start(tmp_path, expected):
    run, setting = opened(tmp_path / "there")
    with one_after_the_other(tmp_path) as trainers:
        first = trainers.latest
        name = experiment_artefact(first.artefacts, run.path, "tiny")

        def forget():
            shutil.rmtree(tmp_path / "trainer")
            trainers.restart()

        with closing(Interrupted(first.address, first.artefacts, name, 0)) as teacher:
            teacher.kind, teacher.happens = "finish", forget
            found, _ = outcome(run, setting, teacher, PlainGround(setting))
    assert (found, actors(run)) == expected


class Killed(Exception):
    """The controller is killed."""


def killed():
    raise Killed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("restarted", [False, True], ids=["trainer-stays", "trainer-too"])
@pytest.mark.parametrize("kept", [True, False], ids=["same-folder", "new-folder"])
def test_a_controller_that_is_started_again_gets_the_same_result(tmp_path, expected, kind, kept, restarted):
    """Also when it begins in a new folder, though the trainer has checkpoints of the same experiment."""
    run, setting = opened(tmp_path / "first")
    with one_after_the_other(tmp_path) as trainers:
        trainer = trainers.latest
        name = experiment_artefact(trainer.artefacts, run.path, "tiny")
        with closing(Interrupted(trainer.address, trainer.artefacts, name, 0)) as teacher:
            teacher.kind, teacher.after, teacher.happens = kind, True, killed
            with pytest.raises(Killed):
                outcome(run, setting, teacher, PlainGround(setting))
        if restarted:
            trainers.restart()
        if not kept:
            run, setting = opened(tmp_path / "second")
        with closing(RemoteTeacher(trainer.address, trainer.artefacts, name, 0)) as teacher:
            found, _ = outcome(run, setting, teacher, PlainGround(setting))
    assert (found, actors(run)) == expected


def test_what_was_done_is_not_done_again_by_the_next_trainer(tmp_path):
    run, setting = opened(tmp_path / "there")
    with one_after_the_other(tmp_path) as trainers:
        first = trainers.latest
        name = experiment_artefact(first.artefacts, run.path, "tiny")
        with closing(Interrupted(first.address, first.artefacts, name, 0)) as teacher:
            teacher.kind, teacher.after, teacher.happens = "offline", True, trainers.restart
            outcome(run, setting, teacher, PlainGround(setting))
        (job,) = [job for job in trainers.latest.trainer._jobs.values() if job.kind == "offline"]
    assert (job.state, job.done) == ("succeeded", 0)


def test_a_trainer_that_stays_away_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("edgebed.runner.remote.AWAY_LIMIT_S", 0.3)
    with (
        closing(RemoteTeacher("http://127.0.0.1:9", LocalArtefacts(tmp_path), "runs/x/experiment", 0)) as teacher,
        pytest.raises(EnvironmentFault, match=r"trainer http://127.0.0.1:9: away .*; start it"),
    ):
        teacher.ask({})


def test_a_trainer_that_came_back_at_another_address_is_found_there(tmp_path, expected):
    """As a pod does; the directory knows where it is."""
    run, setting = opened(tmp_path / "there")
    with one_after_the_other(tmp_path) as trainers:
        trainer = trainers.latest
        name = experiment_artefact(trainer.artefacts, run.path, "tiny")
        nowhere = "http://127.0.0.1:9"
        with closing(
            RemoteTeacher(nowhere, trainer.artefacts, name, 0, where=lambda: trainers.latest.address)
        ) as teacher:
            found, _ = outcome(run, setting, teacher, PlainGround(setting))
            assert teacher.address == trainer.address
    assert (found, actors(run)) == expected


@contextmanager
def somebody_else():
    """Answers at an address that is nobody's, as gateways do; gives the port of every request's connection."""
    asked: list[int] = []

    class Answerer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked.append(self.client_address[1])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answerer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_who_answers_at_the_address_of_a_trainer_that_went_is_not_taken_for_it(tmp_path, expected):
    run, setting = opened(tmp_path / "there")
    with one_after_the_other(tmp_path) as trainers, somebody_else() as (address, asked):
        trainer = trainers.latest
        name = experiment_artefact(trainer.artefacts, run.path, "tiny")

        def where():
            return trainer.address if len(asked) == 4 else None

        with closing(RemoteTeacher(address, trainer.artefacts, name, 0, where=where)) as teacher:
            found, _ = outcome(run, setting, teacher, PlainGround(setting))
    assert (found, actors(run)) == expected
    assert len(asked) == 4
    assert len(set(asked)) > 1  # a connection to it is not kept: the address may be the trainer's again


@contextmanager
def process(folder: Path, port: int):
    """A trainer in a process of its own, killed at the end."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("EDGEBED_")}
    settings = {"EDGEBED_PORT": str(port), "EDGEBED_ARTEFACTS": f"file:{folder / 'artefacts'}"}
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "EDGEBED_RUNS": str(folder / "runs")}
    one = subprocess.Popen(
        [sys.executable, "-m", "edgebed", "serve", "trainer"], cwd=folder, env=clean | settings | path
    )
    try:
        yield one
    finally:
        one.send_signal(signal.SIGKILL)
        one.wait()


def has_done(address, job, past):
    """Gives the job and looks at it until it is past so many updates, or over; returns it, and what `done` was on the way."""
    seen: list[float] = []
    until = time.monotonic() + 300
    while time.monotonic() < until:
        try:
            document = httpx.post(f"{address}/v1/jobs", json=job, trust_env=False).json()
        except httpx.TransportError:
            time.sleep(0.05)  # it is not up yet
            continue
        seen.append(document["done"])
        if document["done"] > past or document["state"] in ("succeeded", "failed"):
            return document, seen
        time.sleep(0.02)  # each look takes time from learning
    raise AssertionError(f"the job is not past {past}")


def test_a_lesson_goes_on_at_its_checkpoint_when_the_trainer_is_killed(tmp_path):
    """A real process and a real SIGKILL; the second one learns only what the first had not kept."""
    run, setting = opened(tmp_path / "run")
    collect = run.experiment.spec.methods[0].collect
    played = setting.play(setting.policy(collect.policy), setting.tasks(Stream.COLLECT, range(4)))
    log, mine = tmp_path / "log.parquet", tmp_path / "mine"
    write_log(log, played.log, {})
    mine.mkdir()
    lesson = OfflineLesson({"batch_slots": 8, "hidden": 8}, UPDATES, "completion", 1, "lesson")
    LocalTeacher(setting).offline(lesson, log, mine, tmp_path / "unfinished" / "a", Silent())

    artefacts = LocalArtefacts(tmp_path / "artefacts")
    artefacts.publish("x/log", {"log.parquet": log.read_bytes()}, {})
    place = {"experiment": experiment_artefact(artefacts, run.path, "tiny"), "replicate": 0}
    job = {"kind": "offline", "setting": place, "lesson": asdict(lesson), "log": "x/log", "result": "x/model"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with process(tmp_path, port):
        document, _ = has_done(address, job, CHECKPOINT_UPDATES)
        assert document["state"] == "running"
    assert artefacts.names("x/") == ["x/log"]
    with process(tmp_path, port):
        document, seen = has_done(address, job, UPDATES)
    assert (document["state"], document["done"]) == ("succeeded", UPDATES)
    assert [done for done in seen if 0 < done < CHECKPOINT_UPDATES] == []
    assert artefacts.open("x/model").read("actor.safetensors") == (mine / "actor.safetensors").read_bytes()
