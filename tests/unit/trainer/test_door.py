"""What a trainer is asked wrongly is refused with a problem and changes nothing; what it is asked twice is done once."""

import math
import time
from contextlib import closing
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from edgebed.experiment.errors import EnvironmentFault
from edgebed.runner.remote import RemoteTeacher, experiment_artefact
from edgebed.stores.calls import CALL_FAILURES, CALL_SECONDS
from edgebed.stores.log_files import write_log
from edgebed.systems.cooperative.randomness import Stream
from edgebed.trainer.metrics import TRAINER_METRICS
from tests.metrics_page import shown, value
from tests.unit.trainer.school import opened, running

OFFLINE: dict[str, Any] = {
    "kind": "offline",
    "setting": {"experiment": "x/experiment", "replicate": 0},
    "lesson": {"settings": {"batch_slots": 8, "hidden": 8}, "updates": 4, "attribution": "completion", "seed": 1},
    "log": "x/log",
    "result": "x/model",
}
ONLINE: dict[str, Any] = {"settings": {"hidden": 8}, "attribution": "completion", "seed": 1, "fresh_critic": False}
UPDATE: dict[str, Any] = {"kind": "update", "course": "x", "attempt": 1, "number": 1, "log": "x/log"}


def page(trainer):
    text = httpx.get(f"{trainer.address}/metrics").text
    return shown(text, (*TRAINER_METRICS, CALL_SECONDS, CALL_FAILURES))


def lesson(**changes):
    return {**OFFLINE, "lesson": {**OFFLINE["lesson"], **changes}}


@pytest.fixture
def trainer(tmp_path):
    with running(tmp_path) as one:
        yield one


@pytest.fixture
def school(trainer, tmp_path):
    """A trainer that has an experiment and a log at hand."""
    run, setting = opened(tmp_path / "run")
    name = experiment_artefact(trainer.artefacts, run.path, "tiny")
    played = setting.play(
        setting.policy(run.experiment.spec.methods[0].collect.policy), setting.tasks(Stream.COLLECT, range(4))
    )
    write_log(tmp_path / "log.parquet", played.log, {})
    trainer.artefacts.publish("x/log", {"log.parquet": (tmp_path / "log.parquet").read_bytes()}, {})
    with closing(RemoteTeacher(trainer.address, trainer.artefacts, name, 0)) as teacher:
        yield teacher, {"experiment": name, "replicate": 0}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "bake"}, "kind"),
        ({"kind": "offline"}, "setting"),
        ({**UPDATE, "number": 0}, "number"),
        ({**UPDATE, "course": "../x"}, "course"),
        ({**UPDATE, "log": "/etc/passwd"}, "log"),
        ({**UPDATE, "attempt": -1}, "attempt"),
        ({**UPDATE, "more": 1}, "more"),
        (lesson(updates=0), "updates"),
        (lesson(updates="4"), "updates"),
        (lesson(attribution="luck"), "attribution"),
        (lesson(seed=2**63), "seed"),
        (lesson(settings={"hidden": [8]}), "hidden"),
        (lesson(fresh_critic=True), "fresh_critic"),
        ({**OFFLINE, "setting": {"experiment": "x", "replicate": -1}}, "replicate"),
    ],
)
def test_a_wrong_job_is_a_problem_and_changes_nothing(trainer, body, field):
    answer = httpx.post(f"{trainer.address}/v1/jobs", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in answer.json()["detail"]
    assert not trainer.trainer._jobs


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[1]", b'{"kind": NaN}'])
def test_what_is_no_job_at_all_is_a_problem(trainer, body):
    answer = httpx.post(f"{trainer.address}/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert not trainer.trainer._jobs


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_job_that_nobody_gave_is_not_there(trainer, method):
    answer = httpx.request(method, f"{trainer.address}/v1/jobs/none")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"setting": {"experiment": "runs/nobody/experiment"}}, "there is no artefact runs/nobody/experiment"),
        ({"setting": {"experiment": "x/log"}}, "artefact x/log has no experiment.yaml"),
        ({"log": "x/nothing"}, "there is no artefact x/nothing"),
        ({"log": "x/empty"}, "artefact x/empty has no file log.parquet"),
        ({"log": "x/damaged"}, "the file is damaged or not Parquet"),
        ({"lesson": {**OFFLINE["lesson"], "settings": {"batchSlots": 8}}}, "lesson.settings.batchSlots: is not known"),
        ({"replicate": 7}, "the experiment has networks 0 to 0"),
    ],
)
def test_a_job_that_cannot_be_done_says_why(trainer, school, change, said):
    teacher, setting = school
    trainer.artefacts.publish("x/empty", {"other.txt": b""}, {})
    trainer.artefacts.publish("x/damaged", {"log.parquet": b"PAR1"}, {})
    setting = {**setting, "replicate": change.pop("replicate", 0)} if "replicate" in change else setting
    with pytest.raises(EnvironmentFault, match=said):
        teacher.ask({**OFFLINE, "setting": setting, **change})
    assert "x/model" not in trainer.artefacts.names()


def test_the_same_job_is_done_once(trainer, school):
    teacher, setting = school
    results = [teacher.ask({**OFFLINE, "setting": setting}) for _ in range(3)]
    assert results[0] == results[1] == results[2]
    assert trainer.artefacts.open("x/model").files["actor.safetensors"] == results[0]["sha256"]
    assert trainer.trainer.ended == {("offline", "succeeded"): 1}


