"""A namespace of a real cluster with the operator in it, and what its tests need around it.

Pods ask for a machine that does not exist, so nothing runs: the test itself says what became of each pod, as a kubelet would.
So every state of a pod can be had in a moment, on any cluster, without images. The operator logs in with an account that has
exactly the rights of `rbac.RULES`, and the namespace enforces the restricted Pod Security Standard.
"""

import gc
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import yaml

from edgebed.experiment.crd import custom_resource_definition
from edgebed.operator.main import Operator
from edgebed.operator.rbac import RULES
from edgebed.stores.artefacts import open_artefacts
from tests.cluster import Cluster

NOWHERE = {"edgebed.dev/no-such-machine": "true"}
LIMIT_S = 60


class Played:
    """A controller's runs, as far as the operator knows them; the test says how they go on."""

    def __init__(self):
        self.runs, self.lock = {}, threading.Lock()
        self.submitted, self.stopped, self.adopted, self.forgotten = [], [], [], []
        self.refuses: Exception | None = None
        self.told = lambda _: None

    def submit(self, name, document):
        with self.lock:
            if self.refuses is not None:
                raise self.refuses
            self.submitted.append((name, document))
            known = self.runs.setdefault(name, {"name": name, "methods": {}})
            if known.get("state") != "running":
                known |= {"state": "running", "phase": None, "document": document}

    def find(self, name):
        with self.lock:
            return None if name not in self.runs else {**self.runs[name]}

    def stop(self, name):
        with self.lock:
            self.stopped.append(name)
            if name in self.runs:
                self.runs[name]["state"] = "stopped"

    def adopt(self, name, artefact, started_at, ended_at):
        with self.lock:
            self.adopted.append((name, artefact))

    def forget(self, name):
        with self.lock:
            self.forgotten.append(name)
            self.runs.pop(name, None)

    def names(self):
        with self.lock:
            return list(self.runs)

    def say(self, name, **changes):
        with self.lock:
            self.runs[name] |= changes
        self.told(name)

    def on_step(self, told):
        self.told = told


@contextmanager
def installed(cluster: Cluster) -> Iterator[None]:
    """With the kind Experiment; one that is there already stays as it is."""
    name = "experiments.edgebed.dev"
    crd = f"crd/{name}"
    ours = cluster.kubectl("get", crd).code != 0
    if ours:
        cluster.kubectl("apply", "--server-side", "-f", "-", given=yaml.safe_dump(custom_resource_definition())).fine()
    cluster.establish(name)
    try:
        yield
    finally:
        if ours:
            cluster.kubectl("delete", crd, "--timeout=60s")


