"""The operator before a real API server: what it makes is accepted, kept, and gone when it should be."""

import contextlib
import json
import socket
import threading
import time
from pathlib import Path

import pytest

from edgebed.experiment.errors import UserError
from edgebed.operator import main, reconcile, shell
from edgebed.operator.access import login
from edgebed.operator.api import Api, Conflict
from edgebed.stores.artefacts import open_artefacts
from tests.cluster import need_cluster
from tests.e2e.operator_ground import Ground, installed, ready_status
from tests.unit.operator.world import LEARNED, experiment

OWNED = "configmaps,services,statefulsets,deployments,jobs,pods"


@pytest.fixture(scope="module")
def cluster():
    found = need_cluster()
    with installed(found):
        yield found


@pytest.fixture
def ground(cluster, tmp_path):
    found = Ground(cluster, tmp_path)
    found.open()
    yield found
    found.close()


@pytest.fixture
def operator(ground, monkeypatch):
    return ground.start(monkeypatch)


def applied(ground, name="quick", **spec):
    item = experiment(name=name, **spec)
    item["metadata"] = {"name": name}
    ground.apply(item)
    return ground.get("experiment", name)["metadata"]["uid"]


def run_of(name, uid):
    return f"{name}-{uid[:8]}"


def told(ground):
    """Events of the experiment, but for what a slow machine adds: its pods fit nowhere until the test says that they run."""
    return [reason for reason in ground.events("quick") if reason != "Unschedulable"]


def begun(ground, name="quick", pods=4, **spec):
    """An experiment that is at work, and the name of its run."""
    run = run_of(name, applied(ground, name, **spec))
    ground.run_pods(name, pods)
    ground.until(lambda: run in ground.runs.runs, what=ground.status(name))
    return run


def test_from_apply_to_success(ground, operator):
    run = begun(ground, pods=5, methods=LEARNED)
    assert ground.get("deployment", "quick-trainer")["spec"]["template"]["spec"]["containers"][0]["resources"][
        "limits"
    ] == {
        "memory": "2Gi",
        "nvidia.com/gpu": "1",
    }
    ground.runs.say(
        run,
        phase="network 1: online learning",
        episodesKnown=3,
        methods={"o2o": {"online": {"episodes": 3, "successRate": 0.5}}},
    )
    ground.until(lambda: ground.phase("quick") == "FineTuning")
    columns = ground.kubectl("get", "experiments", "quick").fine().out.split("\n")[1].split()
    assert columns[:5] == ["quick", "FineTuning", "12", "%", "o2o"]
    rate = {"mean": 0.9, "ci95": [0.8, 1.0]}
    ground.runs.say(run, state="finished", artefact="results/1", results={"methods": {"o2o": {"successRate": rate}}})
    ground.kubectl("wait", "--for=condition=Succeeded", "exp/quick", "--timeout=60s").fine()
    assert ground.status("quick")["methods"] == [{"name": "o2o", "successRate": 0.9, "ci95": [0.8, 1]}]
    ground.until(lambda: not ground.pods("quick"), what="its pods go")
    assert sorted(told(ground)) == ["Started", "Succeeded"]
    assert ground.kubectl("get", "exp", "quick", "-o", "jsonpath={.metadata.finalizers}{.metadata.annotations}").fine()


def test_another_step_is_told_at_once(ground, monkeypatch):
    """And not when the run is looked at again, which here it never is: a short step would be over by then."""
    monkeypatch.setattr(reconcile, "MIRROR_S", 3600.0)
    monkeypatch.setattr(shell, "RESYNC_S", 3600.0)
    ground.start(monkeypatch)
    run = begun(ground)
    ground.until(lambda: ground.phase("quick") == "Deploying", what=ground.status("quick"))
    time.sleep(1)  # the look that its own status has caused is over
    for label, phase in (("network 1: evaluating ratc", "Evaluating"), ("writing results and report", "Reporting")):
        ground.runs.say(run, phase=label)
        ground.until(lambda phase=phase: ground.phase("quick") == phase, what=ground.status("quick"))
    ground.runs.say(run, state="finished", artefact=f"results/{run}", results={})
    ground.until(lambda: ground.phase("quick") == "Succeeded", what=ground.status("quick"))


def test_what_is_as_it_should_be_is_left_alone(ground, operator, monkeypatch):
    """The API server's defaults are no changes, and no object is written again and again."""
    monkeypatch.setattr(shell, "OLD_S", 0.5)
    begun(ground, pods=5, methods=LEARNED)
    time.sleep(2)
    versions = lambda: {  # noqa: E731
        (item["kind"], item["metadata"]["name"]): item["metadata"]["resourceVersion"]
        for item in ground.every("configmaps,services,statefulsets,deployments")
    }
    before = versions()
    assert len(before) == 5
    status = ground.status("quick")
    time.sleep(6)
    assert versions() == before
    assert ground.status("quick") == status
    assert ground.kubectl(
        "get", "exp", "quick", "-o", "jsonpath={.metadata.managedFields[*].manager}"
    ).fine().out.split() == [
        "kubectl-client-side-apply",
        "edgebed-operator",
    ]


