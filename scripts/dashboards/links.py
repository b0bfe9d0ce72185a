"""Whether links carry what they are configured to carry: rates, load, queues and failures of every ordered pair of nodes."""

from scripts.dashboards.grafana import (
    BLUE,
    EXPERIMENT,
    GREEN,
    NODE,
    ORANGE,
    RED,
    RUN,
    TO,
    YELLOW,
    Dashboard,
    Panel,
    Query,
    Row,
)
from scripts.dashboards.promql import rate, total

_L = 'run="$run",node=~"$node",to=~"$to"'
_CONFIGURED = f"edgebed_node_link_configured_bytes_per_second{{{_L}}}"
_SINCE = f"edgebed_node_link_sent_bytes_total{{{_L}}} / (edgebed_node_link_busy_seconds_total{{{_L}}} > 0)"
"""Measured rate since the link was configured."""
_NOW = f"{rate('edgebed_node_link_sent_bytes_total', _L)} / ({rate('edgebed_node_link_busy_seconds_total', _L)} > 0)"
_CLOSE = ((None, RED), (0.9, ORANGE), (0.97, GREEN), (1.03, ORANGE))


def _keyed(expression: str) -> str:
    """For a table: only the labels that tell links apart, so that its columns stand in one row."""
    return f"sum by (node, to) ({expression})"


def _transfers(outcome: str) -> str:
    return f'edgebed_node_link_transfers_total{{{_L},outcome="{outcome}"}}'


DASHBOARD = Dashboard(
    "edgebed-links",
    "edgebed / Links",
    "Configured against measured rate of every link, its load, its queue and its failures.",
    (EXPERIMENT, RUN, NODE, TO),
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Measured over configured",
                    "Mean over the links, of all transfers so far: 1 is what was configured.",
                    (Query(f"avg({_SINCE} / {_CONFIGURED})", "mean"),),
                    "percentunit",
                    "stat",
                    5,
                    4,
                    decimals=2,
                    steps=_CLOSE,
                ),
                Panel(
                    "Slowest link",
                    "The smallest quotient of measured and configured rate.",
                    (Query(f"min({_SINCE} / {_CONFIGURED})", "min"),),
                    "percentunit",
                    "stat",
                    5,
                    4,
                    decimals=2,
                    steps=_CLOSE,
                ),
                Panel(
                    "Throughput",
                    "Payload on all links, per second.",
                    (Query(total("edgebed_node_link_sent_bytes_total", _L), "all"),),
                    "Bps",
                    "stat",
                    5,
                    4,
                ),
                Panel(
                    "Cut",
                    "Share of transfers that failed on the way.",
                    (
                        Query(
                            f"sum({_transfers('cut')}) / clamp_min(sum(edgebed_node_link_transfers_total{{{_L}}}), 1)",
                            "cut",
                        ),
                    ),
                    "percentunit",
                    "stat",
                    5,
                    4,
                    decimals=2,
                ),
                Panel(
                    "Lost",
                    "Transfers that ended because the receiver went away.",
                    (Query(f"sum({_transfers('lost')})", "lost"),),
                    kind="stat",
                    width=4,
                    height=4,
                    steps=((None, GREEN), (1, RED)),
                ),
            ),
        ),
        Row(
            "Configured against measured",
            (
                Panel(
                    "Links",
                    "Each link's rates in bytes per second, over all transfers since it was configured.",
                    (
                        Query(_keyed(_CONFIGURED), "configured B/s"),
                        Query(_keyed(_SINCE), "measured B/s"),
                        Query(_keyed(f"100 * {_SINCE} / {_CONFIGURED}"), "measured %"),
                        Query(_keyed(f"edgebed_node_link_transfers_total{{{_L}}}"), "transfers"),
                    ),
                    kind="table",
                    width=12,
                    height=10,
                    decimals=1,
                ),
                Panel(
                    "Measured over configured, now",
                    "The ten links that are furthest below their configured rate.",
                    (Query(f"bottomk(10, ({_NOW}) / {_CONFIGURED})", "{{node}} → {{to}}"),),
                    "percentunit",
                    width=12,
                    height=10,
                    low=0,
                ),
                Panel(
                    "Rates",
                    "Measured and configured rate of each link; choose some nodes above to see them apart.",
                    (Query(_NOW, "{{node}} → {{to}} measured"), Query(_CONFIGURED, "{{node}} → {{to}} configured")),
                    "Bps",
                    width=24,
                    low=0,
                ),
            ),
        ),
        Row(
            "Load",
            (
                Panel(
                    "Utilisation",
                    "Share of the time in which a link carries a task; the ten busiest.",
                    (Query(f"topk(10, {rate('edgebed_node_link_busy_seconds_total', _L)})", "{{node}} → {{to}}"),),
                    "percentunit",
                    low=0,
                    high=1,
                ),
                Panel(
                    "Waiting tasks",
                    "Tasks that wait for a link; the ten longest queues.",
                    (Query(f"topk(10, edgebed_node_link_queue_tasks{{{_L}}})", "{{node}} → {{to}}"),),
                    low=0,
                ),
                Panel(
                    "Throughput by sender",
                    "Payload that each node sends, per second.",
                    (Query(total("edgebed_node_link_sent_bytes_total", _L, "node"), "node {{node}}"),),
                    "Bps",
                    stacked=True,
                    low=0,
                ),
                Panel(
                    "Sent and received",
                    "Payload of the run's nodes: what is sent but not received was cut, or is on its way.",
                    (
                        Query('sum(edgebed_node_sent_payload_bytes_total{run="$run"})', "sent"),
                        Query('sum(edgebed_node_received_payload_bytes_total{run="$run"})', "received"),
                    ),
                    "bytes",
                    width=12,
                    low=0,
                ),
                Panel(
                    "Where tasks go",
                    "Share of all transfers by receiver.",
                    (
                        Query(
                            f"sort_desc(sum by (to) (edgebed_node_link_transfers_total{{{_L}}}) / "
                            f"ignoring (to) group_left () clamp_min(sum(edgebed_node_link_transfers_total{{{_L}}}), 1))",
                            "node {{to}}",
                        ),
                    ),
                    "percentunit",
                    "bargauge",
                    12,
                    low=0,
                    high=1,
                    steps=((None, BLUE),),
                ),
            ),
        ),
        Row(
            "Failures",
            (
                Panel(
                    "Transfers",
                    "Per second, by how they end.",
                    (Query(total("edgebed_node_link_transfers_total", _L, "outcome"), "{{outcome}}"),),
                    "ops",
                    width=12,
                    stacked=True,
                    low=0,
                ),
                Panel(
                    "Cut transfers by link",
                    "Share of each link's transfers that failed on the way, since it was configured.",
                    (
                        Query(
                            f"topk(10, sum by (node, to) ({_transfers('cut')}) / "
                            f"clamp_min(sum by (node, to) (edgebed_node_link_transfers_total{{{_L}}}), 1))",
                            "{{node}} → {{to}}",
                        ),
                    ),
                    "percentunit",
                    "bargauge",
                    12,
                    low=0,
                    high=0.2,
                    steps=((None, GREEN), (0.05, YELLOW), (0.1, ORANGE)),
                ),
            ),
        ),
    ),
)
