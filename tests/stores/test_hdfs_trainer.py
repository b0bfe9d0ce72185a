"""A trainer whose HDFS goes away: a job waits for it, and ends when somebody cancels it."""

import logging
import threading
import time
from contextlib import closing

import pytest

from edgebed.runner.progress import Silent
from edgebed.runner.remote import RemoteTeacher, experiment_artefact
from edgebed.runner.setting import ACTOR
from edgebed.runner.teacher import LocalTeacher, OfflineLesson
from edgebed.stores.hdfs_artefacts import HdfsArtefacts
from edgebed.stores.log_files import write_log
from edgebed.systems.cooperative.randomness import Stream
from tests import servers
from tests.stores import hdfs_server
from tests.unit.trainer.school import opened, running

AWAY_S = 600.0
"""So long a server may take to start on a busy machine."""


@pytest.fixture
def folder():
    servers.need_to_stop("hdfs")
    found = hdfs_server.folder()
    yield found
    servers.start("hdfs")
    found.delete()


@pytest.fixture
def school(tmp_path, folder):
    """A trainer on HDFS, a teacher that has it learn, a lesson, and what it is taught with."""
    run, setting = opened(tmp_path / "run")
    log = tmp_path / "log.parquet"
    write_log(
        log,
        setting.play(setting.policy(run.experiment.spec.methods[0].collect.policy), tasks(setting)).log,
        {"slots": 12},
    )
    lesson = OfflineLesson({"batch_slots": 8, "hidden": 8}, 8, "completion", 5, "learning")
    with running(tmp_path, artefacts=HdfsArtefacts(folder.url), away_s=AWAY_S) as trainer:
        store = HdfsArtefacts(folder.url)
        name = experiment_artefact(store, run.path, "tiny")
        with closing(RemoteTeacher(trainer.address, store, name, 0)) as teacher:
            yield trainer, teacher, lesson, log, setting


def tasks(setting):
    return setting.tasks(Stream.COLLECT, range(4))


def away_when_it_publishes(trainer):
    """HDFS is killed when the trainer has learned and is about to publish."""
    store = trainer.artefacts
    publish = store.publish

    def and_away(*arguments):
        store.publish = publish
        servers.stop("namenode", "--kill")
        return publish(*arguments)

    store.publish = and_away


def test_what_was_learned_is_published_when_hdfs_is_back(school, tmp_path, caplog):
    """The same model as without the fault."""
    trainer, teacher, lesson, log, setting = school
    caplog.set_level(logging.WARNING)
    (tmp_path / "made").mkdir()
    (tmp_path / "expected").mkdir()
    away_when_it_publishes(trainer)

    def back():
        while "tried again for" not in caplog.text:
            time.sleep(0.05)
        servers.start("namenode")

    thread = threading.Thread(target=back)
    thread.start()
    teacher.offline(lesson, log, tmp_path / "made", tmp_path / "there", Silent())
    thread.join()
    LocalTeacher(setting).offline(lesson, log, tmp_path / "expected", tmp_path / "here", Silent())
    assert (tmp_path / "made" / ACTOR).read_bytes() == (tmp_path / "expected" / ACTOR).read_bytes()
    assert "succeeded after" in caplog.text


def test_who_stops_is_heard_while_the_trainer_waits(school, tmp_path, caplog):
    """The job is cancelled, and the trainer is free for the next one."""
    trainer, teacher, lesson, log, _ = school

    class Stopped(Exception):
        pass

    def pause(seconds):
        time.sleep(seconds)
        if "tried again for" in caplog.text:
            raise Stopped

    teacher._pause = pause
    (tmp_path / "made").mkdir()
    away_when_it_publishes(trainer)
    with pytest.raises(Stopped):
        teacher.offline(lesson, log, tmp_path / "made", tmp_path / "there", Silent())
    (job,) = trainer.trainer._jobs.values()
    until = time.monotonic() + AWAY_S / 10
    while not job.ended and time.monotonic() < until:
        time.sleep(0.05)
    assert (job.state, job.error) == ("failed", "cancelled")
