"""Dashboards and alerts as files: what is committed is made from data, is read by Grafana and Prometheus, and names what is."""

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from edgebed.metrics import Declared
from scripts.dashboards.__main__ import CHART, DASHBOARDS, files
from scripts.dashboards.alerts import GROUPS
from scripts.dashboards.grafana import COLUMNS, Dashboard
from scripts.dashboards.pages import SERVICES
from tests.prometheus import filled
from tests.servers import program

CASES = Path(__file__).parents[1] / "data/alerts.yaml"
DECLARED: dict[str, Declared] = {metric.name: metric for _, _, metrics in SERVICES for metric in metrics}
SUFFIXES = {
    "counter": {"_total"},
    "gauge": {""},
    "summary": {"_count", "_sum"},
    "histogram": {"_bucket", "_count", "_sum"},
}
SERIES = {name + suffix: metric for name, metric in DECLARED.items() for suffix in SUFFIXES[metric.kind]}
KINDS = {"row", "timeseries", "stat", "gauge", "bargauge", "table", "heatmap", "state-timeline"}

each = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.uid)


def committed(dashboard: Dashboard):
    text = (CHART / f"dashboards/{dashboard.uid.removeprefix('edgebed-')}.json").read_text()
    assert len(text) < 1_000_000
    return json.loads(text)


def expressions(dashboard: Dashboard) -> list[str]:
    return [query.expression for panel in dashboard.panels for query in panel.queries]


def uses(expression: str) -> list[tuple[str, set[str]]]:
    """Series with the labels by which they are selected."""
    found = re.findall(r"\b(edgebed_\w+)(?:\{([^}]*)\})?", expression)
    return [(name, set(re.findall(r"(\w+)=~?\"", selector))) for name, selector in found]


def test_what_is_committed_is_what_is_made():
    """And nothing besides: `make generate` changes nothing."""
    made = files()
    assert {path: path.read_text() for path in made} == made
    assert {*CHART.glob("dashboards/*"), *CHART.glob("alerts/*")} < {*made}


@each
def test_a_dashboard_is_what_grafana_reads(dashboard):
    """Panels with numbers of their own, side by side without overlaps, each with a source, queries and words."""
    document = committed(dashboard)
    panels = document["panels"]
    numbers = [panel["id"] for panel in panels]
    assert len(set(numbers)) == len(numbers)
    assert (document["uid"], document["id"]) == (dashboard.uid, None)
    for panel in panels:
        place = panel["gridPos"]
        assert panel["type"] in KINDS
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= COLUMNS
        if panel["type"] == "row":
            continue
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["targets"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
    titles = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert len(set(titles)) == len(titles)


def test_dashboards_have_names_of_their_own():
    assert len({one.uid for one in DASHBOARDS}) == len({one.title for one in DASHBOARDS}) == len(DASHBOARDS) == 5


@each
def test_variables_are_there_before_they_are_used(dashboard):
    """In expressions, and in the selectors of variables after them."""
    known: set[str] = set()
    for variable in dashboard.variables:
        assert set(re.findall(r"\$(\w+)", variable.metric)) <= known
        assert variable.label in labels_of(variable.metric)
        known.add(variable.name)
    used = {name for expression in expressions(dashboard) for name in re.findall(r"\$(\w+)", expression)}
    assert used - {"__rate_interval"} <= known
    assert known - {"experiment"} <= used, "a choice that changes nothing"


def labels_of(selector: str) -> tuple[str, ...]:
    return SERIES[selector.partition("{")[0]].labels


@pytest.mark.parametrize("expression", [
    *(expression for dashboard in DASHBOARDS for expression in expressions(dashboard)),
    *(alert.expression for alerts in GROUPS.values() for alert in alerts),
])  # fmt: skip
def test_expressions_name_series_and_labels_that_services_serve(expression):
    """A metric that was renamed would leave a panel empty, or an alert silent."""
    assert uses(expression)
    for name, labels in uses(expression):
        assert name in SERIES, name
        assert labels <= {*SERIES[name].labels, "le"}, (name, labels)


def test_every_metric_is_shown_somewhere():
    """What nobody looks at need not be measured."""
    everywhere = [expression for dashboard in DASHBOARDS for expression in expressions(dashboard)]
    everywhere += [alert.expression for alerts in GROUPS.values() for alert in alerts]
    everywhere += [variable.metric for dashboard in DASHBOARDS for variable in dashboard.variables]
    shown = {SERIES[name].name for expression in everywhere for name, _ in uses(expression)}
    assert DECLARED.keys() - shown == set()


def test_expressions_are_promql(tmp_path):
    """Each is read by Prometheus' own tool, as a rule that records it."""
    chosen = dict.fromkeys(("experiment", "run", "method", "node", "to", "role"), "x")
    rules = [
        {"record": f"panel:number_{number}", "expr": filled(expression, chosen)}
        for number, expression in enumerate(e for dashboard in DASHBOARDS for e in expressions(dashboard))
    ]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    said = promtool("check", "rules", str(file))
    assert f"SUCCESS: {len(rules)} rules found" in said


def test_alerts_are_rules_and_fire_when_they_should():
    """By `promtool check rules`, and `test rules` with the cases of tests/data/alerts.yaml."""
    promtool("check", "rules", *map(str, sorted(CHART.glob("alerts/*.yaml"))))
    assert "SUCCESS" in promtool("test", "rules", str(CASES))


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not():
    text = yaml.safe_load(CASES.read_text())
    fires: set[str] = set()
    silent: set[str] = set()
    for case in text["tests"]:
        for one in case.get("promql_expr_test", []):
            (fires if one["exp_samples"] else silent).update(re.findall(r'alertname="(\w+)"', one["expr"]))
        for one in case.get("alert_rule_test", []):
            (fires if one["exp_alerts"] else silent).add(one["alertname"])
    every = {f"Edgebed{alert.name}" for alerts in GROUPS.values() for alert in alerts}
    assert fires == silent == every


def test_alerts_say_how_bad_and_what_to_do():
    for alerts in GROUPS.values():
        for alert in alerts:
            assert alert.severity in ("info", "warning", "critical")
            assert alert.remedy.endswith(".")
            labels = set(re.findall(r"\$labels\.(\w+)", alert.summary))
            assert labels <= {label for name, _ in uses(alert.expression) for label in SERIES[name].labels}


def promtool(*arguments: str) -> str:
    done = subprocess.run(
        [program("promtool", "prometheus"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
