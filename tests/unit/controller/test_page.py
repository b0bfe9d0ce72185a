"""What the page needs of the controller: its own files, files of runs, documents as YAML, news of all that run."""

import json
import re
import threading
import time
from importlib import resources

import httpx
import pytest
import yaml

from edgebed.controller.api import Told
from edgebed.controller.page.routes import FILES, OPEN_PATHS
from edgebed.controller.status import FOUND_S, Status, remaining_s
from edgebed.runner.ground import Request
from edgebed.stores.task_log import EpisodeRow
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Horizon
from tests.unit.controller.test_experiments import document
from tests.unit.controller.world import SMALL

LARGEST_BYTES = 60_000
LIMIT_S = 240
"""Until an experiment has ended, on a machine with much else to do."""
NO_EPISODE = {"methods": [{"name": "near", "policy": "local"}], "evaluation": {"episodes": 1}}


@pytest.fixture
def client(world):
    with httpx.Client(base_url=world.controller.address, timeout=20) as client:
        yield client


def wait(client, name, *states):
    """The experiment once it is in one of the states."""
    until = time.monotonic() + LIMIT_S
    while (found := client.get(f"/v1/experiments/{name}").json())["state"] not in states:
        assert time.monotonic() < until, found
        time.sleep(0.05)
    return found


@pytest.fixture
def finished(world, client):
    """The folder of an experiment that has finished, with things in it that are nobody's business."""
    client.post("/v1/experiments", json=document(**NO_EPISODE))
    assert wait(client, "small", "finished", "failed")["state"] == "finished"
    folder = world.folder / "runs" / "small"
    (folder / "testbed").mkdir()
    (folder / "testbed" / "services.log").write_text("secret")
    (folder / "figures" / ".hidden.svg").write_text("secret")
    (folder / "figures" / "link.svg").symlink_to(world.folder / "tasks.db")
    return folder


def test_every_file_of_the_page_is_served_with_a_policy_that_forbids_inline_scripts(client):
    there = {path.name for path in resources.files("edgebed.controller.page").iterdir() if path.is_file()}
    assert there - {"__init__.py", "routes.py"} == FILES.keys()
    total = 0
    for path in OPEN_PATHS:
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == FILES[path.removeprefix("/page/").removeprefix("/") or "index.html"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy.get("script-src", "'self'") == "'self'"
        total += len(answer.content)
    assert total < LARGEST_BYTES
    assert "style-src 'self';" in client.get("/").headers["content-security-policy"]
    assert client.get("/page/nothing.js").status_code == 404
    assert client.get("/page/routes.py").status_code == 404


def test_no_file_of_the_page_loads_anything_from_elsewhere_or_makes_html_of_text():
    for name in FILES:
        text = resources.files("edgebed.controller.page").joinpath(name).read_text()
        elsewhere = set(re.findall(r"""https?://[^"'\s]*""", text)) - {
            "http://www.w3.org/2000/svg"
        }  # the name of a language
        assert not elsewhere, name
        for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " onclick="):
            assert sink not in text, (name, sink)


def test_the_report_and_the_files_for_people_are_served_and_nothing_else(client, finished):
    report = client.get("/v1/experiments/small/report")
    assert report.content == (finished / "report.html").read_bytes()
    assert report.headers["content-type"] == "text/html; charset=utf-8"
    policy = report.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "script-src" not in policy.replace("default-src 'none'", "")
    listed = client.get("/v1/experiments/small/files").json()["files"]
    names = {one["name"] for one in listed}
    assert {"report.html", "results.json", "experiment.yaml", "figures/comparison.svg"} <= names
    kinds = {"json": "application/json", "yaml": "application/yaml", "svg": "image/svg+xml", "png": "image/png"}
    for one in listed:
        answer = client.get(f"/v1/experiments/small/files/{one['name']}")
        assert answer.content == (finished / one["name"]).read_bytes()
        assert len(answer.content) == one["bytes"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        kind = one["name"].rpartition(".")[2]
        assert answer.headers["content-type"] == kinds.get(kind, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "controller.json",
        "live.json",
        "testbed/services.log",
        "figures/.hidden.svg",
        "figures/link.svg",
        "figures",
        "",
        "../../tasks.db",
        "figures/../controller.json",
        "..%2F..%2Ftasks.db",
        "%2Fetc%2Fpasswd",
        "figures%00.svg",
    ],
)
def test_what_is_not_for_people_has_no_name(client, finished, path):
    raw = client.build_request("GET", "/").url.copy_with(raw_path=f"/v1/experiments/small/files/{path}".encode())
    answer = client.send(client.build_request("GET", raw))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_a_report_that_is_not_there_yet_is_a_problem(world, client):
    world.coordinator.deregister("edge-node", "node-2")
    client.post("/v1/experiments", json=document())
    answer = client.get("/v1/experiments/small/report")
    assert answer.status_code == 404
    assert "when it has finished" in answer.json()["detail"]
    assert client.get("/v1/experiments/none/report").status_code == 404
    assert client.get("/v1/experiments/none/files").status_code == 404


