"""Dashboards as data, and the JSON that Grafana 10 and later wants of them: laid out row by row, the same at every run.

    Dashboard("edgebed-nodes", "edgebed / Nodes", "...", (RUN, NODE), (
        Row("Queues", (
            Panel("Waiting tasks", "Tasks waiting for execution", (Query("...", "node {{node}}"),), unit="none"),
        )),
    ))

Panels of a row stand side by side until 24 columns are full. Only panel types that every Grafana has are used.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

COLUMNS = 24
SCHEMA_VERSION = 39
PLUGIN_VERSION = "10.4.0"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Kind = Literal["timeseries", "stat", "gauge", "bargauge", "table", "heatmap", "state-timeline"]
Json = dict[str, Any]

GREEN, YELLOW, ORANGE, RED, BLUE = "green", "yellow", "orange", "red", "blue"


@dataclass(frozen=True)
class Query:
    """One expression of a panel."""

    expression: str
    legend: str = ""
    """With labels as {{label}}; the name of its column in a table."""


@dataclass(frozen=True)
class Panel:
    """What is seen in one frame."""

    title: str
    text: str
    """Says what is shown and how to read it; under the (i) of the panel."""
    queries: tuple[Query, ...]
    unit: str = "none"
    """Of Grafana: none, percentunit, s, Bps, ops, hertz, bytes, ..."""
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    decimals: int | None = None
    low: float | None = None
    high: float | None = None
    stacked: bool = False
    steps: tuple[tuple[float | None, str], ...] = ((None, GREEN),)
    """Thresholds: from which value on which colour."""
    words: tuple[tuple[float, str, str], ...] = ()
    """(value, text, colour) of values that mean something."""
    empty: str | None = None
    """Why a healthy run may show nothing here for some values of the variables; None where that would be a fault."""


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """What a viewer chooses; its values are those of a label."""

    name: str
    title: str
    metric: str
    """A selector, which may use variables before this one."""
    label: str
    several: bool = False
    """Whether several may be chosen, and all of them are at first."""
    sort: int = 3
    """Grafana's: 1 and 2 alphabetical, 3 and 4 numerical; rising, falling."""


@dataclass(frozen=True)
class Dashboard:
    """One page."""

    uid: str
    title: str
    text: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    tags: tuple[str, ...] = field(default=("edgebed",))

    @property
    def panels(self) -> list[Panel]:
        """Of all rows."""
        return [panel for row in self.rows for panel in row.panels]


EXPERIMENT = Variable("experiment", "Experiment", "edgebed_experiment_info", "experiment", sort=1)
RUN = Variable("run", "Run", 'edgebed_experiment_info{experiment="$experiment"}', "run", sort=2)
METHOD = Variable("method", "Method", 'edgebed_experiment_method_episodes{run="$run"}', "method", True, sort=1)
NODE = Variable("node", "Node", 'edgebed_node_arrivals_total{run="$run"}', "node", True)
TO = Variable("to", "To node", 'edgebed_node_link_configured_bytes_per_second{run="$run"}', "to", True)
ROLE = Variable("role", "Service", "edgebed_store_call_seconds_count", "role", True, sort=1)


def written(dashboard: Dashboard) -> str:
    """The file's content."""
    return json.dumps(document(dashboard), indent=2, ensure_ascii=False) + "\n"


def document(dashboard: Dashboard) -> Json:
    """As Grafana exports a dashboard."""
    panels: list[Json] = []
    y = 0
    for row in dashboard.rows:
        panels.append(_row(len(panels) + 1, row.title, y))
        y += 1
        x = height = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            place = {"h": panel.height, "w": panel.width, "x": x, "y": y}
            panels.append(_panel(len(panels) + 1, panel, place))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return {
        "annotations": {"list": [_annotations(), _alerts()]},
        "description": dashboard.text,
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "id": None,
        "links": [_others()],
        "panels": panels,
        "refresh": "5s",
        "schemaVersion": SCHEMA_VERSION,
        "tags": list(dashboard.tags),
        "templating": {"list": [_source(), *map(_variable, dashboard.variables)]},
        "time": {"from": "now-30m", "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m"]},
        "timezone": "browser",
        "title": dashboard.title,
        "uid": dashboard.uid,
        "version": 1,
        "weekStart": "",
    }


def _row(number: int, title: str, y: int) -> Json:
    place = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
    return {"collapsed": False, "gridPos": place, "id": number, "panels": [], "title": title, "type": "row"}


def _panel(number: int, panel: Panel, place: Json) -> Json:
    out: Json = {
        "datasource": SOURCE,
        "description": panel.text,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "gridPos": place,
        "id": number,
        "options": _OPTIONS[panel.kind],
        "pluginVersion": PLUGIN_VERSION,
        "targets": [_target(panel.kind, index, query) for index, query in enumerate(panel.queries)],
        "title": panel.title,
        "type": panel.kind,
    }
    if panel.kind == "table":
        out["transformations"] = _columns(panel)
    if panel.kind == "heatmap":
        axis = {"axisPlacement": "left", "reverse": False, "unit": panel.unit}
        out["options"] = {**out["options"], "yAxis": axis}
    return out


