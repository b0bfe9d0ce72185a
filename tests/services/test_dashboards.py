"""Dashboards show what they promise: an experiment that learns runs, a real Prometheus scrapes it, every panel has data."""

import json
import socket
import time
from pathlib import Path

import httpx
import pytest

from scripts.dashboards.__main__ import CHART, DASHBOARDS
from tests.prometheus import Prometheus, filled
from tests.services.experiment import O2O, Command

KINDS = ("edge-node", "task-generator", "trainer")
END_S = 600.0
"""A trainer gives way to everything else, so on a busy machine learning takes its time."""
ALL = ".*"
"""What Grafana puts in place of a variable of which everything is chosen."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scraped(one: Command, controller: str, prometheus: Prometheus) -> None:
    """Whatever has registered is scraped, until the run is over."""
    known, until = {controller}, time.monotonic() + END_S
    prometheus.scrape(known)
    with httpx.Client(base_url=controller, trust_env=False) as client:
        while one.process.poll() is None:
            assert time.monotonic() < until, f"only {sorted(known)} were there"
            try:
                answers = [client.get(f"/v1/registry/{kind}").json() for kind in KINDS]
                found = {instance["address"] for answer in answers for instance in answer["instances"]}
            except httpx.TransportError:  # it is about to begin, or has ended
                found = set()
            if found - known:
                known |= found
                prometheus.scrape(known)
            time.sleep(0.2)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A Prometheus that has seen a run from its beginning to its end, and when that was."""
    folder = tmp_path_factory.mktemp("seen")
    (folder / "prometheus").mkdir()
    with Prometheus(folder / "prometheus", free_port(), sorted(CHART.glob("alerts/*.yaml"))) as prometheus:
        one, port = Command(folder, more=O2O), free_port()
        begin = time.time()
        one.start("--port", str(port))
        try:
            scraped(one, f"http://127.0.0.1:{port}", prometheus)
        finally:
            one.process.kill()  # if it still runs; its services go with it
            _, err = one.process.communicate()
        assert one.process.returncode == 0, err
        yield prometheus, (begin, time.time())


def chosen(prometheus, document, window):
    """What each variable of a dashboard has to choose from, and what Grafana chooses at first."""
    first: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for variable in document["templating"]["list"]:
        if variable["type"] == "datasource":
            continue
        name = variable["name"]
        values[name] = prometheus.values(filled(variable["definition"], first), window)
        assert values[name], f"variable {name} has nothing to choose from"
        first[name] = ALL if variable["includeAll"] else sorted(values[name])[-1]
    return first, values


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.uid)
def test_every_panel_has_data_for_every_value_of_every_variable(seen, dashboard):
    """As read from the committed file; what may be empty is said in the panel, and is not when everything is chosen."""
    prometheus, window = seen
    document = json.loads((CHART / f"dashboards/{dashboard.uid.removeprefix('edgebed-')}.json").read_text())
    first, values = chosen(prometheus, document, window)
    panels = [panel for panel in document["panels"] if panel["type"] != "row"]
    assert len(panels) == len(dashboard.panels)
    without = []
    for shown, panel in zip(panels, dashboard.panels, strict=True):
        for target in shown["targets"]:
            used = [name for name in values if f"${name}" in target["expr"]]
            choices = [first, *({**first, name: value} for name in used for value in values[name])]
            for choice in choices:
                expression = filled(target["expr"], choice)
                if choice is not first and panel.empty:
                    continue
                if not prometheus.finite(expression, window):
                    without.append((panel.title, expression))
    assert without == []


def test_legends_name_labels_that_there_are(seen):
    """A legend with a label that the expression has summed away would be empty."""
    prometheus, window = seen
    for dashboard in DASHBOARDS:
        document = json.loads((CHART / f"dashboards/{dashboard.uid.removeprefix('edgebed-')}.json").read_text())
        first, _ = chosen(prometheus, document, window)
        for panel in dashboard.panels:
            for query in panel.queries:
                labels = {part.split("}}")[0] for part in query.legend.split("{{")[1:]}
                for metric in prometheus.finite(filled(query.expression, first), window):
                    assert labels <= metric.keys(), (panel.title, query.legend, metric)


SHORT = ("Starting", "Deploying", "Training", "Reporting")
"""Phases that may be over between two scrapes."""


def test_the_phases_are_seen_in_order_and_all_episodes_are_as_planned(seen):
    """2 episodes of ratc's evaluation, 3 for the log, 4 online, 2 of o2o's evaluation."""
    prometheus, window = seen
    found = prometheus.get(
        "query_range", query="edgebed_experiment_phase == 1", start=window[0], end=window[1], step=0.5
    )["result"]
    began = {one["metric"]["phase"]: float(one["values"][0][0]) for one in found}
    order = [phase for phase in sorted(began, key=began.get) if phase not in SHORT]
    assert [phase for phase in order if phase != "Evaluating"] in (
        ["Collecting", "FineTuning"],
        ["Collecting", "FineTuning", "Succeeded"],
    )
    planned = prometheus.get(
        "query_range", query="edgebed_experiment_planned_episodes", start=window[0], end=window[1], step=1
    )
    assert {float(value) for one in planned["result"] for _, value in one["values"]} == {11.0}
    played = prometheus.get(
        "query_range", query="edgebed_experiment_episodes", start=window[0], end=window[1], step=0.5
    )
    assert 9 <= max(float(value) for one in played["result"] for _, value in one["values"]) <= 11


def test_rules_are_evaluated_without_errors_and_nothing_critical_fires(seen):
    """On a real run; what a busy machine may cause is a warning."""
    prometheus, window = seen
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert len(rules) >= 15
    assert {rule["health"] for rule in rules} == {"ok"}
    assert prometheus.finite('ALERTS{alertstate="firing",severity="critical"}', window) == []


def test_no_series_names_a_task_and_each_target_has_few(seen):
    """Six targets; a network of three nodes."""
    prometheus, window = seen
    series = prometheus.get("series", **{"match[]": '{__name__=~"edgebed_.*"}', "start": window[0], "end": window[1]})
    labels = {name for one in series for name in one} - {"__name__", "instance", "job"}
    assert labels <= {
        "algorithm", "backend", "destination", "experiment", "kind", "le", "method", "node", "operation", "outcome", "phase",
        "role", "run", "state", "status", "store", "stream", "system", "to",
    }  # fmt: skip
    counts: dict[str, int] = {}
    for one in series:
        counts[one["instance"]] = counts.get(one["instance"], 0) + 1
    assert len(counts) == 6
    assert max(counts.values()) < 500


def test_helm_reads_the_files_as_they_are():
    """Grafana's and Prometheus' braces must not be taken for templates, so the files lie outside of `templates`."""
    assert not [path for path in CHART.rglob("*.json") if "templates" in path.parts]
    assert all(isinstance(path, Path) for path in CHART.glob("alerts/*.yaml"))
