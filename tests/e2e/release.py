"""The chart, installed in a namespace of a real cluster, and what people do with it.

    with Release(cluster, folder) as release:
        release.apply(experiment("quick"))
        release.ended("quick")

`helm` must be on the PATH, and the images `edgebed/ROLE:dev` in the cluster (`make kind-up`). EDGEBED_TEST_VALUES names a file
of further values for the chart, where a cluster needs some.
"""

import contextlib
import copy
import json
import os
import re
import secrets
import subprocess
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.cluster import Cluster

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "edgebed"
NAME = "e2e"
CONTROLLER = f"{NAME}-edgebed-controller"
VALUES = "EDGEBED_TEST_VALUES"
LIMIT_S = 120
OWNED = "pods,services,statefulsets,deployments,replicasets,jobs,configmaps,endpointslices,controllerrevisions"
IMAGES = ("controller", "edgeNode", "taskGenerator", "trainer")

SMALL: dict[str, Any] = {
    "backend": "kubernetes",
    "seed": 3,
    "network": {
        "nodes": 2,
        "cores": {"choice": [8, 16]},
        "arrivalProbability": 0.8,
        "executionFailureRate": 0.2,
        "linkRateMBps": {"uniform": [20, 40]},
        "linkFailureRate": 0.03,
    },
    "workload": {
        "slotSeconds": 0.1,
        "slots": 10,
        "sizeKB": {"uniform": [100, 400]},
        "cyclesPerBit": {"uniform": [400, 800]},
        "deadlineSeconds": 0.5,
    },
    "methods": [{"name": "ratc", "policy": "ratc"}],
    "evaluation": {"episodes": 2},
}

LEARNED: list[dict[str, Any]] = [
    {
        "name": "o2o",
        "collect": {"policy": "ratc", "episodes": 3},
        "offline": {"algorithm": "sac-cql", "updates": 1500, "batchSlots": 8, "hidden": 8},
        "online": {"algorithm": "ppo", "episodes": 4, "episodesPerUpdate": 2, "hidden": 8},
    }
]


def experiment(name: str, **spec: Any) -> dict[str, Any]:
    """A small experiment with some of its specification changed."""
    content = {**copy.deepcopy(SMALL), **spec}
    return {"apiVersion": "edgebed.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": name}, "spec": content}