def test_yaml_is_taken_like_json(client):
    for kind in ("application/yaml", "text/yaml; charset=utf-8"):
        text = yaml.safe_dump(document(**NO_EPISODE))
        answer = client.post("/v1/experiments", content=text, headers={"Content-Type": kind})
        assert answer.status_code == 202, answer.text
        assert answer.json()["name"] == "small"
    assert wait(client, "small", "finished", "failed")["state"] == "finished"


WRONG = """apiVersion: edgebed.dev/v1alpha1
kind: Experiment
metadata: {name: wrong}
spec:
  backend: processes
  seed: 3
  seed: 4
  replicates: 0
  network: {nodes: 3, cores: 8, arrivalProbability: 0.8, executionFailureRate: 0.2, linkRateMBps: 20, linkFailureRate: 0}
  workload:
    slotSeconds: 0.05
    slots: 10
    sizeKB: 200
    cyclesPerBit: 500
    deadlineSeconds: 0.4
  methods:
    - {name: ratc, policy: ratc}
    - name: fast
      policy: {kind: ratc, speed: 3}
"""


def post_yaml(client, text):
    return client.post("/v1/experiments", content=text, headers={"Content-Type": "application/yaml"})


def test_everything_that_is_wrong_with_yaml_is_named_with_its_line(client):
    """What YAML forbids and what the specification forbids at once; then what only the controller knows."""
    answer = post_yaml(client, WRONG)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    found = {(one["line"], one["path"]): one for one in answer.json()["problems"]}
    assert set(found) == {(7, "spec.seed"), (8, "spec.replicates")}
    assert found[8, "spec.replicates"] == {
        "line": 8,
        "path": "spec.replicates",
        "found": "0 is not allowed",
        "remedy": "give a number of at least 1",
    }
    assert "spec.replicates: 0 is not allowed; give a number of at least 1" in answer.json()["detail"]
    better = WRONG.replace("  seed: 4\n", "").replace("replicates: 0", "replicates: 1")
    (one,) = post_yaml(client, better).json()["problems"]
    assert (one["line"], one["path"]) == (18, "spec.methods[1].policy")
    assert "speed" in one["found"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"a: [", "application/yaml", 422, "not valid YAML"),
        (b"\xff\xfe", "application/yaml", 422, "is not text"),
        (b"", "application/yaml", 422, "empty"),
        (b"- 1", "application/yaml", 422, "is not an experiment"),
        (b"{", "application/json", 422, "is not JSON"),
        (b"[" * 100_000, "application/json", 422, "nested too deeply"),
        (b"1", "application/json", 422, "is not an experiment"),
        (b"{}", "text/plain", 415, "send application/json or application/yaml"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "send application/json or application/yaml"),
        (b"{}", None, 415, "not given"),
    ],
)
def test_a_body_that_is_no_document_is_refused(client, body, kind, status, said):
    headers = {} if kind is None else {"Content-Type": kind}
    answer = client.post("/v1/experiments", content=body, headers=headers)
    assert answer.status_code == status
    assert said in answer.json()["detail"]
    assert client.get("/v1/experiments").json() == {"experiments": []}