def test_a_simulation_is_a_job_and_its_results_are_in_the_status(ground, operator):
    uid = applied(ground, backend="simulator")
    ground.until(lambda: ground.pods("quick"), what="a pod")
    [pod] = ground.pods("quick")
    ground.says(pod["metadata"]["name"], ready_status())
    ground.until(lambda: ground.status("quick").get("startedAt"), what="it is at work")
    methods = {"ratc": {"successRate": {"mean": 0.75, "ci95": [0.7, 0.8]}}}
    store = open_artefacts(f"file:{ground.folder / 'artefacts'}")
    store.publish(f"results/{run_of('quick', uid)}", {"results.json": json.dumps({"methods": methods}).encode()}, {})
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": None, "finishedAt": None}
    containers = [{"name": "simulator", "image": "i", "imageID": "i", "ready": False, "restartCount": 0}]
    containers[0]["state"] = {"terminated": ended}
    ground.says(pod["metadata"]["name"], {"phase": "Succeeded", "containerStatuses": containers})
    ground.kubectl("wait", "--for=condition=Succeeded", "exp/quick", "--timeout=60s").fine()
    assert ground.status("quick")["successRate"] == "75.0 %"
    run = run_of("quick", uid)
    assert set(ground.runs.adopted) == {(run, f"results/{run}")}


@pytest.mark.parametrize("phase", ["Starting", "Deploying", "Suspended", "Succeeded", "Failed"])
def test_deleted_in_any_phase_nothing_is_left_and_others_go_on(ground, operator, phase):
    beside = begun(ground, "beside")
    uids = {item["metadata"]["uid"] for item in ground.every(OWNED)}
    run = run_of("quick", applied(ground))
    if phase != "Starting":
        ground.run_pods("quick", 4)
        ground.until(lambda: run in ground.runs.runs)
    if phase == "Suspended":
        ground.kubectl("patch", "exp", "quick", "--type=merge", "-p", '{"spec":{"suspend":true}}').fine()
    if phase in ("Succeeded", "Failed"):
        ground.runs.say(run, state="finished" if phase == "Succeeded" else "failed", reason="lost", results={})
    ground.until(lambda: ground.phase("quick") == phase, what=ground.status("quick"))
    ground.kubectl("delete", "exp", "quick", "--wait=false").fine()
    took_s = ground.until(lambda: not ground.every(OWNED, "edgebed.dev/experiment=quick"), 30, "all is gone")
    print(f"gone after {took_s:.1f} s")
    ground.until(lambda: run not in ground.runs.runs, 30, "the run is forgotten")
    assert ground.runs.runs[beside]["state"] == "running"
    assert uids == {item["metadata"]["uid"] for item in ground.every(OWNED)}


def test_applied_anew_at_once_it_is_another_run(ground, operator):
    first = begun(ground)
    ground.kubectl("delete", "exp", "quick").fine()
    second = run_of("quick", applied(ground))
    ground.until(lambda: first in ground.runs.forgotten, what="the first is forgotten")
    uid = ground.get("experiment", "quick")["metadata"]["uid"]
    own = f"edgebed.dev/experiment-uid={uid}"
    ground.until(
        lambda: len(ground.every("pods", own)) == 4 == len(ground.pods("quick")), what="pods of the second alone"
    )
    assert second not in ground.runs.runs
    ground.run_pods("quick", 4)
    ground.until(lambda: second in ground.runs.runs, what=ground.status("quick"))
    for item in ground.every(OWNED):
        assert item["metadata"]["labels"]["edgebed.dev/experiment-uid"] == uid


@pytest.mark.parametrize("kind", ["configmap", "service", "statefulset", "deployment"])
def test_what_is_changed_or_deleted_by_hand_is_brought_back(ground, operator, kind):
    run = begun(ground)
    name = {"configmap": "quick-document", "deployment": "quick-generator"}.get(kind, "quick-node")
    before = ground.get(kind, name)
    ground.delete_and_see_anew(kind, name, "--cascade=orphan")
    changes: dict[str, dict[str, dict[str, object]]] = {
        "configmap": {"data": {"experiment.yaml": "mine"}},
        "service": {"spec": {"publishNotReadyAddresses": False}},
        "statefulset": {"spec": {"replicas": 1}},
        "deployment": {"spec": {"replicas": 3}},
    }
    changed = changes[kind]
    ground.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(changed)).fine()
    [(part, fields)] = changed.items()
    kept = lambda item: {key: item[part].get(key) for key in fields}  # noqa: E731
    ground.until(lambda: kept(ground.get(kind, name)) == kept(before), 15, "it is as before")
    ground.until(lambda: {"Recreated", "Repaired"} <= set(ground.events("quick")), 15, "people are told")
    assert ground.runs.submitted[-1][0] == run


