"""What single values of the chart do, and which are refused."""

import json
import re

import pytest
import yaml

from tests.chart.rendering import CHART, find, items, pods, program, run, template


def controller(found, base="edgebed"):
    return find(found, "Deployment", f"{base}-controller")


def checksums(found, kind, name):
    annotations = find(found, kind, name)["spec"]["template"]["metadata"].get("annotations", {})
    return {key: value for key, value in annotations.items() if key.startswith("checksum/")}


FIXED = ("token.value=a", "mysql.auth.password=b", "grafana.auth.password=c")
"""So that nothing differs by chance."""


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("controller.logLevel=debug", {"controller"}),
        ("edgeNode.image.tag=other", {"controller"}),
        ("trainer.gpu=2", {"controller"}),
        ("experiments.keepFailedPods=false", {"controller"}),
        ("token.value=other", {"controller"}),
        ("mysql.auth.password=other", {"controller"}),
        ("hdfs.external=webhdfs://me@elsewhere:9870/edgebed", {"controller"}),
        ("nacos.external=nacos://elsewhere:8848", {"controller"}),
        ("prometheus.scrapeInterval=5s", {"prometheus", "grafana"}),
        ("prometheus.external=http://elsewhere:9090", {"grafana"}),
        ("grafana.auth.password=other", {"grafana"}),
        ("labels.team=edge", set()),
        ("controller.resources.limits.memory=3Gi", set()),
        ("networkPolicy.enabled=false", set()),
    ],
)
def test_who_reads_a_changed_value_is_started_again(change, again):
    """And nobody else: a run goes on without its controller, but not for nothing."""
    before, after = items("middleware", *FIXED), items("middleware", *FIXED, change)
    names = {item["metadata"]["name"] for item in before} & {item["metadata"]["name"] for item in after}
    workloads = {
        (item["kind"], item["metadata"]["name"])
        for item in after
        if item["kind"] in ("Deployment", "StatefulSet") and item["metadata"]["name"] in names
    }
    differ = {
        name.removeprefix("edgebed-")
        for kind, name in workloads
        if checksums(before, kind, name) != checksums(after, kind, name)
    }
    assert differ == again


@pytest.mark.parametrize("shape", ["middleware", "minimal"])
def test_the_same_values_give_the_same_checksums(shape):
    once, twice = (items(shape, *FIXED), items(shape, *FIXED, "nameOverride="))
    for item in once:
        if item["kind"] in ("Deployment", "StatefulSet"):
            name = item["metadata"]["name"]
            assert checksums(once, item["kind"], name) == checksums(twice, item["kind"], name)


SERVERS = {
    "mysql": ("mysql+pymysql://me@elsewhere:3306/db", {"mysql"}, "mysql.auth.password=known"),
    "hdfs": ("webhdfs://me@one:9870\\,two:9870/folder", {"hdfs", "namenode", "datanode"}, None),
    "nacos": ("nacos://one:8848\\,two:8848/space", {"nacos"}, None),
    "prometheus": ("http://elsewhere:9090", {"prometheus"}, None),
    "grafana": ("https://elsewhere", {"grafana"}, None),
}


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_is_switched_to_an_external_one_by_one_value(server):
    """Nothing of the chart's own is made, and whoever uses it is told of the other."""
    address, components, password = SERVERS[server]
    sets = [f"{server}.external={address}", *([password] if password else [])]
    inside, outside = items("middleware"), items("middleware", *sets)
    gone = {(i["kind"], i["metadata"]["name"]) for i in inside} - {(i["kind"], i["metadata"]["name"]) for i in outside}
    assert {name.removeprefix("edgebed-") for _, name in gone} == components
    left = {(i["kind"], i["metadata"]["name"]) for i in outside if i["kind"] != "Secret"}
    assert not any(name.removeprefix("edgebed-") in components for _, name in left)
    assert (
        address.replace("\\", "") in json.dumps([i for i in outside if i["kind"] in ("ConfigMap", "Deployment")])
        or server == "grafana"
    )


