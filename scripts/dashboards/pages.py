"""docs/metrics.md: every metric that a service serves, from its declaration, and every alert."""

from collections.abc import Sequence

from edgebed.controller.metrics import CONTROLLER_METRICS
from edgebed.edge_node.metrics import NODE_METRICS
from edgebed.metrics import Declared
from edgebed.stores.calls import CALL_FAILURES, CALL_SECONDS
from edgebed.task_generator.metrics import GENERATOR_METRICS
from edgebed.trainer.metrics import TRAINER_METRICS
from scripts.dashboards.alerts import GROUPS

_HEAD = """# Metrics, dashboards and alerts

<!-- made by `python -m scripts.dashboards`; change the metrics.py of a service, or scripts/dashboards/alerts.py, instead -->

Every service has `/metrics` for Prometheus; with `EDGEBED_TOKEN`, scrapes must bear it. Units are base units, counters end in
`_total`, histograms are classic, and no label grows with the tasks. `helm/edgebed/dashboards` holds dashboards for Grafana 10
and later (*Experiment*, *Nodes*, *Links*, *Learning*, *Middleware*), whose variable *Data source* chooses the Prometheus;
`helm/edgebed/alerts` holds the rules. A network of N nodes has 8 N (N - 1) series of its links.

Scrape every second or few: an episode takes seconds. Give no target the labels `experiment`, `run`, `node`, `to` or `role`,
which metrics use themselves: `run` names one run of an experiment, `node` a node by its index in the network.
"""

SERVICES: tuple[tuple[str, str, Sequence[Declared]], ...] = (
    (
        "Controller",
        "Metrics of an experiment are those of the one that runs, or ran last. `stream` says what its episodes are for: "
        "`collect`, `online` or `evaluate`.",
        CONTROLLER_METRICS,
    ),
    (
        "Edge node",
        "`run` and `node` are empty until the node is configured, and counters begin again when it is. A link is told by its "
        "sender, to the receiver `to`.",
        NODE_METRICS,
    ),
    ("Task generator", "Since the process began.", GENERATOR_METRICS),
    ("Trainer", "What learning measured is that of the latest update of any experiment.", TRAINER_METRICS),
    (
        "Stores",
        "Served by controller, edge nodes and trainer (`role`), for the stores that they use: `taskLog`, `artefacts`, "
        "`coordination`.",
        (CALL_SECONDS, CALL_FAILURES),
    ),
)


def page() -> str:
    """The page."""
    parts = [_HEAD]
    for title, text, metrics in SERVICES:
        parts.append(f"\n## {title}\n\n{text}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
        parts += [_row(metric) for metric in metrics]
    parts.append("\n## Alerts\n\n| alert | severity | after | meaning | what to do |\n|---|---|---|---|---|\n")
    for alerts in GROUPS.values():
        for one in alerts:
            summary = one.summary.replace("{{ $", "").replace(" }}", "").replace("|", "\\|")
            parts.append(f"| `Edgebed{one.name}` | {one.severity} | {one.lasts} | {summary} | {one.remedy} |\n")
    return "".join(parts)


def _row(metric: Declared) -> str:
    name = metric.name + ("_total" if metric.kind == "counter" else "")
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{name}` | {metric.kind} | {labels} | {metric.text} |\n"
