"""Every supported shape of the chart: what Kubernetes, its security standard and its network policies ask, holds in all."""

import base64
import json

import pytest
import yaml

from edgebed.experiment.validation import validate
from edgebed.operator.names import MANAGER
from edgebed.operator.rbac import RULES
from edgebed.operator.settings import OperatorSettings
from edgebed.settings import SERVICES, read_settings
from tests.chart.rendering import (
    CHART,
    NEWEST,
    OLDEST,
    SHAPES,
    find,
    items,
    pods,
    program,
    run,
    schemas,
    shape_file,
    text,
)

each = pytest.mark.parametrize("shape", SHAPES)

NAMES = {"site": "lab"}
"""What names begin with, where it is not edgebed."""

KINDS_OF_1_27 = {
    "v1": {"ConfigMap", "PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount"},
    "apps/v1": {"Deployment", "StatefulSet"},
    "networking.k8s.io/v1": {"NetworkPolicy"},
    "rbac.authorization.k8s.io/v1": {"Role", "RoleBinding"},
    "apiextensions.k8s.io/v1": {"CustomResourceDefinition"},
}
MONITORS = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, whose schemas a cluster without it does not have."""


def test_there_is_a_file_for_every_shape_that_is_supported():
    assert SHAPES == ("external", "middleware", "minimal", "monitoring", "site")
    assert shape_file("minimal").resolve() == CHART / "values-minimal.yaml"
    assert yaml.safe_load(shape_file("middleware").read_text()) == {}


@each
def test_lint(shape):
    done = run(program("helm"), "lint", "--strict", "--kube-version", NEWEST, str(CHART), "-f", str(shape_file(shape)))
    assert done.returncode == 0, done.stdout


@each
def test_valid_for_kubernetes_1_34(shape, tmp_path):
    """By the schemas of a real API server, unknown fields refused."""
    path = tmp_path / "rendered.yaml"
    path.write_text(text(shape))
    where = f"{schemas()}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    skipped = ",".join(MONITORS)
    done = run(
        program("kubeconform"),
        "-strict",
        "-summary",
        "-output",
        "json",
        "-skip",
        skipped,
        "-schema-location",
        where,
        str(path),
    )
    answer = json.loads(done.stdout)
    assert done.returncode == 0, answer.get("resources")
    monitors = sum(item["kind"] in MONITORS for item in items(shape))
    assert (monitors > 0) == (shape == "monitoring")
    assert answer["summary"] == {
        "valid": len(items(shape)) - monitors,
        "invalid": 0,
        "errors": 0,
        "skipped": monitors,
    }


@each
def test_no_api_that_kubernetes_1_27_lacks(shape):
    for item in items(shape, version=OLDEST):
        if item["kind"] not in MONITORS:
            assert item["kind"] in KINDS_OF_1_27[item["apiVersion"]]


def test_an_older_cluster_is_refused():
    from tests.chart.rendering import template

    assert "kubeVersion" in template("minimal", version="1.26.0").stderr


MEANT = {
    "ImagePullPolicy is not set to Always": "a release's tag stays what it is, and a testbed starts without its registry",
    "The container is running with a low user ID": "the one that the image of a server knows",
    "The container running with a low group ID": "the same",
    "The NetworkPolicys selector doesn't match any pods": "the operator makes the pods of experiments",
}
"""Critical findings of kube-score that are no faults, with the reason. So is that nothing has a limit on cpu."""


@each
def test_no_critical_finding_of_kube_score_but_those_that_are_meant(shape, tmp_path):
    path = tmp_path / "rendered.yaml"
    path.write_text(text(shape))
    done = run(program("kube-score"), "score", "--ignore-container-cpu-limit", "--output-format", "ci", str(path))
    findings = done.stdout.splitlines()
    assert sum(line.startswith("[OK]") for line in findings) > 20, done.stderr
    critical = [line for line in findings if line.startswith("[CRITICAL]")]
    assert [line for line in critical if not any(said in line for said in MEANT)] == []
    low = {line.split()[1].removeprefix("edgebed-") for line in critical if " low " in line}
    assert low <= {"mysql", "lab-mysql", "namenode", "datanode", "grafana", "lab-grafana"}
    unmatched = [line.split()[1] for line in critical if "doesn't match any pods" in line]
    assert unmatched == [f"{NAMES.get(shape, 'edgebed')}-experiments"]


@each
def test_every_pod_passes_the_restricted_standard(shape):
    """As https://kubernetes.io/docs/concepts/security/pod-security-standards lists it; and it cannot write to its image."""
    found = dict(pods(items(shape)))
    assert found
    for name, pod in found.items():
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in spec["volumes"]:
            assert volume.keys() - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert "hostPort" not in json.dumps(container.get("ports", []))