@pytest.mark.parametrize(
    ("server", "variable", "instead"),
    [
        ("mysql", "EDGEBED_TASK_LOG", "sqlite:////var/lib/edgebed/tasks.db"),
        ("hdfs", "EDGEBED_ARTEFACTS", "file:/var/lib/edgebed/artefacts"),
        ("nacos", "EDGEBED_COORDINATION", "embedded"),
    ],
)
def test_a_server_may_be_done_without(server, variable, instead):
    found = items("middleware", f"{server}.enabled=false")
    [container] = controller(found)["spec"]["template"]["spec"]["containers"]
    given = {one["name"]: one["value"] for one in container["env"]} | find(found, "ConfigMap", "edgebed-settings")[
        "data"
    ]
    assert given[variable] == instead


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["mysql.external=mysql+pymysql://me:secret@elsewhere/db"], "mysql.external"),
        (["mysql.external=mysql+pymysql://me@elsewhere/db"], "give mysql.auth.existingSecret"),
        (["nacos.auth.user=me"], "give nacos.external as well"),
        (["nacos.external=nacos://elsewhere:8848", "nacos.auth.user=me"], "give nacos.auth.existingSecret"),
        (["prometheus.enabled=false"], "give prometheus.external"),
        (["hdfs.external=hdfs://elsewhere:8020"], "hdfs.external"),
        (["images.pullPolicy=Sometimes"], "images.pullPolicy"),
        (["controler.logLevel=debug"], "controler"),
        (["controller.image.tagg=1"], "tagg"),
        (["edgeNode.resources.limits.memory=much"], "edgeNode.resources.limits.memory"),
        (["trainer.gpu=-1"], "trainer.gpu"),
        (["simulator.jobs=0"], "simulator.jobs"),
        (["security.runAsUser=0"], "security.runAsUser"),
        (["edgeNode.image.digest=sha256:12"], "edgeNode.image.digest"),
        (["mysql.auth.password=it's"], "mysql.auth.password"),
        (["keepData=maybe"], "keepData"),
        (["mysql.persistence.accessMode=ReadOnly"], "mysql.persistence.accessMode"),
    ],
)
def test_values_that_cannot_work_are_refused_with_their_path(sets, words):
    done = template("middleware", *sets)
    assert done.returncode != 0
    said = done.stderr.replace("/", ".")  # Helm's words for paths differ between versions
    assert words in said or words in done.stderr


def test_monitors_are_refused_where_the_cluster_does_not_know_them():
    done = template("monitoring", knows="")
    assert "monitoring.enabled: the cluster does not know monitoring.coreos.com/v1" in done.stderr


def test_images_come_from_where_they_are_said_to():
    found = items("site")
    images = {c["image"] for _, pod in pods(found) for c in pod["spec"]["containers"]}
    assert all(image.startswith("registry.example.org/") for image in images)
    assert any(re.search(r"edgebed/controller@sha256:[0-9a-f]{64}$", image) for image in images)
    settings = yaml.safe_load(find(found, "ConfigMap", "lab-operator")["data"]["operator.yaml"])
    assert settings["edgeNode"]["image"] == "other.example.org/lab/edge-node:2"
    assert settings["simulator"] == {
        "image": "registry.example.org/lab/simulator:2",
        "jobs": 4,
        "resources": settings["simulator"]["resources"],
    }
    assert settings["imagePullSecrets"] == ["registry"]
    assert all(pod["spec"]["imagePullSecrets"] == [{"name": "registry"}] for _, pod in pods(found))
    assert {c["imagePullPolicy"] for _, pod in pods(found) for c in pod["spec"]["containers"]} == {"Always"}


def test_images_are_the_official_ones_unless_told_otherwise():
    images = {c["image"].partition(":")[0] for _, pod in pods(items()) for c in pod["spec"]["containers"]}
    official = {"apache/hadoop", "grafana/grafana", "mysql", "nacos/nacos-server", "prom/prometheus"}
    assert images == official | {"edgebed/controller"}


