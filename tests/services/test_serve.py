"""Services started by hand, each with its settings, talk to each other and run an experiment; a token keeps others out."""

import os
import socket
import subprocess
import sys
import time
from typing import Any

import httpx
import yaml

from tests.services.experiment import LIMIT_S, TOKEN, answers, specification


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
