"""The CustomResourceDefinition before a real API server: what it takes, what it refuses and how, and what it gives back.

It is installed under a group of its own, so that neither a CustomResourceDefinition that is there already nor an operator has
anything to do with it.
"""

import copy
import json
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgebed.experiment.crd import MUTABLE, custom_resource_definition
from edgebed.experiment.errors import UserError
from edgebed.experiment.reading import load, to_yaml
from edgebed.experiment.resource import experiment_of
from edgebed.experiment.specification import API_VERSION, Spec
from edgebed.experiment.validation import validate
from tests.cluster import Answer, Cluster, need_cluster

FOLDER = Path(__file__).parents[2] / "deploy" / "experiments"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))
MISSING = object()
ESTABLISHED_S = 60

SMALL: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "Experiment",
    "metadata": {"name": "small"},
    "spec": {
        "network": {
            "nodes": 3,
            "cores": {"choice": [4, 8]},
            "arrivalProbability": {"uniform": [0, 1]},
            "executionFailureRate": 0.1,
            "linkRateMBps": {"uniform": [10, 40.5]},
            "linkFailureRate": 0,
        },
        "workload": {"slotSeconds": 0.5, "slots": 10, "sizeKB": 1000, "cyclesPerBit": 800, "deadlineSeconds": 4},
        "methods": [
            {"name": "ratc", "policy": "ratc"},
            {
                "name": "o2o",
                "collect": {"policy": {"kind": "rda", "coefficient": 0.5}, "episodes": 4},
                "offline": {"algorithm": "sac-cql", "updates": 10},
                "online": {"algorithm": "ppo", "episodes": 20},
            },
        ],
    },
}