def test_what_roles_are_told_reaches_the_operator():
    settings = yaml.safe_load(find(items("site"), "ConfigMap", "lab-operator")["data"]["operator.yaml"])
    given = yaml.safe_load((CHART / "ci/site-values.yaml").read_text())
    for field in ("env", "nodeSelector", "tolerations", "annotations", "labels"):
        assert settings["edgeNode"][field] == given["edgeNode"][field]
    assert (settings["trainer"]["gpu"], settings["trainer"]["gpuResource"]) == (1, "nvidia.com/gpu")


def test_the_monitors_find_what_services_serve():
    found = items("monitoring")
    service = find(found, "Service", "edgebed-controller")
    monitor = find(found, "ServiceMonitor", "edgebed-controller")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [e["port"] for e in monitor["spec"]["endpoints"]] == [port["name"] for port in service["spec"]["ports"]]
    experiments = find(found, "PodMonitor", "edgebed-experiments")
    credentials = {"name": "edgebed-token", "key": "token"}
    for endpoint in [*monitor["spec"]["endpoints"], *experiments["spec"]["podMetricsEndpoints"]]:
        assert endpoint["authorization"] == {"credentials": credentials}
    rules = find(found, "PrometheusRule", "edgebed")
    groups = [
        g for path in sorted((CHART / "alerts").glob("*.yaml")) for g in yaml.safe_load(path.read_text())["groups"]
    ]
    assert rules["spec"]["groups"] == groups
    for item in (monitor, experiments, rules):
        assert item["metadata"]["labels"]["release"] == "kube-prometheus-stack"


@pytest.mark.parametrize("discovery", ["kubernetes", "dns"])
def test_prometheus_reads_its_configuration(discovery, tmp_path):
    """As promtool does; by DNS it needs no account."""
    found = items("middleware", f"prometheus.discovery={discovery}")
    for name, content in find(found, "ConfigMap", "edgebed-prometheus")["data"].items():
        (tmp_path / name).write_text(
            content.replace("/etc/prometheus/", f"{tmp_path}/").replace("/etc/edgebed/secrets/token", name)
        )
    configuration = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    [job] = configuration["scrape_configs"]
    assert "authorization" in job
    assert ("kubernetes_sd_configs" in job) == (discovery == "kubernetes")
    for path in tmp_path.glob("alerts-*.yaml"):
        done = run(program("promtool"), "check", "rules", str(path))
        assert done.returncode == 0, done.stderr
    spec = find(found, "Deployment", "edgebed-prometheus")["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] == (discovery == "kubernetes")
    if discovery == "dns":  # some builds of promtool cannot read the other
        done = run(program("promtool"), "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml"))
        assert done.returncode == 0, done.stderr + done.stdout


def test_the_controller_waits_for_servers_of_the_chart_alone():
    """The first time they take longer than it does."""

    def waits(*sets):
        spec = controller(items("middleware", *sets))["spec"]["template"]["spec"]
        return [address for one in spec.get("initContainers", []) for address in one["command"][3:]]

    assert waits() == ["edgebed-mysql:3306", "edgebed-namenode:9870", "edgebed-nacos:8848"]
    assert waits("hdfs.enabled=false", "nacos.external=nacos://elsewhere:8848") == ["edgebed-mysql:3306"]
    assert waits("hdfs.enabled=false", "nacos.enabled=false", "mysql.enabled=false") == []


def test_dashboards_are_those_that_are_committed():
    found = items("monitoring")
    maps = [i for i in found if "-dashboard-" in i["metadata"]["name"]]
    assert len(maps) == len(list((CHART / "dashboards").glob("*.json"))) == 5
    for item in maps:
        [(name, content)] = item["data"].items()
        assert json.loads(content) == json.loads((CHART / "dashboards" / name).read_text())
        assert item["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert len(json.dumps(item)) < 1_000_000