class Release:
    """One namespace with one release in it; a context manager."""

    def __init__(self, cluster: Cluster, folder: Path, **values: Any) -> None:
        """`values` go before those of the smallest shape."""
        self.namespace = f"e2e-{secrets.token_hex(4)}"
        self.cluster = replace(cluster, namespace=self.namespace)
        self.folder, self.values = folder, values
        self.installed_s = 0.0

    def __enter__(self) -> Self:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}})
        try:
            began = time.monotonic()
            self.upgrade()
            self.installed_s = time.monotonic() - began
        except BaseException:  # Ctrl-C as well: nobody else would take the namespace away
            print(self.troubles())
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # What comes next may measure: it is not to have these pods beside it.
        self.kubectl("delete", "namespace", self.namespace, "--timeout=90s")

    def upgrade(self, **values: Any) -> None:
        """Installs the release, or changes it."""
        file = self.folder / "values.yaml"
        images = {role: {"image": {"tag": "dev"}} for role in IMAGES}
        file.write_text(yaml.safe_dump({**images, "crds": {"install": False}, **self.values, **values}))
        files = [CHART / "values-minimal.yaml", file, *filter(None, [os.environ.get(VALUES)])]
        command = ["helm", "--kubeconfig", self.cluster.kubeconfig, "--namespace", self.namespace, "upgrade"]
        command += ["--install", NAME, str(CHART), "--wait", "--timeout", f"{LIMIT_S}s"]
        for one in files:
            command += ["--values", str(one)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S + 30, check=False)
        assert done.returncode == 0, done.stderr

    # What people do

    def kubectl(self, *arguments: str, given: str | None = None) -> Any:
        """As in `Cluster`."""
        return self.cluster.kubectl(*arguments, given=given)

    def apply(self, *items: dict[str, Any]) -> None:
        """`kubectl apply`."""
        self.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(items)).fine()

    def change(self, name: str, **spec: Any) -> None:
        """Of an experiment's specification."""
        self.kubectl("patch", "exp", name, "--type=merge", "-p", json.dumps({"spec": spec})).fine()

    def delete(self, name: str) -> None:
        """`kubectl delete`, which waits for the object alone."""
        self.kubectl("delete", "exp", name).fine()

    def status(self, name: str) -> dict[str, Any]:
        """Of an experiment; empty while it has none."""
        answer = self.kubectl("get", "exp", name, "-o", "json")
        return dict(json.loads(answer.out).get("status", {})) if answer.code == 0 else {}

    def ended(self, name: str, limit_s: float = 2 * LIMIT_S) -> dict[str, Any]:
        """Its status once it has succeeded; fails at once where it has failed."""
        self.until(lambda: self.status(name).get("phase") in ("Succeeded", "Failed"), limit_s, f"{name} has ended")
        status = self.status(name)
        assert status["phase"] == "Succeeded", f"{status}\n{self.troubles()}"
        return status

    def failed(self, name: str, limit_s: float = 2 * LIMIT_S) -> dict[str, Any]:
        """The condition with which it has failed."""
        self.until(lambda: self.status(name).get("phase") in ("Succeeded", "Failed"), limit_s, f"{name} has ended")
        found = next(c for c in self.status(name)["conditions"] if c["type"] == "Failed")
        assert found["status"] == "True", self.status(name)
        return dict(found)

    def until(self, is_so: Callable[[], object], limit_s: float = LIMIT_S, what: str = "") -> float:
        """Seconds until it was so."""
        began = time.monotonic()
        while not is_so():
            if time.monotonic() - began > limit_s:
                raise AssertionError(f"not within {limit_s} s: {what}\n{self.troubles()}")
            time.sleep(0.2)
        return time.monotonic() - began

    def every(self, kinds: str, name: str) -> list[dict[str, Any]]:
        """Objects of an experiment."""
        found = self.kubectl("get", kinds, "-l", f"edgebed.dev/experiment={name}", "-o", "json").json()["items"]
        return list(found)

    def pods(self, name: str) -> list[dict[str, Any]]:
        """Those of an experiment that are not going."""
        return [pod for pod in self.every("pods", name) if "deletionTimestamp" not in pod["metadata"]]

    def kill(self, pod: str) -> None:
        """Without a chance to drain."""
        self.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false").fine()

    # The controller

    def controllers(self) -> list[dict[str, Any]]:
        """Its pods; one, but for a moment."""
        return list(
            self.kubectl("get", "pods", "-l", "app.kubernetes.io/component=controller", "-o", "json").json()["items"]
        )

    def kill_controllers(self) -> list[str]:
        """Without a chance to drain; another one is made. The names of the pods that are gone."""
        selector = "app.kubernetes.io/component=controller"
        arguments = ("-l", selector, "--grace-period=0", "--force", "--wait=false", "-o", "name")
        return [name.removeprefix("pod/") for name in self.kubectl("delete", "pods", *arguments).fine().out.split()]

    def other_controller(self, gone: Collection[str]) -> None:
        """Waits until one serves whose pod is none of these."""
        others = lambda: [pod for pod in self.controllers() if pod["metadata"]["name"] not in gone]  # noqa: E731
        self.until(lambda: any(map(_is_ready, others())), what="another controller serves")

    @contextlib.contextmanager
    def controller(self) -> Iterator[httpx.Client]:
        """Its control API, by `kubectl port-forward` and with the token."""
        encoded = self.kubectl("get", "secret", f"{NAME}-edgebed-token", "-o", "jsonpath={.data.token}").fine().out
        headers = {"Authorization": f"Bearer {b64decode(encoded).decode()}"}
        command = ["kubectl", "--kubeconfig", self.cluster.kubeconfig, "--namespace", self.namespace]
        command += ["port-forward", f"service/{CONTROLLER}", ":8080"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as forward:
            try:
                assert forward.stdout is not None
                said = forward.stdout.readline()
                found = re.search(r"127\.0\.0\.1:(\d+)", said)
                assert found, said
                address = f"http://127.0.0.1:{found[1]}"
                with httpx.Client(base_url=address, headers=headers, timeout=20, trust_env=False) as client:
                    yield client
            finally:
                forward.terminate()

    def episodes(self, name: str) -> list[tuple[str, str, int, int, int]]:
        """Those of an experiment that count: run, phase, position, number, tasks in the log."""
        script = _EPISODES.replace("NAME", name)
        answer = self.kubectl("exec", f"deployment/{CONTROLLER}", "-c", "controller", "--", "python", "-c", script)
        return [
            (run, phase, int(position), int(number), int(tasks))
            for run, phase, position, number, tasks in answer.json()
        ]

    def troubles(self) -> str:
        """What people would look at."""
        parts = [
            self.kubectl("get", "pods,exp,pvc", "-o", "wide").out,
            self.kubectl("get", "events", "--sort-by=.lastTimestamp").out[-3000:],
            self.kubectl("logs", f"deployment/{CONTROLLER}", "--tail=40", "--timestamps").out,
            self.kubectl("logs", "-l", "edgebed.dev/experiment", "--tail=20", *_EACH).out,
        ]
        return "\n".join(parts)


def _is_ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


_EACH = ("--all-containers", "--prefix", "--timestamps", "--ignore-errors", "--max-log-requests=40")

_EPISODES = """
import json, os
from sqlalchemy import text
from edgebed.settings import read_settings
from edgebed.stores.task_log import TaskLogStore
settings = read_settings("controller", os.environ)
store = TaskLogStore(settings.task_log, password=settings.task_log_password)
query = text(
    "select run, phase, position, episode, (select count(*) from tasks where tasks.run = episodes.run and "
    "tasks.episode = episodes.episode) from episodes where run like 'NAME-%' and result is not null order by episode"
)
print(json.dumps([list(row) for row in store._read(lambda connection: connection.execute(query).all())]))
"""
"""Asked in the controller's pod, which knows where the log is."""


_WATCHED = 'jsonpath={.type}|{.object.status.phase}|{.object.status.run}{"\\n"}'


class Phases:
    """The phases of an experiment as `kubectl get --watch` shows them; a context manager."""

    def __init__(self, release: Release, name: str) -> None:
        self.now, self.run, self.gone = "", "", False
        self._changed = threading.Condition()
        command = ["kubectl", "--kubeconfig", release.cluster.kubeconfig, "--namespace", release.namespace]
        command += ["get", "exp", name, "--watch", "--output-watch-events", "-o", _WATCHED]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event, phase, run = line.rstrip("\n").split("|")
            with self._changed:
                self.now, self.run, self.gone = phase, run, event == "DELETED"
                self._changed.notify_all()

    def other_than(self, phases: Collection[str], limit_s: float = LIMIT_S) -> str:
        """The phase that it is in, once that is another than these."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.now and self.now not in phases, limit_s), self.now
            return self.now

    def reach(self, phase: str, limit_s: float = LIMIT_S) -> None:
        """Waits until it is in a phase."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.now == phase, limit_s), f"{phase} did not come: {self.now}"

    def last(self, limit_s: float = LIMIT_S) -> str:
        """The phase in which it was deleted, once it is gone."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.gone, limit_s), f"it is still there: {self.now}"
            return self.now
