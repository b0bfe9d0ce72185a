"""Services started by hand, each with its settings, talk to each other and run an experiment; a token keeps others out."""

import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
import yaml

from tests.services.experiment import LIMIT_S, specification

TOKEN = "b1946ac92492d2347c6235b4d2611184"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve(tmp_path):
    """`serve("edge-node", EDGEBED_NODE="node-1")`: the address of a service in a process of its own."""
    secret = tmp_path / "token"
    secret.write_text(f"{TOKEN}\n")
    started = []

    def start(service, **settings):
        port = free_port()
        clean = {key: value for key, value in os.environ.items() if not key.startswith("EDGEBED_")}
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        given = {"EDGEBED_PORT": str(port), "EDGEBED_TOKEN_FILE": str(secret), **settings}
        process = subprocess.Popen(
            [sys.executable, "-m", "edgebed", "serve", service],
            cwd=tmp_path,
            env=clean | path | given,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return f"http://127.0.0.1:{port}", process

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=20)[1] for process in started]
    assert [process.returncode for process in started] == [0] * len(started), said


def answers(address):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx.get(f"{address}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"{address} does not answer")


def test_services_by_hand_run_an_experiment_behind_a_token(serve, tmp_path):
    controller, _ = serve("controller")
    answers(controller)
    for k in range(3):
        serve("edge-node", EDGEBED_NODE=f"node-{k}", EDGEBED_CONTROLLER=controller)
    serve("task-generator", EDGEBED_CONTROLLER=controller)
    document = yaml.safe_load(specification())

    refused = httpx.post(f"{controller}/v1/experiments", json=document, trust_env=False)
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"

    with httpx.Client(base_url=controller, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as client:
        assert client.post("/v1/experiments", json=document).status_code == 202
        until = time.monotonic() + LIMIT_S
        state: dict[str, Any] = {}
        while state.get("state") != "finished" and time.monotonic() < until:
            state = client.get("/v1/experiments/small").json()
            assert state["state"] in ("running", "finished"), state
            time.sleep(0.2)
        assert state["state"] == "finished"
        assert len(client.get("/v1/registry/edge-node").json()["instances"]) == 3
        metrics = client.get("/metrics").text
        assert "# TYPE edgebed_" in metrics
    assert (tmp_path / "runs" / "small" / "report.html").exists()


def test_a_wrong_setting_is_refused_with_the_remedy(tmp_path):
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-m", "edgebed", "serve", "edge-node"],
        cwd=tmp_path,
        env={**path, "EDGEBED_PORT": "many"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "EDGEBED_PORT: 'many' is not allowed; give a whole number" in done.stderr


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.environ["PATH"]}
        done = subprocess.run(
            [sys.executable, "-m", "edgebed", "serve", "edge-node"],
            cwd=tmp_path,
            env={**path, "EDGEBED_PORT": port},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 3
    assert port in done.stderr
    assert "in use" in done.stderr