def test_a_job_that_was_cancelled_stops_and_can_be_given_again(trainer, school):
    teacher, setting = school
    long = {**OFFLINE, "setting": setting, "lesson": {**OFFLINE["lesson"], "updates": 10**8}}
    jobs = f"{trainer.address}/v1/jobs"
    first = httpx.post(jobs, json=long).json()["job"]
    until = time.monotonic() + 30
    while httpx.get(f"{jobs}/{first}").json()["done"] == 0:
        assert time.monotonic() < until
    httpx.delete(f"{jobs}/{first}")
    again = httpx.post(jobs, json=long).json()
    assert (again["job"], again["done"]) == (first, 0)
    httpx.delete(f"{jobs}/{first}")
    assert teacher.ask({**OFFLINE, "setting": setting})["artefact"] == "x/model"
    assert trainer.trainer.ended == {("offline", "failed"): 2, ("offline", "succeeded"): 1}


class Impatient(Exception):
    """Somebody stopped the experiment."""


class Stopping:
    """Stops the experiment at the first sign of progress."""

    def advanced(self, stage, amount, note=""):
        raise Impatient


def test_a_lesson_that_nobody_waits_for_is_cancelled(trainer, school):
    teacher, setting = school
    long = {**OFFLINE, "setting": setting, "lesson": {**OFFLINE["lesson"], "updates": 10**8}}
    with pytest.raises(Impatient):
        teacher.ask(long, Stopping(), "x")
    teacher.ask({**OFFLINE, "setting": setting})
    assert trainer.trainer.ended == {("offline", "failed"): 1, ("offline", "succeeded"): 1}


def test_an_update_tells_what_it_has_measured(trainer, school):
    teacher, setting = school
    teacher.ask({"kind": "begin", "setting": setting, "lesson": ONLINE, "course": "x", "attempt": 1})
    teacher.ask(UPDATE)
    (job,) = [job for job in trainer.trainer._jobs.values() if job.kind == "update"]
    found = httpx.get(f"{trainer.address}/v1/jobs/{job.key}").json()["metrics"]
    ppo = {"reward", "policyLoss", "valueError", "advantage", "advantageDeviation", "entropy", "divergence", "clipped"}
    assert set(found) == ppo
    samples = page(trainer)
    it = {"experiment": "tiny", "algorithm": "ppo"}
    for name, metric in (("entropy", "entropy"), ("valueError", "value_error"), ("policyLoss", "policy_loss")):
        assert value(samples, f"edgebed_trainer_{metric}", **it) == pytest.approx(found[name])
    assert value(samples, "edgebed_trainer_updates", **it) == 1
    assert value(samples, "edgebed_trainer_job_seconds_total", kind="update") > 0
    assert samples["edgebed_trainer_critic_error"] == []


def test_offline_learning_tells_what_it_has_measured(trainer, school):
    assert page(trainer)["edgebed_trainer_entropy"] == []
    teacher, setting = school
    teacher.ask({**OFFLINE, "setting": setting})
    samples = page(trainer)
    it = {"experiment": "tiny", "algorithm": "sac-cql"}
    assert value(samples, "edgebed_trainer_updates", **it) == 4
    assert 0 < value(samples, "edgebed_trainer_entropy", **it) <= math.log(3)
    for metric in ("critic_error", "value_error"):
        assert value(samples, f"edgebed_trainer_{metric}", **it) > 0
    assert value(samples, "edgebed_trainer_job_progress_ratio", kind="offline") == 1
    assert value(samples, "edgebed_trainer_jobs_total", kind="offline", state="succeeded") == 1
    assert value(samples, "edgebed_trainer_unfinished_jobs", state="running") == 0


def test_a_step_of_another_attempt_or_out_of_turn_is_not_taken(trainer, school):
    teacher, setting = school
    teacher.ask({"kind": "begin", "setting": setting, "lesson": ONLINE, "course": "x", "attempt": 1})
    for wrong in ({"attempt": 2}, {"number": 2}, {"course": "y"}):
        job = httpx.post(f"{trainer.address}/v1/jobs", json={**UPDATE, **wrong}).json()
        until = time.monotonic() + 30
        while job["state"] in ("waiting", "running"):
            assert time.monotonic() < until
            job = httpx.get(f"{trainer.address}/v1/jobs/{job['job']}").json()
        assert (job["state"], job["lostCourse"]) == ("failed", True)
    assert teacher.ask(UPDATE)["updates"] == 1


SETTINGS = settings(
    max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def test_no_request_breaks_the_trainer(trainer):
    schema = schemathesis.openapi.from_url(f"{trainer.address}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert ("POST", "/v1/jobs") in {(operation.method.upper(), operation.path) for operation in operations}
    for operation in operations:

        @SETTINGS
        @given(case=operation.as_strategy())
        def breaks_nothing(case):
            answer = case.call(timeout=40)
            assert answer.status_code < 500, answer.text
            if answer.status_code >= 400:
                assert answer.headers["content-type"][0] == "application/problem+json"

        breaks_nothing()
    assert trainer.artefacts.names() == []
