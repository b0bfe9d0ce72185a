"""Ten edge nodes as pods, without a release or an experiment: tasks with given decisions end as in the simulator."""

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, need_cluster

NODES = 10
SAME, END_ERROR_S = 0.99, 0.025
SCRIPT = Path(__file__).with_name("replay_on_pods.py")
SERVES = {"httpGet": {"path": "/healthz", "port": 8080}}
LIMIT_S = 120


def pod(name: str, role: str, command: list[str], probe: dict[str, Any]) -> dict[str, Any]:
    """One that is ready when its service serves; the state of all of them is in memory."""
    address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    settings = {"EDGEBED_HOST": "0.0.0.0", "EDGEBED_PORT": "8080", "EDGEBED_SPOOL": "/tmp/spool"}
    container = {
        "name": role,
        "image": f"edgebed/{role}:dev",
        "imagePullPolicy": "Never",
        "command": command,
        "env": [address, *({"name": key, "value": value} for key, value in settings.items())],
        "readinessProbe": {**probe, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "containers": [container],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"role": role}}, "spec": spec}


@pytest.fixture
def ground():
    """A namespace with nodes, a generator, and one pod to drive them from."""
    namespace = f"replay-{secrets.token_hex(4)}"
    cluster = replace(need_cluster(), namespace=namespace)
    cluster.kubectl("create", "namespace", namespace).fine()
    pods = [pod(f"node-{k}", "edge-node", ["edgebed", "serve", "edge-node"], SERVES) for k in range(NODES)]
    pods.append(pod("generator", "task-generator", ["edgebed", "serve", "task-generator"], SERVES))
    pods.append(pod("driver", "controller", ["python", "-m", "http.server", "8080"], {"tcpSocket": {"port": 8080}}))
    try:
        cluster.kubectl(
            "apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
        ).fine()
        cluster.kubectl("wait", "pods", "--all", "--for=condition=Ready", f"--timeout={LIMIT_S - 10}s").fine()
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def addresses(cluster: Cluster) -> list[str]:
    """Of the nodes, then of the generator."""
    found = {
        item["metadata"]["name"]: f"http://{item['status']['podIP']}:8080"
        for item in cluster.kubectl("get", "pods", "-o", "json").json()["items"]
    }
    return [*(found[f"node-{k}"] for k in range(NODES)), found["generator"]]


@pytest.mark.alone
def test_tasks_with_given_decisions_end_as_in_the_simulator(ground):
    arguments = ("exec", "-i", "driver", "--", "python", "-", *addresses(ground))
    found = json.loads(ground.kubectl(*arguments, given=SCRIPT.read_text(), limit_s=2 * LIMIT_S).fine().out)
    same = found["same"] / found["tasks"]
    print(
        f"{found['tasks']} tasks on {NODES} pods: {100 * same:.2f} % with the simulator's status; "
        f"end time error p50 {1e3 * found['p50']:.2f} ms, p99 {1e3 * found['p99']:.2f} ms "
        f"(of each round {', '.join(f'{1e3 * one:.2f}' for one in found['p99OfEach'])})"
    )
    assert same >= SAME
    assert found["p99"] <= END_ERROR_S
