"""An experiment over HTTP: from its document to results, interrupted and taken up again."""

import contextlib
import copy
import json
import sqlite3
import time
from typing import Any

import httpx
import numpy as np
import pytest

from edgebed.controller.experiments import Experiments
from edgebed.controller.metrics import CONTROLLER_METRICS
from edgebed.controller.testbed import Testbed
from edgebed.stores.calls import CALL_FAILURES, CALL_SECONDS
from edgebed.systems.cooperative.randomness import Stream
from tests.metrics_page import shown, value
from tests.unit.controller.world import SMALL, World

LIMIT_S = 60


def document(name: str = "small", **spec: Any) -> dict[str, Any]:
    made = copy.deepcopy(SMALL)
    made["metadata"]["name"] = name
    made["spec"] |= {"methods": [{"name": "ratc", "policy": "ratc"}, {"name": "near", "policy": "local"}], **spec}
    return made


@pytest.fixture
def client(world):
    with httpx.Client(base_url=world.controller.address, timeout=20) as client:
        yield client


def wait(client: httpx.Client, name: str, *states: str) -> dict[str, Any]:
    """The experiment once it is in one of the states."""
    until = time.monotonic() + LIMIT_S
    while (found := client.get(f"/v1/experiments/{name}").json())["state"] not in states:
        assert time.monotonic() < until, found
        time.sleep(0.05)
    return dict(found)


def test_from_a_document_to_results(world, client):
    answer = client.post("/v1/experiments", json=document())
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "running"
    found = wait(client, "small", "finished", "failed")
    assert found["state"] == "finished", found["reason"]
    assert found["methods"]["ratc"]["evaluate"]["episodes"] == 2
    assert 0 < found["methods"]["ratc"]["evaluate"]["successRate"] <= 1
    assert len(found["methods"]["near"]["evaluate"]["history"]) == 2
    assert found["episodesPlayed"] == 4
    folder = world.folder / "runs" / "small"
    results = json.loads((folder / "results.json").read_text())
    assert set(results["methods"]) == {"ratc", "near"}
    assert results["methods"]["near"]["successRate"]["mean"] == pytest.approx(
        found["methods"]["near"]["evaluate"]["successRate"]
    )
    fidelity = results["fidelity"]
    assert set(fidelity["methods"]) == {"ratc", "near"}
    assert fidelity["tasks"] == 2 * int(world.setting.tasks(Stream.EVALUATE, range(2)).arrives.sum())
    assert fidelity["methods"]["near"]["sameStatus"] > 0.9
    assert len(list((folder / "fidelity").glob("evaluate-*.json"))) == 2
    published = world.artefacts.open(found["artefact"])
    for name in ("results.json", "report.html", "experiment.yaml", "figures/comparison.svg"):
        assert published.read(name) == (folder / name).read_bytes()
    assert client.get("/v1/experiments").json()["experiments"][0]["state"] == "finished"
    shows_metrics(world, client)
    assert client.post("/v1/experiments", json=document()).json()["state"] == "running"  # nothing is played again
    again = wait(client, "small", "finished", "failed")
    assert again["episodesPlayed"] == 0


def test_every_step_is_told_as_it_begins(world, client):
    """Short ones as well, to whoever asked for it."""
    told = []
    world.experiments.on_step(lambda name: told.append((name, world.experiments.find(name)["step"])))
    client.post("/v1/experiments", json=document())
    wait(client, "small", "finished", "failed")
    played = ["Deploying", "Evaluating"]
    world.experiments.current.thread.join(LIMIT_S)
    assert told == [("small", step) for step in (*played, *played, "Reporting", "Succeeded")]
    told.clear()
    client.post("/v1/experiments", json=document())  # what is in the log needs no nodes
    wait(client, "small", "finished", "failed")
    world.experiments.current.thread.join(LIMIT_S)
    assert [step for _, step in told] == ["Reporting", "Succeeded"]


def test_one_that_was_stopped_goes_on_where_it_was(world, client):
    """Posted again, it plays only the episodes that the log does not have."""
    client.post("/v1/experiments", json=document(evaluation={"episodes": 6}))
    while client.get("/v1/experiments/small").json()["episodesPlayed"] < 2:
        time.sleep(0.02)
    assert client.delete("/v1/experiments/small").status_code == 202
    stopped = wait(client, "small", "stopped")
    before = episodes(world, stopped["run"])
    assert 2 <= len(before) < 12
    assert client.post("/v1/experiments", json=document(evaluation={"episodes": 6})).status_code == 202
    after = all_episodes(world, stopped["run"], 12)
    assert before <= after
    assert client.get("/v1/experiments/small").json()["run"] == stopped["run"]