@each
def test_every_container_has_resources_and_probes(shape):
    """Probes of liveness ask something else than those of readiness: who is not ready need not be killed."""
    for name, pod in pods(items(shape)):
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            resources = container["resources"]
            assert {"cpu", "memory", "ephemeral-storage"} <= resources["requests"].keys(), name
            assert {"memory", "ephemeral-storage"} <= resources["limits"].keys(), name
            assert "cpu" not in resources["limits"], name
        for container in pod["spec"]["containers"]:
            if pod.get("kind") == "Pod":  # the test, which ends
                continue
            probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
            actions = {
                kind: {key: probe[key] for key in ("httpGet", "exec", "tcpSocket") if key in probe}
                for kind, probe in probes.items()
            }
            assert all(len(action) == 1 for action in actions.values())
            assert actions["liveness"] != actions["readiness"], name


@each
def test_only_who_needs_it_has_an_account(shape):
    """Nothing is allowed outside of the namespace; the controller may what the operator needs, and nothing else."""
    found = items(shape)
    base = NAMES.get(shape, "edgebed")
    assert not any(item["kind"].startswith("Cluster") for item in found)
    assert find(found, "Role", f"{base}-controller")["rules"] == list(RULES)
    allowed = {f"{base}-{component}" for component in ("controller", "prometheus", "test")}
    for name, pod in pods(found):
        mounted = pod["spec"]["automountServiceAccountToken"]
        assert mounted == (pod["spec"].get("serviceAccountName") == name)
        assert not mounted or name in allowed
    roles = {item["metadata"]["name"] for item in found if item["kind"] == "Role"}
    assert roles <= allowed
    for binding in (item for item in found if item["kind"] == "RoleBinding"):
        name = binding["metadata"]["name"]
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "lab"}]


MARKS = {
    "token.value": "Mark1",
    "mysql.auth.password": "Mark2",
    "nacos.auth.password": "Mark3",
    "grafana.auth.password": "Mark4",
}


@each
def test_a_secret_is_in_a_secret_only(shape):
    sets = [f"{name}={mark}" for name, mark in MARKS.items()]
    clear = [f"{name}=" for name in ("token.existingSecret", "mysql.auth.existingSecret", "nacos.auth.existingSecret")]
    found = items(shape, *sets, *clear)
    for item in found:
        content = json.dumps(item)
        for mark in MARKS.values():
            shown = mark in content or base64.b64encode(mark.encode()).decode() in content
            assert not shown or item["kind"] == "Secret", item["metadata"]["name"]
    secrets = json.dumps([item for item in found if item["kind"] == "Secret"])
    assert ("Mark1" in secrets) == (shape != "site")
    assert ("Mark2" in secrets) == (shape != "minimal")
    assert ("Mark3" in secrets) == (shape == "external")


@each
def test_passwords_that_are_made_are_long_and_different(shape):
    made = [value for item in items(shape) if item["kind"] == "Secret" for value in item["stringData"].values()]
    assert len(set(made)) == len(made)
    assert all(len(value) == 48 for value in made)
    assert all(len(base64.b64decode(value)) > 32 for value in made)  # Nacos wants that of one


