"""The chart on a real cluster: installed, tested, upgraded, rolled back, uninstalled and installed again, in two shapes.

The namespace enforces the restricted Pod Security Standard. EDGEBED_TEST_VALUES names a file of values for clusters that cannot
pull the servers' official images: `mysql: {image: {...}}` and so on.
"""

import contextlib
import json
import os
import re
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.cluster import need_cluster
from tests.e2e.operator_ground import installed
from tests.e2e.release import CHART, IMAGES, LEARNED, NAME, VALUES, Release, experiment

FULL = f"{NAME}-edgebed"
MINE = f"app.kubernetes.io/instance={NAME}"
EVERYTHING = "all,configmaps,secrets,pvc,serviceaccounts,roles,rolebindings,networkpolicies,statefulsets"
SERVERS = ("mysql", "namenode", "datanode", "nacos")
LIMIT_S = 600
PATIENT = {"test": {"timeoutSeconds": 580}}
"""On machines that are busy."""


class Chart(Release):
    """A release in a shape of the chart, of which the test says when it comes and goes."""

    def __init__(self, cluster: Any, folder: Path, *files: Path) -> None:
        """`files` are values of the shape; without one it is the default."""
        super().__init__(cluster, folder)
        self.files = files
        self.notes = ""

    def helm(self, *arguments: str, fine: bool = True) -> str:
        """What Helm says; it never waits for ever."""
        command = ["helm", "--kubeconfig", self.cluster.kubeconfig, "--namespace", self.namespace, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S + 30, check=False)
        said = done.stdout + done.stderr
        assert (done.returncode == 0) == fine, f"{said}\n{self.troubles()}"
        return said

    def upgrade(self, **values: Any) -> None:
        """Installs the release, or changes it: these values, and the defaults for all others."""
        file = self.folder / "values.yaml"
        file.write_text(yaml.safe_dump({**{role: {"image": {"tag": "dev"}} for role in IMAGES}, **PATIENT, **values}))
        others = [Path(os.environ[VALUES])] if VALUES in os.environ else []
        given = [part for one in (*self.files, file, *others) for part in ("--values", str(one))]
        self.notes = self.helm("upgrade", "--install", NAME, str(CHART), "--wait", "--timeout", f"{LIMIT_S}s", *given)

    def of_release(self, kinds: str = EVERYTHING) -> set[str]:
        """Kind and name of everything that the release has in the namespace."""
        found = self.kubectl("get", kinds, "-l", MINE, "-o", "json").json()["items"]
        return {f"{item['kind']} {item['metadata']['name']}" for item in found}

    def secret(self, name: str, key: str) -> str:
        """A password."""
        return b64decode(
            self.kubectl("get", "secret", f"{FULL}-{name}", "-o", f"jsonpath={{.data.{key}}}").fine().out
        ).decode()

    @contextlib.contextmanager
    def forward(self, service: str, port: int) -> Iterator[httpx.Client]:
        """A Service, as `kubectl port-forward` brings it here."""
        command = ["kubectl", "--kubeconfig", self.cluster.kubeconfig, "--namespace", self.namespace]
        command += ["port-forward", f"service/{FULL}-{service}", f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                assert process.stdout is not None
                found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
                assert found
                with httpx.Client(base_url=f"http://127.0.0.1:{found[1]}", timeout=20, trust_env=False) as client:
                    yield client
            finally:
                process.terminate()

    def results(self, name: str) -> Any:
        """The results of an experiment, as the controller serves them."""
        with self.controller() as client:
            answer = client.get(f"/v1/experiments/{self.status(name)['run']}/files/results.json")
            assert answer.status_code == 200, answer.text
            return answer.json()


@pytest.fixture(scope="module")
def cluster():
    found = need_cluster()
    with installed(found):
        yield found


@pytest.fixture(scope="module")
def small(cluster, tmp_path_factory):
    with Chart(cluster, tmp_path_factory.mktemp("small"), CHART / "values-minimal.yaml") as release:
        print(f"the smallest shape serves after {release.installed_s:.1f} s")
        yield release


@pytest.fixture(scope="module")
def whole(cluster, tmp_path_factory):
    with Chart(cluster, tmp_path_factory.mktemp("whole")) as release:
        print(f"the shape with all servers serves after {release.installed_s:.1f} s")
        yield release


def pods_of_run(release, name):
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in release.pods(name)}