class Api:
    """The API server, with Experiment under another group."""

    def __init__(self, cluster: Cluster) -> None:
        self.group = f"t{secrets.token_hex(4)}.edgebed.dev"
        self.resource = f"experiments.{self.group}"
        self.cluster = replace(cluster, namespace=f"crd-{secrets.token_hex(4)}")

    def kubectl(self, *arguments: str, given: object = None) -> Answer:
        """kubectl, with a document of ours on its standard input."""
        text = None
        if given is not None:
            text = (given if isinstance(given, str) else yaml.safe_dump(given)).replace(
                API_VERSION, f"{self.group}/v1alpha1"
            )
        return self.cluster.kubectl(*arguments, given=text)

    def apply(self, document: object, *options: str) -> Answer:
        """`kubectl apply -f -`."""
        return self.kubectl("apply", "-f", "-", *options, given=document)

    def try_out(self, document: object) -> Answer:
        """The same without keeping it; answers with what would have been kept."""
        return self.apply(document, "--dry-run=server", "-o", "json")

    def ours(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource under the group that it has outside of this test."""
        return {**resource, "apiVersion": API_VERSION}


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A namespace and a CustomResourceDefinition that go away afterwards."""
    api = Api(need_cluster())
    definition = custom_resource_definition()
    definition["metadata"]["name"] = api.resource
    definition["spec"]["group"] = api.group
    del definition["spec"]["names"]["shortNames"]  # another group's would be in the way of ours
    try:
        api.kubectl("create", "namespace", api.cluster.namespace).fine()
        api.kubectl("create", "-f", "-", given=definition).fine()
        api.cluster.establish(api.resource)
        end = time.monotonic() + ESTABLISHED_S
        while (answer := api.try_out(SMALL)).code != 0:  # discovery is a little later
            assert time.monotonic() < end, answer.error
            time.sleep(0.5)
        yield api
    finally:
        api.kubectl("delete", "crd", api.resource, "--ignore-not-found", "--wait=false")
        api.kubectl("delete", "namespace", api.cluster.namespace, "--ignore-not-found", "--wait=false")


def changed(*changes: tuple[str, object]) -> dict[str, Any]:
    """The small experiment with other values at dotted paths; numbers are positions, MISSING removes."""
    document = copy.deepcopy(SMALL)
    for path, value in changes:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        here: Any = document
        for parent in parents:
            here = here[parent] if isinstance(parent, int) else here.setdefault(parent, {})
        if value is MISSING:
            del here[last]
        else:
            here[last] = value
    return document


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_applies_and_comes_back_as_it_is(api: Api, path: Path) -> None:
    """With what the API server adds and takes out, it is the experiment of the file."""
    returned = api.ours(api.try_out(path.read_text()).json())
    assert experiment_of(returned, path.parent) == load(path)


LEARNED = SMALL["spec"]["methods"][1]
GOOD = {
    "one number for all": changed(("spec.network.cores", 4.5)),
    "networks from a file": changed(("spec.network", {"file": "networks.json"})),
    "tasks from a file": changed(("spec.workload", {"slotSeconds": 1, "slots": 3, "file": "trace.parquet"})),
    "measured costs": changed(
        (
            "spec.workload",
            {
                "slotSeconds": 1,
                "slots": 3,
                "deadlineSeconds": 2,
                "application": {"kind": "ffmpeg", "costs": "costs.json"},
            },
        )
    ),
    "measured costs on another application": changed(
        (
            "spec.workload",
            {"slotSeconds": 1, "slots": 3, "deadlineSeconds": 2, "application": {"kind": "cpu", "costs": "costs.json"}},
        )
    ),
    "an application with its default": changed(("spec.workload.application", {})),
    "offline's layers": changed(("spec.methods.1.offline.hidden", 32)),
    "online's layers": changed(
        ("spec.methods.1", {"name": "a", "online": {"algorithm": "ppo", "episodes": 1, "hidden": 3}})
    ),
    "both layers": changed(("spec.methods.1.offline.hidden", 32), ("spec.methods.1.online.hidden", 32)),
    "a sweep over anything": changed(
        ("spec.sweep", {"field": "network.cores", "values": [4, 4.5, {"choice": [1, 2]}], "label": "cores"})
    ),
    "nothing where nothing is allowed": changed(
        ("spec.sweep", None),
        ("spec.description", None),
        ("spec.methods.0.collect", None),
        ("spec.methods.1.policy", None),
        ("spec.methods.1.online.attribution", None),
        ("spec.activeDeadlineSeconds", None),
    ),
    "a policy's own parameters": changed(
        ("spec.methods.0.policy", {"kind": "mine", "deep": {"list": [1, {"a": "b"}]}})
    ),
    "a schedule": changed(
        ("spec.suspend", True), ("spec.ttlSecondsAfterFinished", 0), ("spec.activeDeadlineSeconds", 60)
    ),
    "all rules": changed(
        ("spec.rules", {"dropPolicy": "never"}), ("spec.mask", {}), ("spec.reward", {"attribution": "arrival"})
    ),
    "the largest": changed(
        ("spec.methods", [{**LEARNED, "name": f"{'m' * 60}{number:03}"} for number in range(100)]),
        ("spec.network.cores", {"choice": [1.5] * 1000}),
        ("spec.description", "d" * 1000),
        ("metadata.name", "n" * 63),
    ),
}


@pytest.mark.parametrize("document", GOOD.values(), ids=GOOD)
def test_what_the_specification_takes_comes_back_as_it_is(api: Api, document: dict[str, Any]) -> None:
    """Defaults are added as the specification would, nothing of value is taken out."""
    returned = api.ours(api.try_out(document).json())
    assert experiment_of(returned) == validate(document)
    assert experiment_of(returned).digest == validate(document).digest


BAD: list[tuple[str, list[tuple[str, object]], str]] = [
    ("a misspelt field", [("spec.netwrk", {})], 'unknown field "spec.netwrk"'),
    (
        "a misspelt field far below",
        [("spec.methods.1.offline.updatez", 3)],
        r'unknown field "spec.methods\[1\].offline.updatez"',
    ),
    ("no network", [("spec.network", MISSING)], "spec.network: Required value"),
    ("no nodes", [("spec.network.nodes", MISSING)], "spec.network.nodes: Required value: give it: edge nodes"),
    ("no cores", [("spec.network.cores", MISSING)], "spec.network.cores: Required value: give it: cores of a node"),
    (
        "no cores, spelt out",
        [("spec.network.cores", None)],
        "spec.network.cores: Required value: give it: cores of a node",
    ),
    (
        "too few nodes",
        [("spec.network.nodes", 1)],
        "spec.network.nodes: Invalid value: 1: .* greater than or equal to 2",
    ),
    ("half a node", [("spec.network.nodes", 2.5)], 'spec.network.nodes: Invalid value: "number": .* of type integer'),
    (
        "a number as text",
        [("spec.network.nodes", "3")],
        'spec.network.nodes: Invalid value: "string": .* of type integer',
    ),
    (
        "a distribution as text",
        [("spec.network.cores", "4")],
        "spec.network.cores: Invalid value: .*give a number without quotes",
    ),
    (
        "a distribution as truth",
        [("spec.network.cores", True)],
        '"spec.network.cores" must not validate the schema',
    ),
    (
        "a list without its name",
        [("spec.network.cores", [4, 8])],
        "spec.network.cores: Too many: 2: must have at most 0 items",
    ),
    ("no cores at all", [("spec.network.cores", 0)], "spec.network.cores: Invalid value: 0: .* greater than 0"),
    (
        "a likelihood over 1",
        [("spec.network.arrivalProbability", 1.2)],
        "arrivalProbability: Invalid value: 1.2: .* less than",
    ),
    (
        "a wrong value in a list",
        [("spec.network.linkFailureRate", {"choice": [0, -1]})],
        r"spec.network.linkFailureRate.choice\[1\]: Invalid value: -1",
    ),
    (
        "a misspelt distribution",
        [("spec.network.cores", {"unifrom": [1, 2]})],
        "spec.network.cores.* at least one schema",
    ),
    (
        "two distributions",
        [("spec.network.cores", {"uniform": [1, 2], "choice": [1]})],
        "spec.network.cores: Too many: 2",
    ),
    (
        "half a range",
        [("spec.network.cores", {"uniform": [1]})],
        "spec.network.cores.uniform: Invalid value: 1: .* at least 2",
    ),
    (
        "an empty choice",
        [("spec.network.cores", {"choice": []})],
        "spec.network.cores.choice: Invalid value: 0: .* at least 1",
    ),
    (
        "both kinds of network",
        [("spec.network.file", "n.json")],
        "spec.network.nodes: Forbidden: take it out: .* come from file",
    ),
    (
        "ffmpeg without costs",
        [("spec.workload.application", {"kind": "ffmpeg"})],
        "application.costs: Required value: give it",
    ),
    (
        "sizes beside costs",
        [("spec.workload.application", {"kind": "cpu", "costs": "c.json"})],
        "spec.workload.sizeKB: Forbidden: take it out: what a task is comes from application.costs",
    ),
    (
        "a trace with sizes",
        [("spec.workload.file", "t.parquet")],
        "spec.workload.sizeKB: Forbidden: take it out: the tasks come",
    ),
    (
        "no deadline",
        [("spec.workload.deadlineSeconds", MISSING)],
        "spec.workload.deadlineSeconds: Required value: give it: time",
    ),
    (
        "an unknown rule",
        [("spec.rules", {"dropPolicy": "nver"})],
        'spec.rules.dropPolicy: Unsupported value: "nver": .*"never"',
    ),
    ("an unknown backend", [("spec.backend", "kubernets")], 'spec.backend: Unsupported value: "kubernets"'),
    ("no methods", [("spec.methods", [])], "spec.methods: Invalid value: 0: .* at least 1 items"),
    ("a method twice", [("spec.methods.1.name", "ratc")], r'spec.methods\[1\]: Duplicate value: {"name":"ratc"}'),
    (
        "a method of nothing",
        [("spec.methods.0.policy", MISSING)],
        r"spec.methods\[0\].policy: Required value: give policy, or",
    ),
    (
        "a policy that learns",
        [("spec.methods.0.online", {"algorithm": "ppo", "episodes": 1})],
        r"spec.methods\[0\].online: Forbidden: not beside policy: give either policy, or how to learn one",
    ),
    (
        "learning from nothing",
        [("spec.methods.1.collect", MISSING)],
        r"spec.methods\[1\].collect: Required value: give it: offline",
    ),
    (
        "a log for nobody",
        [("spec.methods.1.offline", MISSING)],
        r"spec.methods\[1\].collect: Forbidden: give offline too",
    ),
    (
        "two actors",
        [("spec.methods.1.online.hidden", 32)],
        r"spec.methods\[1\].online.hidden: Invalid value: .*the same layers: it is one actor",
    ),
    (
        "a policy without a name",
        [("spec.methods.0.policy", {"k": 1})],
        r"spec.methods\[0\].policy.kind: Required value",
    ),
    ("a policy by number", [("spec.methods.0.policy", 3)], r"spec.methods\[0\].policy: Invalid value: 3"),
    (
        "another algorithm",
        [("spec.methods.1.online.algorithm", "dqn")],
        r"online.algorithm: Unsupported value: \"dqn\"",
    ),
    (
        "a sweep over methods",
        [("spec.sweep", {"field": "methods", "values": [1]})],
        "spec.sweep.field: Invalid value: .*: give the path",
    ),
    (
        "a sweep over nothing",
        [("spec.sweep", {"field": "nodes", "values": [1]})],
        "spec.sweep.field: Invalid value: .*: give the path",
    ),
    (
        "a sweep over a misspelt field",
        [("spec.sweep", {"field": "network.node", "values": [1]})],
        "spec.sweep.field: Invalid value: .*: give the path",
    ),
    (
        "a time to live below 0",
        [("spec.ttlSecondsAfterFinished", -1)],
        "spec.ttlSecondsAfterFinished: Invalid value: -1",
    ),
    ("a name with capitals", [("metadata.name", "Small")], 'metadata.name: Invalid value: "Small"'),
    ("a name with points", [("metadata.name", "small.one")], 'metadata.name: Invalid value: "small.one"'),
]


@pytest.mark.parametrize(("changes", "told"), [(c, t) for _, c, t in BAD], ids=[name for name, *_ in BAD])
def test_what_cannot_be_is_refused_at_apply(api: Api, changes: list[tuple[str, object]], told: str) -> None:
    """With the path of the field and the reason; and the specification refuses it as well."""
    document = changed(*changes)
    message = api.try_out(document).refused()
    assert re.search(told, " ".join(message.split())), message
    with pytest.raises(UserError):
        experiment_of(document)


def test_a_client_that_is_not_strict_loses_what_is_unknown(api: Api) -> None:
    """As with every resource of Kubernetes: taken out, with a warning."""
    document = changed(("spec.netwrk", {}))
    answer = api.apply(document, "--dry-run=server", "-o", "json", "--validate=warn")
    assert "netwrk" not in answer.json()["spec"]
    assert 'unknown field "spec.netwrk"' in answer.error


def test_kubectl_explains_the_specification(api: Api) -> None:
    """A field with what it means, its unit and its limits; words to choose from; sections below."""

    def explained(path: str) -> str:
        end = time.monotonic() + ESTABLISHED_S
        while True:
            answer = api.kubectl("explain", f"experiments.{path}", "--api-version", f"{api.group}/v1alpha1")
            if answer.code == 0 or time.monotonic() > end:
                return " ".join(answer.fine().out.split())
            time.sleep(0.5)

    network = explained("spec.network")
    assert "Distributions to draw networks from, or a file." in network
    assert "nodes <integer> Edge nodes, each linked with every other." in network
    assert "Data rate of an ordered pair of nodes, in 10^6 bytes per second. In MB/s." in network
    assert "A number over 0, {uniform: [low, high]} or {choice: [a, b, ...]}." in network
    rules = explained("spec.rules")
    assert "enum: drain, cutDrop, cutIgnore" in rules
    assert "What happens to unfinished tasks after the last slot. drain: Run until every task has ended." in rules
    assert "From then on the specification stays as it is." in explained("status")
    assert "Algorithm 1" in explained("spec.methods")


@pytest.fixture
def started(api: Api) -> Iterator[str]:
    """The name of an experiment that has started."""
    name = f"started-{secrets.token_hex(4)}"
    full = changed(("metadata.name", name), ("spec.description", "One"), ("spec.activeDeadlineSeconds", 60))
    full["spec"] = validate(full).to_document()["spec"] | full["spec"]
    api.apply(full).fine()
    _tell(api, name, {"startedAt": "2026-01-31T12:00:00Z"})
    yield name
    api.kubectl("delete", api.resource, name, "--wait=false")


def _tell(api: Api, name: str, status: dict[str, Any]) -> None:
    patch = json.dumps({"status": status})
    api.kubectl("patch", api.resource, name, "--subresource=status", "--type=merge", "-p", patch).fine()


def _change(api: Api, name: str, spec: dict[str, Any]) -> Answer:
    return api.kubectl("patch", api.resource, name, "--type=merge", "-p", json.dumps({"spec": spec}))


OTHERS: dict[str, object] = {
    "description": "Two",
    "system": MISSING,  # there is only one
    "backend": "processes",
    "seed": 2,
    "replicates": 2,
    "trainingSeeds": 2,
    "network": {"cores": 8},
    "workload": {"slots": 11},
    "rules": {"dropPolicy": "never"},
    "mask": {"coefficient": 1},
    "reward": {"attribution": "arrival"},
    "methods": [{"name": "other", "policy": "ratc"}],
    "evaluation": {"episodes": 3},
    "onNodeLoss": "continue",
    "onModelRefused": "keepOld",
    "sweep": {"field": "network.nodes", "values": [2]},
    "startDeadlineSeconds": 5,
    "activeDeadlineSeconds": None,
}


def test_after_the_start_the_specification_stays(api: Api, started: str) -> None:
    """Every field, but for what says how long it is kept and whether it rests; before the start all of them may change."""
    assert set(OTHERS) | set(MUTABLE) == {field.alias or name for name, field in Spec.model_fields.items()}
    for field, value in OTHERS.items():
        if value is MISSING:
            continue
        message = _change(api, started, {field: value}).refused()
        assert f"spec.{field}: Forbidden: the experiment has started" in message, message
    _change(api, started, {"suspend": True}).fine()
    _change(api, started, {"suspend": False, "ttlSecondsAfterFinished": 5}).fine()
    _tell(api, started, {"startedAt": None})
    for field, value in OTHERS.items():
        if value is not MISSING:
            _change(api, started, {field: value}).fine()


def test_methods_in_another_order_are_another_experiment(api: Api, started: str) -> None:
    """Although a list with keys is equal in any order."""
    message = _change(api, started, {"methods": list(reversed(SMALL["spec"]["methods"]))}).refused()
    assert "spec.methods: Forbidden: the experiment has started" in message


def test_status_columns_and_waiting(api: Api, started: str) -> None:
    """What `kubectl get` shows, and what `kubectl wait` waits for."""
    now = "2026-01-31T12:00:00Z"
    condition = {"type": "Succeeded", "status": "True", "reason": "Finished", "message": "", "lastTransitionTime": now}
    _tell(
        api,
        started,
        {
            "phase": "Succeeded",
            "progress": "100 %",
            "progressPercent": 100,
            "episodes": {"played": 20, "planned": 20},
            "method": "o2o",
            "successRate": "87.8 %",
            "methods": [
                {"name": "o2o", "successRate": 0.878, "ci95": [0.87, 0.89]},
                {"name": "ratc", "successRate": 1},
            ],
            "nodes": {"ready": 3, "wanted": 3},
            "artefacts": {"results": "a/results.json", "report": "a/report.html", "folder": "a"},
            "observedGeneration": 1,
            "endedAt": now,
            "run": "r-1",
            "conditions": [{**condition, "observedGeneration": 1}],
        },
    )
    head, row = api.kubectl("get", api.resource, started).fine().out.splitlines()
    assert head.split() == ["NAME", "PHASE", "PROGRESS", "METHOD", "SUCCESS", "AGE"]
    assert row.split()[:-1] == [started, "Succeeded", "100", "%", "o2o", "87.8", "%"]
    api.kubectl("wait", "--for=condition=Succeeded", f"{api.resource}/{started}", "--timeout=30s").fine()
    stored = api.kubectl("get", api.resource, started, "-o", "json").json()
    assert stored["status"]["methods"][0]["ci95"] == [0.87, 0.89]
    assert experiment_of(api.ours(stored)).name == started


def test_a_status_that_nobody_knows_is_refused(api: Api, started: str) -> None:
    patch = json.dumps({"status": {"phase": "Dreaming"}})
    told = api.kubectl("patch", api.resource, started, "--subresource=status", "--type=merge", "-p", patch).refused()
    assert 'status.phase: Unsupported value: "Dreaming"' in told


def test_what_the_command_prints_is_applied_and_applied_again(api: Api) -> None:
    """The definition as committed, tried out."""
    file = str(FOLDER.parent / "crd" / "experiments.yaml")
    for _ in range(2):
        api.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", file).fine()
    api.kubectl("apply", "--dry-run=server", "-f", file).fine()


def test_the_server_gives_back_a_file_that_runs_elsewhere(api: Api, tmp_path: Path) -> None:
    """What a cluster ran can be run on a laptop."""
    experiment = experiment_of(api.ours(api.try_out(SMALL).json()), tmp_path)
    file = tmp_path / "small.yaml"
    file.write_text(to_yaml(experiment))
    assert load(file) == experiment
