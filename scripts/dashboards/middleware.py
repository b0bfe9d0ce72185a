"""Whether what carries the experiment is well: the task log and its spool, artefacts, coordination, and the services."""

from scripts.dashboards.grafana import GREEN, ORANGE, RED, ROLE, Dashboard, Panel, Query, Row
from scripts.dashboards.promql import quantile, rate, total

_SERVICES = (("controller", "controller"), ("node", "nodes"), ("generator", "task generator"), ("trainer", "trainer"))


def _store(name: str) -> str:
    return f'store="{name}",role=~"$role"'


def _calls(title: str, store: str, what: str) -> tuple[Panel, ...]:
    calls, reason = _store(store), f"only some services use {what}"
    return (
        Panel(
            f"{title}: calls",
            f"Calls to {what} per second, by operation.",
            (Query(total("edgebed_store_call_seconds_count", calls, "operation"), "{{operation}}"),),
            "ops",
            low=0,
            empty=reason,
        ),
        Panel(
            f"{title}: duration",
            f"99 % of the calls to {what} take less, by operation.",
            (Query(quantile(0.99, "edgebed_store_call_seconds", calls, "operation"), "{{operation}}"),),
            "s",
            low=0,
            empty=reason,
        ),
        Panel(
            f"{title}: failures",
            f"Calls per second that failed because {what} were away or full.",
            (Query(total("edgebed_store_call_failures_total", calls, "operation"), "{{operation}}"),),
            "ops",
            low=0,
            steps=((None, GREEN), (0.001, RED)),
            empty=reason,
        ),
    )


DASHBOARD = Dashboard(
    "edgebed-middleware",
    "edgebed / Middleware",
    "The task log with its queue and spool, artefacts, coordination and the services' processes, whichever stores are in use.",
    (ROLE,),
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Task log",
                    "Whether the controller can write the task log.",
                    (Query("max(edgebed_controller_log_away)", "log"),),
                    kind="stat",
                    width=4,
                    height=4,
                    words=((0, "there", GREEN), (1, "away", RED)),
                    steps=((None, GREEN), (1, RED)),
                ),
                Panel(
                    "Waiting records",
                    "Task records that the log has not yet: at the controller, and at the nodes.",
                    (
                        Query("sum(edgebed_controller_queued_records)", "controller"),
                        Query("sum(edgebed_node_unsent_records)", "nodes"),
                    ),
                    "short",
                    "stat",
                    5,
                    4,
                    steps=((None, GREEN), (10_000, ORANGE), (100_000, RED)),
                ),
                Panel(
                    "Refused records",
                    "Records that the log, or any database, will never take.",
                    (
                        Query("sum(edgebed_node_refused_records_total)", "by the log"),
                        Query("sum(edgebed_controller_set_aside_records_total)", "set aside"),
                    ),
                    kind="stat",
                    width=5,
                    height=4,
                    steps=((None, GREEN), (1, RED)),
                ),
                Panel(
                    "Services",
                    "That the registry knows to be there.",
                    (Query("sum by (role) (edgebed_controller_instances)", "{{role}}"),),
                    kind="stat",
                    width=6,
                    height=4,
                ),
                Panel(
                    "Failed store calls",
                    "Per second, of all services.",
                    (Query(total("edgebed_store_call_failures_total"), "failures"),),
                    "ops",
                    "stat",
                    4,
                    4,
                    steps=((None, GREEN), (0.001, RED)),
                ),
            ),
        ),
        Row(
            "Task log",
            (
                Panel(
                    "Records",
                    "Per second: taken from nodes, new to the log, known to it already, through the spool.",
                    tuple(
                        Query(
                            total(
                                f"edgebed_controller_{name}_records_total"
                                if name
                                else "edgebed_controller_records_total"
                            ),
                            legend,
                        )
                        for name, legend in (
                            ("", "taken"),
                            ("stored", "stored"),
                            ("repeated", "repeated"),
                            ("spooled", "spooled"),
                        )
                    ),
                    "ops",
                    low=0,
                ),
                Panel(
                    "Queue",
                    "Records that wait for the log: all of them at the controller, on the nodes, on the nodes' disks.",
                    (
                        Query("sum(edgebed_controller_queued_records)", "controller"),
                        Query("sum(edgebed_node_unsent_records)", "nodes"),
                        Query("sum(edgebed_node_spooled_records)", "nodes' disks"),
                    ),
                    low=0,
                ),
                Panel(
                    "Refusals",
                    "Batches refused for now, records refused for ever, and whether log or spool are away.",
                    (
                        Query(total("edgebed_controller_refused_batches_total"), "batches per second"),
                        Query("max(edgebed_controller_log_away)", "log away"),
                        Query("max(edgebed_controller_spool_away)", "spool away"),
                    ),
                    low=0,
                ),
                Panel(
                    "Transactions",
                    "Of the log's writer, per second.",
                    (Query(total("edgebed_controller_log_transactions_total"), "transactions"),),
                    "ops",
                    low=0,
                ),
                Panel(
                    "Duration of writing",
                    "Of one transaction with new records: half, and 99 % of them, took less.",
                    tuple(
                        Query(
                            quantile(q, "edgebed_store_call_seconds", 'store="taskLog",operation="append_rows"'),
                            f"{100 * q:g} %",
                        )
                        for q in (0.5, 0.99)
                    ),
                    "s",
                    low=0,
                ),
                Panel(
                    "All calls",
                    "99 % of the controller's calls to the task log take less, by operation.",
                    (
                        Query(
                            quantile(0.99, "edgebed_store_call_seconds", 'store="taskLog"', "operation"),
                            "{{operation}}",
                        ),
                    ),
                    "s",
                    low=0,
                ),
            ),
        ),
        Row("Artefacts", _calls("Artefacts", "artefacts", "artefacts")),
        Row(
            "Coordination",
            (
                *_calls("Coordination", "coordination", "registry and configuration"),
                Panel(
                    "Heartbeats",
                    "Registrations per second at the controller's own registry: one a second from each service.",
                    (
                        Query(
                            total("edgebed_store_call_seconds_count", 'store="coordination",operation="register"'),
                            "heard",
                        ),
                    ),
                    "ops",
                    width=12,
                    low=0,
                ),
                Panel(
                    "Services there",
                    "Heard of by the registry, whichever it is, by kind.",
                    (Query("sum by (role) (edgebed_controller_instances)", "{{role}}"),),
                    width=12,
                    low=0,
                ),
            ),
        ),
        Row(
            "Processes",
            (
                Panel(
                    "Processor",
                    "Share of one core that services take; nodes all together.",
                    tuple(
                        Query(f"sum({rate(f'edgebed_{name}_cpu_seconds_total')})", legend) for name, legend in _SERVICES
                    ),
                    "percentunit",
                    width=12,
                    low=0,
                ),
                Panel(
                    "Memory",
                    "Resident memory of services; nodes all together.",
                    tuple(Query(f"sum(edgebed_{name}_memory_bytes)", legend) for name, legend in _SERVICES),
                    "bytes",
                    width=12,
                    low=0,
                ),
            ),
        ),
    ),
)