@each
def test_the_operator_reads_its_settings(shape):
    base = NAMES.get(shape, "edgebed")
    found = items(shape)
    document = yaml.safe_load(find(found, "ConfigMap", f"{base}-operator")["data"]["operator.yaml"])
    settings = OperatorSettings.parse(document)
    service = find(found, "Service", f"{base}-controller")
    assert settings.controller == f"http://{base}-controller:{service['spec']['ports'][0]['port']}"
    assert settings.config_map == f"{base}-settings"
    assert settings.run_as_user == settings.fs_group == 10001
    assert (settings.artefacts_claim is not None) == (shape in ("minimal", "site"))
    assert ("EDGEBED_TOKEN" in settings.secrets) == (shape != "site")
    made = {item["metadata"]["name"] for item in found if item["kind"] == "Secret"}
    theirs = {"edgebed-database", "edgebed-nacos-user", "edgebed-services"} if shape == "external" else set()
    assert {key.secret for key in settings.secrets.values()} <= made | theirs


@each
def test_services_read_what_they_are_told(shape, tmp_path):
    """The controller's variables, and those that the operator passes on to every pod."""
    base = NAMES.get(shape, "edgebed")
    found = items(shape)
    shared = find(found, "ConfigMap", f"{base}-settings")["data"]
    [container] = find(found, "Deployment", f"{base}-controller")["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": f"{base}-settings"}}]
    given = {one["name"]: one["value"] for one in container["env"]}
    secret = tmp_path / "secret"
    secret.write_text("known\n")
    for variable in [name for name in given if name.endswith("_FILE")]:
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert given[variable].rpartition("/")[0] in mounts
        given[variable] = str(secret)
    settings = read_settings("controller", {**shared, **given})
    assert settings.token == (None if shape == "site" else "known")
    assert settings.task_log.startswith("sqlite:////var/lib/edgebed/" if shape == "minimal" else "mysql+pymysql://")
    assert (settings.task_log_password is None) == (shape == "minimal")
    assert settings.coordination.partition(":")[0] == ("embedded" if shape == "minimal" else "nacos")
    for service in SERVICES:
        assert read_settings(service, shared).artefacts == settings.artefacts
    volumes = {
        volume["name"]
        for volume in find(found, "Deployment", f"{base}-controller")["spec"]["template"]["spec"]["volumes"]
    }
    assert ("artefacts" in volumes) == settings.artefacts.startswith("file:")


@each
def test_what_a_pod_mounts_is_there(shape):
    """ConfigMaps, Secrets and claims that are named are made, or are somebody else's by name."""
    found = items(shape)
    made = {(item["kind"], item["metadata"]["name"]) for item in found}
    theirs = {
        "external": {("Secret", "edgebed-database"), ("Secret", "edgebed-nacos-user"), ("Secret", "edgebed-services")},
        "site": {("Secret", "grafana-admin"), ("PersistentVolumeClaim", "lab-runs")},
    }.get(shape, set())
    named = set()
    for _, pod in pods(found):
        content = yaml.safe_load(json.dumps(pod))
        named |= set(_named(content))
    assert named <= made | theirs
    assert theirs <= named


def _named(part):
    """Kind and name of what a part of a pod refers to."""
    if isinstance(part, list):
        for one in part:
            yield from _named(one)
    if not isinstance(part, dict):
        return
    for key, value in part.items():
        if key in ("configMap", "configMapRef", "configMapKeyRef"):
            yield "ConfigMap", value["name"]
        elif key in ("secretKeyRef", "secretRef") or (key == "secret" and "name" in value):
            yield "Secret", value["name"]
        elif key == "secret":
            yield "Secret", value["secretName"]
        elif key == "persistentVolumeClaim":
            yield "PersistentVolumeClaim", value["claimName"]
        else:
            yield from _named(value)