def test_a_new_controller_goes_on_in_the_middle_of_a_phase(world, client):
    """One that ends without being asked to stop the experiment leaves it running; the next one goes on with it."""
    client.post("/v1/experiments", json=document(evaluation={"episodes": 6}))
    while client.get("/v1/experiments/small").json()["episodesPlayed"] < 2:
        time.sleep(0.02)
    world.experiments.close()
    state = json.loads((world.folder / "runs" / "small" / "controller.json").read_text())
    assert state["state"] == "running"
    before = episodes(world, state["run"])
    other = Experiments(world.folder / "runs", world.experiments._services)
    (running,) = other.resume()
    assert running.name == "small"
    assert before <= all_episodes(world, state["run"], 12)
    other.close()


def test_the_nodes_queues_are_shown_while_it_runs(world, client):
    client.post("/v1/experiments", json=document(evaluation={"episodes": 4}))
    until = time.monotonic() + LIMIT_S
    nodes: list[dict[str, Any]] = []
    while not nodes or not all(node.get("waitingTo") for node in nodes):
        assert time.monotonic() < until
        nodes = client.get("/v1/experiments/small").json()["nodes"]
    assert [node["node"] for node in nodes] == [0, 1, 2]
    assert all(len(node["waitingTo"]) == 3 for node in nodes)
    shown = client.get("/v1/experiments/small").json()
    assert "evaluating" in shown["phase"]
    assert shown["episode"]["of"] == 4