class Ground:
    """One namespace."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.namespace = f"operator-{secrets.token_hex(4)}"
        self.cluster = replace(cluster, namespace=self.namespace)
        self.folder, self.runs = folder, Played()
        self.operator: Operator | None = None

    # Around the test

    def open(self) -> None:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}})
        account = {"kind": "ServiceAccount", "name": "operator", "namespace": self.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"}
        rbac = "rbac.authorization.k8s.io/v1"
        self.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "operator"}},
            {"apiVersion": rbac, "kind": "Role", "metadata": {"name": "operator"}, "rules": list(RULES)},
            {
                "apiVersion": rbac,
                "kind": "RoleBinding",
                "metadata": {"name": "operator"},
                "subjects": [account],
                "roleRef": role,
            },
        )
        token = self.kubectl("create", "token", "operator").fine().out.strip()
        self.config = yaml.safe_load(Path(self.cluster.kubeconfig).read_text())
        self.config["users"] = [{"name": "operator", "user": {"token": token}}]
        current = next(c for c in self.config["contexts"] if c["name"] == self.config["current-context"])
        current["context"] |= {"user": "operator", "namespace": self.namespace}
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(self.config))
        self.write_settings()

    def close(self) -> None:
        if self.operator is not None:
            self.operator.close()
            gc.collect()  # so that what it left open is told of its own test
        self.kubectl("delete", "namespace", self.namespace, "--wait=false")

    def through(self, server: str) -> None:
        """From now on the operator reaches the API server there."""
        self.config["clusters"][0]["cluster"]["server"] = server
        self.kubeconfig.write_text(yaml.safe_dump(self.config))

    @property
    def server(self) -> str:
        return str(self.config["clusters"][0]["cluster"]["server"])

    def write_settings(self, **changes):
        role = {
            "image": "edgebed.invalid/none:1",
            "nodeSelector": NOWHERE,
            "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"memory": "2Gi"}},
        }
        given = {
            "controller": "http://controller:8080",
            "edgeNode": {**role, "tolerations": [{"operator": "Exists"}], "env": {"EDGEBED_LOG_LEVEL": "info"}},
            "taskGenerator": role,
            "trainer": {**role, "gpu": 1},
            "simulator": role,
            "configMap": "edgebed-settings",
            "secrets": {"EDGEBED_TOKEN": {"secret": "edgebed", "key": "token"}},
            "artefactsClaim": "artefacts",
            "fsGroup": 1000,
            "runAsUser": 1000,
            "imagePullSecrets": ["registry"],
            **changes,
        }
        path = self.folder / "operator.yaml"
        path.write_text(yaml.safe_dump(given))
        return path

    def start(self, monkeypatch) -> Operator:
        monkeypatch.setenv("KUBECONFIG", str(self.kubeconfig))
        artefacts = open_artefacts(f"file:{self.folder / 'artefacts'}")
        self.operator = Operator.open(self.folder / "operator.yaml", self.runs, artefacts)
        self.operator.start()
        return self.operator

    # What people and kubelets do

    def kubectl(self, *arguments: str, given: str | None = None):
        return self.cluster.kubectl(*arguments, given=given)

    def apply(self, *items) -> None:
        self.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(items)).fine()

    def get(self, kind: str, name: str):
        answer = self.kubectl("get", kind, name, "-o", "json")
        return json.loads(answer.out) if answer.code == 0 else None

    def every(self, kinds: str, selector: str = "edgebed.dev/experiment"):
        return self.kubectl("get", kinds, "-l", selector, "-o", "json").json()["items"]

    def status(self, name: str):
        return (self.get("experiment", name) or {}).get("status", {})

    def phase(self, name: str):
        return self.status(name).get("phase")

    def condition(self, name: str, kind: str):
        return next((c for c in self.status(name).get("conditions", []) if c["type"] == kind), {})

    def events(self, name: str):
        found = self.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}", "-o", "json").json()
        return [event["reason"] for event in found["items"] if event["involvedObject"]["kind"] == "Experiment"]

    def until(self, is_so: Callable[[], object], limit_s: float = LIMIT_S, what: str = "") -> float:
        """Seconds until it was so."""
        began = time.monotonic()
        while not is_so():
            assert time.monotonic() - began < limit_s, f"not within {limit_s} s: {what}"
            time.sleep(0.2)
        return time.monotonic() - began

    def pods(self, name: str):
        return [
            p for p in self.every("pods", f"edgebed.dev/experiment={name}") if "deletionTimestamp" not in p["metadata"]
        ]

    def delete_and_see_anew(self, kind: str, name: str, *arguments: str, limit_s: float = 15) -> None:
        """Deletes what the operator makes again. kubectl does not wait for it: where the next of that name is there between
        its first look and its watch, it takes the next for the one that is to go, and waits for ever.
        """
        uid = self.get(kind, name)["metadata"]["uid"]
        self.kubectl("delete", kind, name, "--wait=false", *arguments).fine()
        others = lambda: (self.get(kind, name) or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid  # noqa: E731
        self.until(others, limit_s, f"{kind} {name} is there again")

    def run_pods(self, name: str, count: int) -> None:
        """All pods of an experiment begin to serve."""
        self.until(lambda: len(self.pods(name)) >= count, what=f"{count} pods of {name}, {self.status(name)}")
        for pod in self.pods(name):
            self.says(pod["metadata"]["name"], ready_status())

    def says(self, pod: str, status) -> None:
        """What a kubelet would say of a pod."""
        patch = json.dumps({"status": status})
        self.kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", "-p", patch).fine()


def ready_status():
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("PodScheduled", "Ready")]
    return {"phase": "Running", "conditions": conditions, "startTime": now}
