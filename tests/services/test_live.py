"""Configuration that changes while services run: it reaches all of them, and a run goes on; a service starts without it."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
import yaml

from tests.services.experiment import LIMIT_S, TOKEN, answers, specification

CHANGES = {
    "controller": "pollSeconds: 0.75",
    "edge-node": "probeTimeoutSeconds: 0.75",
    "task-generator": "handOverTimeoutSeconds: 3.75",
    "trainer": "niceness: 15",
}
SHOWN = {
    "controller": ("pollSeconds", 0.75),
    "edge-node": ("probeTimeoutSeconds", 0.75),
    "task-generator": ("handOverTimeoutSeconds", 3.75),
    "trainer": ("niceness", 15),
}
REACH_S = 30.0
"""Ten times what it should take, and more; what it takes is printed."""


@pytest.fixture
def client():
    with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False, timeout=20) as made:
        yield made


@pytest.fixture
def testbed(serve):
    """Controller, three nodes, generator and trainer by hand, each with its address."""
    controller, process = serve("controller")
    answers(controller)
    known = {"EDGEBED_CONTROLLER": controller}
    found = {"controller": (controller, process)}
    for k in range(3):
        found[f"edge-node {k}"] = serve("edge-node", EDGEBED_NODE=f"node-{k}", **known)
    found["task-generator"] = serve("task-generator", **known)
    found["trainer"] = serve("trainer", EDGEBED_RUNS="trainer-runs", **known)
    for address, _ in found.values():
        answers(address)
    return found


def edgebed(tmp_path, *arguments):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("EDGEBED_")}
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "EDGEBED_TOKEN_FILE": str(tmp_path / "token")}
    return subprocess.run(
        [sys.executable, "-m", "edgebed", "configuration", *arguments],
        env=clean | path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def reached(client, testbed, key, version):
    """Seconds until every service that listens to a key shows a version of it, and one of those states."""
    begin = time.monotonic()
    missing = [address for name, (address, _) in testbed.items() if key == "policies" or name.startswith(key)]
    states: list[dict[str, Any]] = []
    while missing:
        assert time.monotonic() - begin < REACH_S, (key, missing, states)
        state = client.get(f"{missing[0]}/v1/state").json()["configuration"][key]
        if state["version"] == version:
            states.append(state)
            del missing[0]
        else:
            time.sleep(0.01)
    return time.monotonic() - begin, states[0]


def publish(client, controller, key, text):
    answer = client.put(f"{controller}/v1/configuration/{key}", json={"text": text})
    assert answer.status_code == 200, answer.text
    return answer.json()["version"]


def state_of(client, controller):
    return client.get(f"{controller}/v1/experiments/small").json()


def test_a_change_reaches_everybody_while_a_run_goes_on(testbed, client, tmp_path):
    """What is wrong reaches nobody; parameters of policies reach the experiments that are taken afterwards."""
    controller = testbed["controller"][0]
    before = publish(client, controller, "policies", "defaults: {rda: {coefficient: 0.5}}")
    reached(client, testbed, "policies", before)
    document = yaml.safe_load(specification(more="    - {name: rda, policy: rda}", episodes=6))
    assert client.post(f"{controller}/v1/experiments", json=document).status_code == 202
    until = time.monotonic() + LIMIT_S
    while not state_of(client, controller)["episodesPlayed"]:
        assert time.monotonic() < until
        time.sleep(0.05)

    for key, text in CHANGES.items():
        version = publish(client, controller, key, text)
        took_s, state = reached(client, testbed, key, version)
        print(f"a change of {key} was shown by every service after {took_s:.3f} s")
        name, value = SHOWN[key]
        assert (state["values"][name], state["refused"], state["fromCache"]) == (value, None, False)
    later = publish(client, controller, "policies", "defaults: {rda: {coefficient: 2.0}}")
    print(
        f"a change of policies was shown by every service after {reached(client, testbed, 'policies', later)[0]:.3f} s"
    )
    trainer = testbed["trainer"][1].pid
    assert {os.getpriority(os.PRIO_PROCESS, int(task)) for task in os.listdir(f"/proc/{trainer}/task")} == {15}

    wrong = client.put(f"{controller}/v1/configuration/edge-node", json={"text": "probeTimeoutSeconds: 99"})
    assert wrong.status_code == 422
    assert "give a number of at most 5" in wrong.json()["detail"]
    state = client.get(f"{testbed['edge-node 1'][0]}/v1/state").json()["configuration"]["edge-node"]
    assert state["values"]["probeTimeoutSeconds"] == 0.75

    while (now := state_of(client, controller))["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert now["state"] == "finished", now
    as_run = yaml.safe_load((tmp_path / "runs/small/experiment.yaml").read_text())
    assert [method["policy"] for method in as_run["spec"]["methods"]] == ["ratc", {"kind": "rda", "coefficient": 0.5}]
    again = client.post(f"{controller}/v1/experiments", json=document)
    assert again.status_code == 202, again.text


def test_the_command_shows_and_publishes(testbed, client, tmp_path):
    controller = testbed["controller"][0]
    where = ("--controller", controller)
    printed = edgebed(tmp_path, "edge-node", *where)
    assert "probeTimeoutSeconds: 0.25\n" in printed.stdout, printed.stderr
    file = tmp_path / "edge-node.yaml"
    file.write_text(printed.stdout.replace("0.25", "0.3"))
    published = edgebed(tmp_path, "edge-node", str(file), *where)
    assert published.returncode == 0, published.stderr
    version = int(published.stdout.split()[-1])
    reached(client, testbed, "edge-node", version)
    shown = edgebed(tmp_path, *where)
    (row,) = [line for line in shown.stdout.splitlines() if line.split()[:1] == ["edge-node"]]
    assert row.split()[:2] == ["edge-node", str(version)]
    assert "node-0, node-1, node-2" in row

    file.write_text("probeTimeoutSeconds: 0.3\nprobeTimeout: 1\n")
    refused = edgebed(tmp_path, "edge-node", str(file), *where)
    assert refused.returncode == 2
    assert f"{file}:2: probeTimeout: is unknown; did you mean probeTimeoutSeconds?" in refused.stderr
    unknown = edgebed(tmp_path, "edge-nodes", *where)
    assert (unknown.returncode, "did you mean edge-node?" in unknown.stderr) == (2, True)
    away = edgebed(tmp_path, "--controller", "http://127.0.0.1:9")
    assert away.returncode == 3
    assert "the controller at http://127.0.0.1:9 does not answer" in away.stderr


def test_without_a_controller_a_service_starts_with_what_it_had(serve, client):
    """And a controller that comes back has what was published, too."""
    controller, process = serve("controller")
    answers(controller)
    node, _ = serve("edge-node", EDGEBED_NODE="node-0", EDGEBED_CONTROLLER=controller)
    answers(node)
    version = publish(client, controller, "edge-node", "probeTimeoutSeconds: 0.4")
    reached(client, {"edge-node": (node, None)}, "edge-node", version)
    process.send_signal(signal.SIGTERM)
    process.wait(20)

    other, _ = serve("edge-node", EDGEBED_NODE="node-1", EDGEBED_CONTROLLER=controller)
    answers(other)
    state = client.get(f"{other}/v1/state").json()
    used = state["configuration"]["edge-node"]
    assert (used["values"]["probeTimeoutSeconds"], used["version"], used["fromCache"]) == (0.4, version, True)
    assert state["coordination"]["fault"]
    assert client.get(f"{node}/v1/state").json()["configuration"]["edge-node"]["values"] == used["values"]

    port = controller.rpartition(":")[2]
    serve("controller", EDGEBED_PORT=port)
    answers(controller)
    until = time.monotonic() + REACH_S
    while client.get(f"{other}/v1/state").json()["configuration"]["edge-node"]["fromCache"]:
        assert time.monotonic() < until
        time.sleep(0.05)
    used = client.get(f"{other}/v1/state").json()["configuration"]["edge-node"]
    assert (used["values"]["probeTimeoutSeconds"], used["refused"]) == (0.4, None)