def test_another_process_goes_on_and_makes_nothing_twice(ground, operator, monkeypatch):
    run = begun(ground)
    uids = {item["metadata"]["uid"] for item in ground.every(OWNED)}
    operator.close()
    again = ground.start(monkeypatch)
    ground.until(lambda: len(ground.runs.submitted) == 2, what="it is handed over again")
    assert ground.runs.submitted[0] == ground.runs.submitted[1]
    assert uids == {item["metadata"]["uid"] for item in ground.every(OWNED)}
    ground.runs.say(run, state="finished", results={})
    ground.kubectl("wait", "--for=condition=Succeeded", "exp/quick", "--timeout=60s").fine()
    assert again.problems() == []


def test_what_was_deleted_while_nobody_looked_is_forgotten(ground, operator, monkeypatch):
    run = begun(ground)
    operator.close()
    ground.kubectl("delete", "exp", "quick").fine()
    ground.start(monkeypatch)
    ground.until(lambda: run in ground.runs.forgotten, what="the run is forgotten")


def test_suspended_and_going_on(ground, operator):
    run = begun(ground)
    ground.kubectl("patch", "exp", "quick", "--type=merge", "-p", '{"spec":{"suspend":true}}').fine()
    ground.until(lambda: not ground.pods("quick"), what="its pods go")
    assert ground.runs.stopped == [run]
    ground.until(lambda: "has no pods" in ground.condition("quick", "Ready").get("message", ""))
    ground.kubectl("patch", "exp", "quick", "--type=merge", "-p", '{"spec":{"suspend":false}}').fine()
    ground.run_pods("quick", 4)
    ground.until(lambda: ground.runs.runs[run]["state"] == "running", what=ground.status("quick"))
    assert set(told(ground)) == {"Started", "Suspended"}


def test_a_status_is_never_written_to_another_of_the_same_name(ground, operator):
    """Which exists when an experiment is deleted and applied again between a look and its end."""
    applied(ground)
    first = ground.get("experiment", "quick")
    ground.kubectl("delete", "exp", "quick").fine()
    applied(ground)
    ground.until(lambda: ground.phase("quick") == "Starting")
    api = Api(login, ground.namespace)
    try:
        looked_at = {"resourceVersion": first["metadata"]["resourceVersion"]}
        with pytest.raises(Conflict):
            api.patch("Experiment", "quick", {"metadata": looked_at, "status": {"phase": "Failed"}}, "status")
        api.delete("StatefulSet", "quick-node", "another")
    finally:
        api.close()
    assert ground.get("statefulset", "quick-node") is not None
    assert ground.phase("quick") == "Starting"


def test_after_its_time_it_goes(ground, operator):
    run = begun(ground, ttlSecondsAfterFinished=3)
    ground.runs.say(run, state="finished", results={})
    ground.until(lambda: ground.get("experiment", "quick") is None, 30, "it is gone")
    ground.until(lambda: not ground.every(OWNED), 30, "and all that it owned")


def test_why_pods_do_not_start_is_said_within_15_seconds(ground, operator):
    applied(ground)
    ground.until(lambda: len(ground.pods("quick")) == 4)
    message = 'Back-off pulling image "edgebed.invalid/none:1": ErrImagePull: no such host'
    state = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
    container = {
        "name": "edge-node",
        "image": "edgebed.invalid/none:1",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
    }
    ground.says("quick-node-1", {"phase": "Pending", "containerStatuses": [{**container, "state": state}]})
    took_s = ground.until(lambda: ground.condition("quick", "Ready").get("reason") == "ImagePullBackOff", 15)
    print(f"said after {took_s:.1f} s")
    assert ground.condition("quick", "Ready")["message"].startswith(
        "pod quick-node-1 cannot pull image edgebed.invalid/none:1: no such host"
    )
    ground.until(lambda: "ImagePullBackOff" in ground.events("quick"), 15)
    ended = {"exitCode": 3, "reason": "Error", "message": "loading\ncannot reach http://controller:8080\n"}
    container |= {
        "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": ended},
    }
    ground.says("quick-node-1", {"phase": "Running", "containerStatuses": [container]})
    ground.until(lambda: ground.condition("quick", "Ready")["reason"] == "CrashLoopBackOff", 15)
    assert (
        "ended with exit status 3: cannot reach http://controller:8080" in ground.condition("quick", "Ready")["message"]
    )