def test_events_tell_what_changes(world, client):
    with httpx.stream("GET", f"{world.controller.address}/v1/events", timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        client.post("/v1/experiments", json=document())
        told = []
        for line in stream.iter_lines():
            if line.startswith("data: {"):
                told.append(json.loads(line.removeprefix("data: ")))
                if told[-1]["episodesPlayed"] == 1:
                    client.delete("/v1/experiments/small")
                if told[-1]["state"] == "stopped":
                    break
    assert told[0]["state"] == "running"
    assert any("evaluating ratc" in str(event["phase"]) for event in told)


def test_one_experiment_at_a_time(world, client):
    client.post("/v1/experiments", json=document())
    answer = client.post("/v1/experiments", json=document("other"))
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert "DELETE /v1/experiments/small" in answer.json()["detail"]
    assert client.post("/v1/experiments", json=document()).json()["state"] == "running"  # the same one is left alone
    client.delete("/v1/experiments/small")
    wait(client, "small", "stopped")
    assert client.post("/v1/experiments", json=document("other")).status_code == 202


MEASURED = {"slotSeconds": 0.1, "slots": 10, "deadlineSeconds": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"methods": [{"name": "best", "policy": "least-completion"}]}, "'best' is centralised"),
        ({"methods": [{"name": "x", "policy": "rtac"}]}, "did you mean"),
        ({"methods": [{"name": "x", "policy": {"kind": "ratc", "speed": 3}}]}, "speed"),
        ({"backend": "simulator"}, "the simulator needs no controller"),
        ({"network": {"file": "../../etc/passwd"}}, "below the run's folder"),
        ({"network": {"file": "inputs/none.json"}}, "no such file"),
        ({"workload": MEASURED | {"application": {"kind": "ffmpeg"}}}, "spec.workload.application.costs: is missing"),
        ({"workload": MEASURED | {"application": {"kind": "cpu", "costs": "../costs"}}}, "below the run's folder"),
        ({"replicates": 0}, "spec.replicates"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(world, client, change, said):
    answer = client.post("/v1/experiments", json=document(**change))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert not (world.folder / "runs" / "small").exists()
    assert client.get("/v1/experiments").json() == {"experiments": []}


def test_a_failure_names_its_reason_and_posting_again_goes_on(world, client):
    world.coordinator.deregister("edge-node", "node-2")
    client.post("/v1/experiments", json=document())
    failed = wait(client, "small", "failed")
    assert "2 of 3 edge-node services have registered" in failed["reason"]
    world.coordinator.register("edge-node", "node-2", world.nodes[2].address, {})
    client.post("/v1/experiments", json=document())
    all_episodes(world, failed["run"], 4)
    assert client.get("/v1/experiments/small").json()["reason"] is None


@pytest.mark.parametrize("way", ["finished", "failed", "stopped"])
def test_the_nodes_are_free_for_the_next_before_the_end_is_told(world, client, monkeypatch, way):
    """Else who gives the next at once is refused, for the one before still has them."""
    let_go, told = Testbed.close, []

    def close(testbed):
        told.append(world.experiments.current.state["state"])
        let_go(testbed)

    monkeypatch.setattr(Testbed, "close", close)
    if way == "failed":
        world.coordinator.deregister("edge-node", "node-2")
    client.post("/v1/experiments", json=document())
    if way == "stopped":
        client.delete("/v1/experiments/small")
    wait(client, "small", way)
    assert set(told) == {"running"}
    assert client.post("/v1/experiments", json=document("next")).status_code == 202


def test_a_lost_node_stops_the_experiment_or_not_as_specified(world, client):
    client.post("/v1/experiments", json=document(evaluation={"episodes": 3}))
    while client.get("/v1/experiments/small").json()["episodesPlayed"] < 1:
        time.sleep(0.02)
    world.kill(1)
    failed = wait(client, "small", "failed", "finished")
    assert failed["state"] == "failed"
    assert "node 1" in failed["reason"]
    going = document("going", onNodeLoss="continue")
    run = client.post("/v1/experiments", json=going).json()["run"]
    all_episodes(world, run, 4)
    folder, until = world.folder / "runs" / "going" / "fidelity", time.monotonic() + LIMIT_S
    while len(found := [json.loads(path.read_text()) for path in folder.glob("*.json")]) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    tasks = world.setting.tasks(Stream.EVALUATE, range(2))
    (near,) = (unit for unit in found if unit["method"] == "near")
    assert near["lost"] == int(tasks.arrives[:, :, 1].sum())  # every task of the node that is gone, and no other


def all_episodes(world: World, run: str, count: int) -> set[int]:
    """The finished episodes of a run, once there are so many; there are never more."""
    until = time.monotonic() + LIMIT_S
    while len(found := episodes(world, run)) < count:
        assert time.monotonic() < until, found
        time.sleep(0.05)
    assert len(found) == count
    return found


def episodes(world: World, run: str) -> set[int]:
    """Numbers of the finished episodes of a run."""
    with contextlib.closing(sqlite3.connect(world.folder / "tasks.db")) as database:
        query = "select episode from episodes where run = ? and result is not null"
        numbers = [int(row[0]) for row in database.execute(query, [run])]
    assert len(np.unique(numbers)) == len(numbers)
    return set(numbers)


def shows_metrics(world: World, client: httpx.Client) -> None:
    """What Prometheus reads after the two methods' evaluation."""
    assert client.get("/healthz").json() == {"status": "ok"}
    samples = shown(client.get("/metrics").text, (*CONTROLLER_METRICS, CALL_SECONDS, CALL_FAILURES))
    tasks = 2 * int(world.setting.tasks(Stream.EVALUATE, range(2)).arrives.sum())
    assert value(samples, "edgebed_controller_records_total") == tasks
    [info] = samples["edgebed_experiment_info"]
    it = {"experiment": "small", "run": info.labels["run"]}
    assert value(samples, "edgebed_experiment_phase", **it, phase="Succeeded") == 1
    assert value(samples, "edgebed_experiment_phase", **it, phase="Evaluating") == 0
    assert value(samples, "edgebed_experiment_episodes", **it) == 4
    assert value(samples, "edgebed_experiment_planned_episodes", **it) == 4
    assert 0 < value(samples, "edgebed_experiment_success_ratio", **it, method="ratc", stream="evaluate") <= 1
    ended = [s.value for s in samples["edgebed_experiment_tasks"] if s.labels["status"] != "unfinished"]
    assert sum(ended) == tasks
    assert value(samples, "edgebed_controller_instances", role="edge-node") == 3


def test_what_is_removed_is_stopped_first_and_its_folder_is_gone(world, client):
    """And the tasks that it has played stay in the log."""
    world.experiments.submit(document(evaluation={"episodes": 6}), "mine", owner="somebody")
    while client.get("/v1/experiments/mine").json()["episodesPlayed"] < 1:
        time.sleep(0.02)
    run = client.get("/v1/experiments/mine").json()["run"]
    assert world.experiments.owned_by("somebody") == ["mine"]
    assert world.experiments.owned_by("another") == []
    world.experiments.remove("mine")
    assert world.experiments.find("mine") is None
    assert list((world.folder / "runs").iterdir()) == []
    assert episodes(world, run)
    world.experiments.remove("mine")  # it is not there, as asked


def test_the_probe_of_liveness_tells_what_does_not_work(world, client):
    assert client.get("/livez").json() == {"status": "ok"}
    world.problems.append("the operator's thread has ended")
    answer = client.get("/livez")
    assert (answer.status_code, answer.json()["detail"]) == (503, "the operator's thread has ended")
    world.problems.clear()
    assert client.get("/livez").status_code == 200