def _defaults(panel: Panel) -> Json:
    steps = [{"color": colour, "value": value} for value, colour in panel.steps]
    out: Json = {
        "color": {"mode": "thresholds" if panel.kind in _BY_THRESHOLD else "palette-classic"},
        "custom": _CUSTOM.get(panel.kind, {}),
        "mappings": [],
        "thresholds": {"mode": "absolute", "steps": steps},
        "unit": panel.unit,
    }
    if panel.kind == "timeseries" and panel.stacked:
        out["custom"] = {**out["custom"], "fillOpacity": 40, "stacking": {"group": "A", "mode": "normal"}}
    if panel.words:
        options = {
            f"{value:g}": {"color": colour, "index": index, "text": text}
            for index, (value, text, colour) in enumerate(panel.words)
        }
        out["mappings"] = [{"options": options, "type": "value"}]
    for name, value in (("decimals", panel.decimals), ("min", panel.low), ("max", panel.high)):
        if value is not None:
            out[name] = value
    return out


def _target(kind: Kind, index: int, query: Query) -> Json:
    instant = kind in _INSTANT
    return {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query.expression,
        "format": {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series"),
        "instant": instant,
        "legendFormat": query.legend or "__auto",
        "range": not instant,
        "refId": chr(ord("A") + index),
    }


def _columns(panel: Panel) -> list[Json]:
    """A table with a row for each combination of labels, and a column for each query."""
    names = {f"Value #{chr(ord('A') + index)}": query.legend for index, query in enumerate(panel.queries)}
    if len(panel.queries) == 1:
        names["Value"] = panel.queries[0].legend
    hidden = dict.fromkeys(("Time", "__name__", "job", "instance", "run", "experiment"), True)
    organise = {"excludeByName": hidden, "indexByName": {}, "renameByName": names}
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": organise}]


_INSTANT: tuple[Kind, ...] = ("table", "bargauge")
_BY_THRESHOLD: tuple[Kind, ...] = ("stat", "gauge", "bargauge", "state-timeline")
_REDUCED: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_LEGEND: Json = {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True}
_OPTIONS: dict[Kind, Json] = {
    "timeseries": {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "stat": {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": _REDUCED,
        "showPercentChange": False,
        "textMode": "auto",
        "wideLayout": True,
    },
    "gauge": {
        "minVizHeight": 75,
        "minVizWidth": 75,
        "orientation": "auto",
        "reduceOptions": _REDUCED,
        "showThresholdLabels": False,
        "showThresholdMarkers": True,
        "sizing": "auto",
    },
    "bargauge": {
        "displayMode": "basic",
        "maxVizHeight": 300,
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "auto",
        "orientation": "horizontal",
        "reduceOptions": _REDUCED,
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    },
    "table": {
        "cellHeight": "sm",
        "footer": {"countRows": False, "fields": "", "reducer": ["sum"], "show": False},
        "showHeader": True,
    },
    "heatmap": {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "exponent": 0.5,
            "fill": "dark-orange",
            "mode": "scheme",
            "reverse": False,
            "scale": "exponential",
            "scheme": "Blues",
            "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": False},
    },
    "state-timeline": {
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "mergeValues": True,
        "rowHeight": 0.9,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    },
}
_HIDDEN: Json = {"legend": False, "tooltip": False, "viz": False}
_CUSTOM: dict[Kind, Json] = {
    "timeseries": {
        "axisBorderShow": False,
        "axisCenteredZero": False,
        "axisColorMode": "text",
        "axisLabel": "",
        "axisPlacement": "auto",
        "barAlignment": 0,
        "drawStyle": "line",
        "fillOpacity": 8,
        "gradientMode": "none",
        "hideFrom": _HIDDEN,
        "insertNulls": False,
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "pointSize": 4,
        "scaleDistribution": {"type": "linear"},
        "showPoints": "auto",
        "spanNulls": True,
        "stacking": {"group": "A", "mode": "none"},
        "thresholdsStyle": {"mode": "off"},
    },
    "table": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True, "inspect": False},
    "heatmap": {"hideFrom": _HIDDEN, "scaleDistribution": {"type": "linear"}},
    "state-timeline": {
        "fillOpacity": 70,
        "hideFrom": _HIDDEN,
        "insertNulls": False,
        "lineWidth": 0,
        "spanNulls": False,
    },
}


def _annotations() -> Json:
    """What every dashboard of Grafana has."""
    return {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }


def _alerts() -> Json:
    """Marks when one of our alerts fired."""
    return {
        "datasource": SOURCE,
        "enable": True,
        "expr": 'ALERTS{alertname=~"Edgebed.*",alertstate="firing"}',
        "hide": False,
        "iconColor": "red",
        "name": "Alerts",
        "step": "10s",
        "textFormat": "{{severity}}",
        "titleFormat": "{{alertname}}",
    }


def _others() -> Json:
    """The other dashboards of edgebed, with the same time and variables."""
    return {
        "asDropdown": True,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": ["edgebed"],
        "targetBlank": False,
        "title": "edgebed",
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    }


def _source() -> Json:
    return {
        "current": {},
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "queryValue": "",
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
        "type": "datasource",
    }


def _variable(variable: Variable) -> Json:
    definition = f"label_values({variable.metric},{variable.label})"
    everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return {
        "allValue": ".*" if variable.several else None,
        "current": everything if variable.several else {},
        "datasource": SOURCE,
        "definition": definition,
        "hide": 0,
        "includeAll": variable.several,
        "label": variable.title,
        "multi": variable.several,
        "name": variable.name,
        "options": [],
        "query": {"qryType": 1, "query": definition, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": variable.sort,
        "type": "query",
    }
