"""What the operator builds: pods that the restricted standard admits, names that are taken, and who reads a secret."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebed.operator.demand import demand
from edgebed.operator.drift import holds
from edgebed.operator.names import LONGEST_WORKLOAD, Names, fitted
from edgebed.operator.objects import build, document_in, document_map
from edgebed.settings import PREFIX, SETTINGS
from tests.unit.operator.world import LEARNED, experiment, settings

LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
EVERYTHING = {
    "configMap": "edgebed-settings",
    "secrets": {
        "EDGEBED_TOKEN": {"secret": "edgebed", "key": "token"},
        "EDGEBED_TASK_LOG_PASSWORD": {"secret": "edgebed", "key": "mysql"},
        "EDGEBED_COORDINATION_PASSWORD": {"secret": "nacos", "key": "password"},
    },
    "artefactsClaim": "artefacts",
    "fsGroup": 1000,
    "runAsUser": 1000,
    "imagePullSecrets": ["registry"],
    "serviceAccountName": "pods",
    "trainer": {
        "image": "trainer:1",
        "gpu": 2,
        "nodeSelector": {"gpu": "yes"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "annotations": {"a": "b"},
        "labels": {"team": "edge", "app.kubernetes.io/name": "not ours to change"},
        "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "4Gi"}},
    },
}


def built(backend="kubernetes", name="quick", methods=LEARNED, **changes):
    item = experiment(name=name, backend=backend, methods=methods)
    need = demand(name, item["spec"])
    return build(need, Names.of(name, "11111111-aaaa"), settings(**changes))


def templates(items):
    return {
        (item["kind"], item["metadata"]["name"]): item["spec"]["template"]
        for item in items
        if "template" in item.get("spec", {})
    }


@pytest.mark.parametrize("changes", [{}, EVERYTHING])
@pytest.mark.parametrize("backend", ["kubernetes", "simulator"])
def test_pods_are_restricted(backend, changes):
    for template in templates(built(backend, **changes)).values():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        [container] = spec["containers"]
        context = container["securityContext"]
        assert context == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}
        assert {"state", "tmp"} <= mounted


def test_every_service_has_the_settings_that_only_the_cluster_knows():
    known = {PREFIX + setting.name: setting for setting in SETTINGS} | {f"{PREFIX}TESTBED": None}
    for template in templates(built(**EVERYTHING)).values():
        [container] = template["spec"]["containers"]
        names = [variable["name"] for variable in container["env"]]
        assert len(names) == len(set(names))
        values = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert values["EDGEBED_CONTROLLER"] == "http://controller:8080"
        assert values["EDGEBED_TESTBED"] == "quick-11111111"
        assert values["EDGEBED_ADVERTISE"] == f"http://$(POD_IP):{container['ports'][0]['containerPort']}"
        assert names.index("POD_IP") < names.index("EDGEBED_ADVERTISE")  # Kubernetes fills in what came before
        for name in names:  # a service refuses variables that it does not know
            assert not name.startswith(PREFIX) or name.removesuffix("_FILE") in known
        assert container["envFrom"] == [{"configMapRef": {"name": "edgebed-settings"}}]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_nobody_gets_a_secret_that_it_does_not_read():
    found = {}
    for (_, name), template in {
        **templates(built(**EVERYTHING)),
        **templates(built("simulator", **EVERYTHING)),
    }.items():
        [container] = template["spec"]["containers"]
        found[name] = {v["name"] for v in container["env"] if v["name"].endswith("_FILE")}
        for variable in container["env"]:
            assert variable.get("value") != "token"
    of_services = {"EDGEBED_TOKEN_FILE", "EDGEBED_COORDINATION_PASSWORD_FILE"}
    assert found == {
        "quick-node": of_services,
        "quick-generator": of_services,
        "quick-trainer": of_services,
        "quick-run": set(),
    }


def test_one_value_gives_the_trainer_its_gpus():
    spec = templates(built(**EVERYTHING))["Deployment", "quick-trainer"]["spec"]
    assert spec["containers"][0]["resources"]["limits"] == {"memory": "4Gi", "nvidia.com/gpu": "2"}
    assert (spec["nodeSelector"], spec["priorityClassName"]) == ({"gpu": "yes"}, "high")
    assert "nvidia.com/gpu" not in str(templates(built())["Deployment", "quick-trainer"])


def test_labels_of_the_settings_do_not_replace_ours():
    metadata = templates(built(**EVERYTHING))["Deployment", "quick-trainer"]["metadata"]
    assert metadata["labels"]["team"] == "edge"
    assert metadata["labels"]["app.kubernetes.io/name"] == "edgebed"


def test_selectors_select_the_pods_and_no_others():
    items = built()
    labels = [template["metadata"]["labels"] for template in templates(items).values()]
    for item in items:
        selector = item.get("spec", {}).get("selector")
        if selector is None:
            continue
        wanted = selector.get("matchLabels", selector)
        assert sum(wanted.items() <= one.items() for one in labels) == 1


def test_everything_is_owned_so_that_it_goes_with_the_experiment():
    for item in built() + built("simulator"):
        [reference] = item["metadata"]["ownerReferences"]
        assert reference == {
            "apiVersion": "edgebed.dev/v1alpha1",
            "kind": "Experiment",
            "name": "quick",
            "uid": "11111111-aaaa",
            "controller": True,
            "blockOwnerDeletion": True,
        }
        assert "finalizers" not in item["metadata"]
        assert holds(item, item)


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=253))
def test_names_are_taken_everywhere(name):
    names = Names.of(name, "0f0f0f0f-1")
    for one in (names.nodes, names.generator, names.trainer, names.job, names.run):
        assert LABEL.fullmatch(one)
        assert len(one) <= LONGEST_WORKLOAD
    assert LABEL.fullmatch(names.label)
    assert len(names.label) <= 63


@given(
    st.text("ab.-1", min_size=1, max_size=80),
    st.text("ab.-1", min_size=1, max_size=80),
)
def test_different_experiments_have_different_names(one, other):
    if one != other:
        assert fitted(one, 42) != fitted(other, 42)


def test_a_name_that_fits_is_kept():
    assert Names.of("o2o-testbed", "1").nodes == "o2o-testbed-node"


def test_a_document_comes_back_as_it_was_and_one_that_was_changed_does_not():
    item = experiment(methods=LEARNED, description="ja: 'nein', 1e3, 0x10, no")
    document = demand("quick", item["spec"]).document
    made = document_map(document, Names.of("quick", "1"))
    assert document_in(made) == document
    made["data"]["experiment.yaml"] = made["data"]["experiment.yaml"].replace("ratc", "rda")
    assert document_in(made) is None
    assert document_in({"metadata": {}}) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": {"b": 1}}, {"a": None}, False),
        ({"a": {}}, {}, True),
        ({"a": True}, {"a": 1}, False),
        (["x"], ["x", "y"], False),
        ([{"name": "x", "v": 1}], [{"name": "y"}, {"name": "x", "v": 1, "w": 2}], True),
        ([{"name": "x", "v": 1}], [{"name": "y"}], False),
        ([{"key": "x"}], [{"key": "x"}, {"key": "y"}], False),
        ("1000m", "1", True),
        ("1024Mi", "1Gi", True),
        ("0.5", "500m", True),
        ("1000k", "1M", True),
        ("1", "1k", False),
        ("one", "two", False),
    ],
)
def test_what_counts_as_the_same(ours, theirs, same):
    assert holds(ours, theirs) is same