@each
def test_services_reach_their_pods(shape):
    found = items(shape)
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(found)}
    ports = {
        name: {port["name"] for container in pod["spec"]["containers"] for port in container.get("ports", [])}
        for name, pod in pods(found)
    }
    services = [item for item in found if item["kind"] == "Service"]
    theirs = [s for s in services if s["spec"]["selector"].get("app.kubernetes.io/managed-by") == MANAGER]
    assert len(theirs) == (
        1 if shape == "site" else 0
    )  # of the pods of experiments, where Prometheus asks DNS for them
    for service in [service for service in services if service not in theirs]:
        chosen = [name for name, own in labels.items() if service["spec"]["selector"].items() <= own.items()]
        assert chosen == [service["metadata"]["name"]]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports[chosen[0]]
    for item in found:
        if item["kind"] in ("Deployment", "StatefulSet"):
            chosen = item["spec"]["selector"]["matchLabels"]
            assert set(chosen) == {f"app.kubernetes.io/{part}" for part in ("name", "instance", "component")}
            assert chosen.items() <= item["spec"]["template"]["metadata"]["labels"].items()
        if item["kind"] == "StatefulSet":
            governing = find(found, "Service", item["spec"]["serviceName"])
            assert governing["spec"]["clusterIP"] == "None"


@each
def test_every_server_may_be_reached_by_those_who_use_it_alone(shape):
    found = items(shape)
    policies = [item["spec"] for item in found if item["kind"] == "NetworkPolicy"]
    for name, pod in pods(found):
        own = pod["metadata"]["labels"]
        component = own["app.kubernetes.io/component"]
        mine = [
            p for p in policies if p["podSelector"]["matchLabels"].items() <= own.items() and _chooses(p, component)
        ]
        assert len(mine) == 1, name
    reached = {
        policy["podSelector"]["matchLabels"].get("app.kubernetes.io/component"): {
            one
            for rule in policy["ingress"]
            for peer in rule["from"]
            for expression in peer.get("podSelector", {}).get("matchExpressions", [])
            for one in expression["values"]
        }
        for policy in policies
    }
    assert reached.get("mysql", {"controller"}) == {"controller"}
    assert "test" in reached["controller"]


def _chooses(policy, component):
    return all(component in one["values"] for one in policy["podSelector"].get("matchExpressions", []))


@each
def test_objects_say_whose_they_are(shape):
    for item in items(shape):
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "edgebed"
        assert labels["app.kubernetes.io/instance"] == "edgebed"
        if shape == "site":
            assert labels["team"] == "edge"
        assert len(item["metadata"]["name"]) <= 63


@each
def test_the_kind_stays_when_the_release_goes(shape):
    kinds = [item for item in items(shape) if item["kind"] == "CustomResourceDefinition"]
    assert len(kinds) == (0 if shape == "site" else 1)
    for kind in kinds:
        committed = yaml.safe_load((CHART.parents[1] / "deploy/crd/experiments.yaml").read_text())
        assert kind["spec"] == committed["spec"]
        assert kind["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@each
def test_data_and_passwords_stay_together(shape):
    """A volume without its password is of no use."""
    for item in items(shape):
        if item["kind"] in ("PersistentVolumeClaim", "Secret"):
            kept = item["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
            assert kept == (shape != "site"), item["metadata"]["name"]


@each
def test_what_helm_test_runs_is_an_experiment(shape):
    """As small as it may be, on pods and in the simulator."""
    base = NAMES.get(shape, "edgebed")
    given = find(items(shape), "ConfigMap", f"{base}-test")["data"]
    experiments = [yaml.safe_load(given[f"{backend}.yaml"]) for backend in ("kubernetes", "simulator")]
    names = [item["metadata"]["name"] for item in experiments]
    for item, backend in zip(experiments, ("kubernetes", "simulator"), strict=True):
        assert item["spec"]["backend"] == backend
        validate({**item, "metadata": {"name": item["metadata"]["name"]}})
    rules = find(items(shape), "Role", f"{base}-test")["rules"]
    assert [rule.get("resourceNames") for rule in rules] == [None, names]
    assert rules[0]["verbs"] == ["create"]
    hooks = [item for item in items(shape) if "helm.sh/hook" in item["metadata"].get("annotations", {})]
    assert [item["kind"] for item in hooks] == ["Pod"], "Helm asks every hook for the log of a pod"