def tried(release):
    """`helm test`, and that it leaves nothing behind."""
    before = release.of_release()
    began = time.monotonic()
    said = release.helm("test", NAME, "--timeout", f"{LIMIT_S}s")
    print(f"helm test took {time.monotonic() - began:.1f} s")
    assert "the controller answers" in said
    for backend in ("kubernetes", "simulator"):
        assert re.search(rf"{FULL}-test-{backend}: Succeeded", said), said
    release.until(lambda: release.of_release() == before, 60, "what was tested with is gone")
    assert release.kubectl("get", "experiments", "-l", MINE, "-o", "name").fine().out == ""


def test_notes_tell_commands_that_work(small):
    """Those that ask for something are given to a shell as they are."""
    commands = [line.strip() for line in small.notes.splitlines() if line.startswith("  kubectl ")]
    assert [command.split()[3] for command in commands] == ["rollout", "apply", "get", "port-forward", "get"]
    rollout, _, _, _, token = commands
    environment = {**os.environ, "KUBECONFIG": small.cluster.kubeconfig}
    said = [
        subprocess.run(
            ["sh", "-c", line], env=environment, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        for line in (rollout, token)
    ]
    assert "successfully rolled out" in said[0]
    with small.forward("controller", 8080) as client:
        assert client.get("/").status_code == 200
        assert client.get("/v1/experiments").status_code == 401
        assert client.get("/v1/experiments", headers={"Authorization": f"Bearer {said[1]}"}).status_code == 200


def test_helm_test_passes_in_the_smallest_shape(small):
    tried(small)


def test_a_second_release_in_the_namespace_is_refused(small):
    """Two controllers would both look after every experiment."""
    said = small.helm("install", "other", str(CHART), "--values", str(CHART / "values-minimal.yaml"), fine=False)
    assert "has a controller already" in said


def test_experiments_and_data_outlive_upgrade_rollback_and_uninstall(small):
    """A run goes on while its controller is replaced; what is finished can be read after every step."""
    small.apply(experiment("before", backend="simulator", evaluation={"episodes": 20}))
    small.ended("before")
    results, token = small.results("before"), small.secret("token", "token")
    first = max(one["revision"] for one in json.loads(small.helm("history", NAME, "-o", "json")))

    small.apply(experiment("through", evaluation={"episodes": 16}))
    small.until(lambda: small.status("through").get("episodes", {}).get("played", 0) >= 2, what="it plays")
    pods = pods_of_run(small, "through")
    [controller] = small.controllers()
    small.upgrade(
        controller={"image": {"tag": "dev"}, "logLevel": "debug"},
        edgeNode={"image": {"tag": "dev"}, "env": {"NEW": "1"}},
    )
    assert small.controllers()[0]["metadata"]["uid"] != controller["metadata"]["uid"]
    assert pods_of_run(small, "through") == pods, "a run at work keeps its pods"
    small.ended("through")
    assert (small.results("before"), small.secret("token", "token")) == (results, token)

    small.apply(experiment("after", evaluation={"episodes": 2}))
    small.until(lambda: small.pods("after"), what="its pods")
    assert any(one["name"] == "NEW" for pod in small.pods("after") for one in pod["spec"]["containers"][0]["env"])
    small.ended("after")

    small.helm("rollback", NAME, str(first), "--wait", "--timeout", f"{LIMIT_S}s")
    assert (small.results("before"), small.secret("token", "token")) == (results, token)
    assert small.results("through")["methods"]
    small.apply(experiment("back", evaluation={"episodes": 2}))
    small.ended("back")

    small.helm("uninstall", NAME, "--wait", "--timeout", "120s")
    kept = {"PersistentVolumeClaim", "Secret"}
    # Helm waits for what it made; the pods that follow from it may still be ending.
    small.until(lambda: "Pod" not in {item.split()[0] for item in small.of_release()}, 60, "its pods are gone")
    assert {item.split()[0] for item in small.of_release()} == kept
    assert small.kubectl("get", "crd", "experiments.edgebed.dev").code == 0
    assert small.status("before")["phase"] == "Succeeded"

    small.upgrade()
    assert (small.results("before"), small.secret("token", "token")) == (results, token)
    small.apply(experiment("again", evaluation={"episodes": 2}))
    small.ended("again")


def test_nothing_is_left_where_nothing_shall_be_kept(small):
    """Experiments first: their pods are theirs, not the release's."""
    small.upgrade(keepData=False)
    small.kubectl("delete", "experiments", "--all", "--timeout=60s").fine()
    small.helm("uninstall", NAME, "--wait", "--timeout", "120s")
    small.until(lambda: not small.of_release(), 60, f"nothing is left: {small.of_release()}")
    left = small.kubectl("get", "pods,statefulsets,jobs,pvc,secrets", "-o", "name").fine().out
    assert left == ""
    small.upgrade()


@pytest.mark.alone
def test_every_server_is_used(whole):
    """An experiment that learns: tasks are in MySQL, artefacts in HDFS, services in Nacos, metrics in Prometheus."""
    whole.apply(experiment("learned", methods=LEARNED))
    whole.until(lambda: whole.pods("learned"), what="its pods")
    found: dict[str, set[str]] = {}

    def scraped() -> bool:
        with whole.forward("prometheus", 9090) as client:
            answer = client.get("/api/v1/query", params={"query": "up == 1"}).json()["data"]["result"]
            found["pods"] = {one["metric"]["instance"] for one in answer}
        return len(found["pods"]) == len(whole.pods("learned")) + 1

    whole.until(scraped, 60, f"all are scraped: {found}")
    whole.ended("learned", 300)
    assert len(whole.episodes("learned")) == 3 + 4 + 2
    with whole.forward("prometheus", 9090) as client:
        rules = client.get("/api/v1/rules").json()["data"]["groups"]
        assert len(rules) == len(list((CHART / "alerts").glob("*.yaml")))
        query = {"query": 'edgebed_experiment_method_episodes{experiment="learned"}'}
        assert client.get("/api/v1/query", params=query).json()["data"]["result"]
    settings = whole.kubectl("get", "configmap", f"{FULL}-settings", "-o", "json").json()["data"]
    assert settings["EDGEBED_ARTEFACTS"].startswith("webhdfs://")
    assert settings["EDGEBED_COORDINATION"].startswith("nacos://")
    doctor = whole.kubectl("exec", f"deployment/{FULL}-controller", "--", "edgebed", "doctor", "--json").fine()
    findings = json.loads(doctor.out)
    servers = {
        one["what"]: one["verdict"] for one in findings if one["what"] in ("task log", "artefacts", "coordination")
    }
    assert servers == dict.fromkeys(("task log", "artefacts", "coordination"), "well"), findings


@pytest.mark.alone
def test_helm_test_passes_with_all_servers(whole):
    tried(whole)


@pytest.mark.alone
def test_servers_come_back_with_their_data(whole):
    """Every server is started again, and the release upgraded: passwords and data stay, and the next experiment works."""
    whole.apply(experiment("kept", evaluation={"episodes": 3}))
    whole.ended("kept")
    results, episodes = whole.results("kept"), whole.episodes("kept")
    passwords = {name: whole.secret(name, key) for name, key in (("mysql", "password"), ("token", "token"))}
    for server in SERVERS:
        whole.kubectl("rollout", "restart", f"statefulset/{FULL}-{server}").fine()
    for server in SERVERS:
        whole.kubectl("rollout", "status", f"statefulset/{FULL}-{server}", "--timeout=110s").fine()
    whole.upgrade(controller={"image": {"tag": "dev"}, "logLevel": "debug"})
    assert {name: whole.secret(name, key) for name, key in (("mysql", "password"), ("token", "token"))} == passwords
    assert whole.results("kept") == results
    assert whole.episodes("kept") == episodes
    whole.apply(experiment("next", methods=LEARNED))
    whole.ended("next", 300)


def test_no_container_was_started_again_by_itself(whole):
    for pod in whole.kubectl("get", "pods", "-l", MINE, "-o", "json").json()["items"]:
        for container in pod["status"]["containerStatuses"]:
            assert container["restartCount"] == 0, (pod["metadata"]["name"], container)