def test_a_listener_hears_of_every_experiment_that_runs_and_how_each_ends(world, client):
    """Two of them one after the other: the end of the first is told although the second is the last one by then."""
    told = Told()
    client.post("/v1/experiments", json=document(**NO_EPISODE))
    (first,) = (json.loads(text) for text in told.news(world.experiments))
    assert (first["name"], first["state"]) == ("small", "running")
    wait(client, "small", "finished")
    while client.post("/v1/experiments", json=document("other", **NO_EPISODE)).status_code == 409:
        time.sleep(0.02)  # it says finished a little before its thread has ended
    news = [json.loads(text) for text in told.news(world.experiments)]
    assert [(one["name"], one["state"]) for one in news] == [("small", "finished"), ("other", "running")]
    wait(client, "other", "finished")
    assert [json.loads(text)["name"] for text in told.news(world.experiments)] == ["other"]
    assert told.news(world.experiments) == []


def test_what_another_controller_ran_is_still_told(world, client):
    from edgebed.controller.experiments import Experiments

    client.post("/v1/experiments", json=document(**NO_EPISODE))
    here = wait(client, "small", "finished")
    later = Experiments(world.folder / "runs", world.experiments._services).find("small")
    assert later is not None
    assert later["methods"] == here["methods"]
    assert later["episodesKnown"] == later["episodesPlanned"] == 1
    assert later["step"] == here["step"] == "Succeeded"


def row(position):
    result = {"counts": {"succeeded": 8, "dropped": 2}, "slotLatenessSeconds": [0.001], "reliable": True}
    return EpisodeRow(episode=position, run="r", phase="p", position=position, about={}, result=result)


def test_the_pace_is_that_of_played_episodes_and_phases_that_are_over_stay_in_sight():
    """Episodes found in the log take no time, and say nothing about those to come."""
    now = [100.0]
    status = Status(Horizon.DRAIN, threading.Event(), now=lambda: now[0])
    request = Request(Stream.EVALUATE, range(4), phase="p", label="network 1: evaluating ratc", method="ratc")
    status.started("s", request.label, 4)
    status.played(request, row(0))
    now[0] += FOUND_S / 2
    status.played(request, row(1))
    assert status.document([], {})["secondsPerEpisode"] is None
    for position, took_s in ((2, 2.0), (3, 4.0)):
        now[0] += took_s
        status.played(request, row(position))
    assert status.document([], {})["secondsPerEpisode"] == 3.0
    status.finished("s")
    found = status.document([], {})
    assert found["stages"] == []
    (over,) = found["finishedStages"]
    assert over == {"label": request.label, "total": 4, "seconds": pytest.approx(6.025)}
    assert found["episodesKnown"] == 4
    assert remaining_s(4, 10, 3.0) == 18.0
    assert remaining_s(4, 3, 3.0) == 0.0
    assert remaining_s(4, 10, None) is None


def test_another_step_is_told_once_and_between_two_stages_it_is_still_the_one_before():
    told = []
    status = Status(Horizon.DRAIN, threading.Event(), on_step=lambda: told.append(shown()["phase"]))
    shown = lambda: status.document([], {})  # noqa: E731
    status.started("a", "network 1: collecting with ratc: deploying", None)
    status.finished("a")
    status.started("a", "network 1: collecting with ratc", 2)
    status.advanced("a", 2)
    status.finished("a")
    assert (shown()["phase"], shown()["episode"]) == ("network 1: collecting with ratc", {"done": 2.0, "of": 2})
    status.started("b", "network 2: collecting with ratc", 2)
    status.finished("b")
    status.started("c", "network 1: evaluating ratc", 2)
    status.started("d", "network 1: evaluating ratc: the same in the simulator", None)
    status.finished("d")
    status.finished("c")
    assert told == [
        "network 1: collecting with ratc: deploying",
        "network 1: collecting with ratc",
        "network 1: evaluating ratc",
    ]


def test_an_experiment_says_how_long_it_will_still_take(world, client):
    assert SMALL["spec"]["evaluation"]["episodes"] == 2
    client.post("/v1/experiments", json=document(evaluation={"episodes": 3}))
    found = client.get("/v1/experiments/small").json()
    assert found["episodesPlanned"] == 6
    while found["remainingSeconds"] is None:
        found = client.get("/v1/experiments/small").json()
        assert found["state"] == "running", found
    assert 0 < found["remainingSeconds"] < 60 * 60
    assert wait(client, "small", "finished")["remainingSeconds"] is None