def test_pods_that_may_not_be_made_are_explained(ground, operator):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    ground.apply(quota)
    ground.until(lambda: "used" in ground.get("resourcequota", "none").get("status", {}))
    applied(ground)
    ground.until(lambda: "exceeded quota: none" in ground.condition("quick", "Ready").get("message", ""), 15)
    assert ground.condition("quick", "Ready")["reason"] == "FailedCreate"


def test_objects_that_may_not_be_made_are_explained(ground, operator):
    hard = {"count/statefulsets.apps": "0"}
    ground.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-sets"}, "spec": {"hard": hard}})
    ground.until(lambda: "used" in ground.get("resourcequota", "no-sets").get("status", {}))
    applied(ground, startDeadlineSeconds=5)
    ground.until(lambda: ground.condition("quick", "Ready").get("reason") == "ObjectRefused", 15)
    ground.until(lambda: ground.phase("quick") == "Failed", 15)
    assert "StatefulSet quick-node is refused" in ground.condition("quick", "Failed")["message"]


def test_what_belongs_to_somebody_else_stays_as_it_is(ground, operator):
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "quick-node"},
        "spec": {"ports": [{"port": 80}]},
    }
    ground.apply(service)
    before = ground.get("service", "quick-node")
    applied(ground)
    ground.until(lambda: ground.condition("quick", "Ready").get("reason") == "NameTaken", 15)
    assert ground.get("service", "quick-node") == before


def test_a_document_that_the_controller_refuses_fails_with_its_words(ground, operator):
    from edgebed.experiment.errors import Problem

    ground.runs.refuses = UserError(Problem("spec.methods[0].policy", "'ratk' is not an installed policy", "give ratc"))
    applied(ground)
    ground.run_pods("quick", 4)
    ground.until(lambda: ground.phase("quick") == "Failed", what=ground.status("quick"))
    assert "ratk" in ground.condition("quick", "Failed")["message"]


def test_other_settings_are_read_without_a_restart(ground, operator):
    applied(ground)
    ground.until(lambda: ground.get("statefulset", "quick-node"))
    ground.write_settings(controller="http://elsewhere:8080")
    text = lambda: json.dumps(ground.get("statefulset", "quick-node"))  # noqa: E731
    ground.until(lambda: "http://elsewhere:8080" in text(), 30)
    Path(ground.folder / "operator.yaml").write_text("nonsense: true")
    time.sleep(1)
    ground.delete_and_see_anew("statefulset", "quick-node", limit_s=30)
    assert "http://elsewhere:8080" in text()


class Wire:
    """A way to the API server that can be cut without anybody being told, as a lost machine would."""

    def __init__(self, server):
        host, _, port = server.removeprefix("https://").rpartition(":")
        self.target = host, int(port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        self.frozen, self.connections = threading.Event(), []
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self):
        """Nothing goes through the connections that there are; new ones work."""
        self.frozen.set()
        self.frozen = threading.Event()

    def close(self):
        self.frozen.set()
        for one in (self.listener, *self.connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.target)
            self.connections += [near, far]
            frozen = self.frozen
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(one, other, frozen), daemon=True).start()

    @staticmethod
    def _pass_on(one, other, frozen):
        try:
            while data := one.recv(65536):
                if frozen.is_set():
                    return  # and the socket stays open
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass


# What is cut off cannot say goodbye, and asyncio says so.
lost_connections = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@lost_connections
def test_a_watch_that_is_dead_is_noticed_and_started_again(ground, monkeypatch):
    monkeypatch.setattr(shell, "RESYNC_S", 3.0)
    monkeypatch.setattr(main, "RESYNC_S", 3.0)
    monkeypatch.setattr(main, "RESTART_S", 4.0)
    wire = Wire(ground.server)
    ground.through(wire.address)
    operator = ground.start(monkeypatch)
    try:
        applied(ground, "before")
        ground.until(lambda: ground.phase("before") == "Starting")
        wire.freeze()
        applied(ground, "after")
        took_s = ground.until(lambda: ground.phase("after") == "Starting", 40, "the listing finds it")
        print(f"found after {took_s:.1f} s")
        assert operator.problems() == []
        ground.until(lambda: operator.watches > 1 and operator.silent_s() == 0, 60, "the watch is started again")
        applied(ground, "then")
        took_s = ground.until(lambda: ground.phase("then") == "Starting", 20)
        print(f"then heard after {took_s:.1f} s")
    finally:
        wire.close()


@lost_connections
def test_an_api_server_that_is_away_is_no_reason_to_end(ground, monkeypatch):
    wire = Wire(ground.server)
    ground.through(wire.address)
    operator = ground.start(monkeypatch)
    monkeypatch.setattr(main, "DEAD_S", 2.0)
    begun(ground)
    wire.close()
    time.sleep(8)
    assert operator.problems() == []
