"""What the nodes do: their queues, how busy they are, how they decide, what they ask each other, and what it costs."""

from scripts.dashboards.grafana import (
    BLUE,
    EXPERIMENT,
    GREEN,
    NODE,
    ORANGE,
    RED,
    RUN,
    YELLOW,
    Dashboard,
    Panel,
    Query,
    Row,
)
from scripts.dashboards.promql import mean, quantile, rate, total

_N = 'run="$run",node=~"$node"'
_REMOTE = f'{_N},destination="remote"'

DASHBOARD = Dashboard(
    "edgebed-nodes",
    "edgebed / Nodes",
    "Queues, utilisation, decisions and questions of the edge nodes of a run.",
    (EXPERIMENT, RUN, NODE),
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Utilisation",
                    "Mean share of the time in which the nodes execute a task, pauses between episodes included.",
                    (Query(f"avg({rate('edgebed_node_busy_seconds_total', _N)})", "mean"),),
                    "percentunit",
                    "stat",
                    4,
                    4,
                    decimals=1,
                    low=0,
                    high=1,
                ),
                Panel(
                    "Waiting tasks",
                    "In all execution queues, and for all links.",
                    (
                        Query(f"sum(edgebed_node_execution_queue_tasks{{{_N}}})", "execution"),
                        Query(f"sum(edgebed_node_link_queue_tasks{{{_N}}})", "links"),
                    ),
                    kind="stat",
                    width=4,
                    height=4,
                ),
                Panel(
                    "Arrivals",
                    "Tasks of the nodes' users per second.",
                    (Query(total("edgebed_node_arrivals_total", _N), "arrivals"),),
                    "ops",
                    "stat",
                    4,
                    4,
                    decimals=1,
                ),
                Panel(
                    "Sent elsewhere",
                    "Share of decisions that send a task to another node.",
                    (
                        Query(
                            f"{total('edgebed_node_decisions_total', _REMOTE)} / "
                            f"({total('edgebed_node_decisions_total', _N)} > 0)",
                            "remote",
                        ),
                    ),
                    "percentunit",
                    "stat",
                    4,
                    4,
                    decimals=1,
                ),
                Panel(
                    "Unanswered questions",
                    "Share of questions to other nodes that were not answered in time.",
                    (
                        Query(
                            f"{total('edgebed_node_probes_failed_total', _N)} / "
                            f"clamp_min({total('edgebed_node_probes_total', _N)}, 1e-9)",
                            "failed",
                        ),
                    ),
                    "percentunit",
                    "stat",
                    4,
                    4,
                    decimals=2,
                    steps=((None, GREEN), (0.01, ORANGE), (0.1, RED)),
                ),
                Panel(
                    "Faults",
                    "Nodes at which something went wrong that is no task's luck.",
                    (Query(f"sum(edgebed_node_fault{{{_N}}})", "nodes"),),
                    kind="stat",
                    width=4,
                    height=4,
                    steps=((None, GREEN), (1, RED)),
                ),
            ),
        ),
        Row(
            "Queues",
            (
                Panel(
                    "Execution queues",
                    "Tasks that wait for execution at each node; the one in execution is not counted.",
                    (Query(f"edgebed_node_execution_queue_tasks{{{_N}}}", "node {{node}}"),),
                    width=12,
                    low=0,
                ),
                Panel(
                    "Sending queues",
                    "Tasks that wait at each node for its links, all together.",
                    (Query(f"sum by (node) (edgebed_node_link_queue_tasks{{{_N}}})", "node {{node}}"),),
                    width=12,
                    low=0,
                ),
            ),
        ),
        Row(
            "Utilisation",
            (
                Panel(
                    "Utilisation",
                    "Share of the time in which each node executes a task.",
                    (Query(rate("edgebed_node_busy_seconds_total", _N), "node {{node}}"),),
                    "percentunit",
                    width=12,
                    low=0,
                    high=1,
                ),
                Panel(
                    "Executing",
                    "When each node has a task in execution, as far as it was seen.",
                    (Query(f"edgebed_node_executing_tasks{{{_N}}}", "node {{node}}"),),
                    kind="state-timeline",
                    width=6,
                    words=((0, "idle", "text"), (1, "executes", BLUE)),
                ),
                Panel(
                    "Capacity",
                    "Configured cycles per second of each node.",
                    (Query(f"sort_desc(edgebed_node_capacity_hertz{{{_N}}})", "node {{node}}"),),
                    "hertz",
                    "bargauge",
                    6,
                    low=0,
                    steps=((None, BLUE),),
                ),
            ),
        ),
        Row(
            "Decisions",
            (
                Panel(
                    "Decisions",
                    "Per second: tasks kept, and tasks sent to another node.",
                    (Query(total("edgebed_node_decisions_total", _N, "destination"), "{{destination}}"),),
                    "ops",
                    stacked=True,
                    low=0,
                ),
                Panel(
                    "Sent elsewhere",
                    "Share of each node's decisions that send a task to another node.",
                    (
                        Query(
                            f"{total('edgebed_node_decisions_total', _REMOTE, 'node')} / "
                            f"({total('edgebed_node_decisions_total', _N, 'node')} > 0)",
                            "node {{node}}",
                        ),
                    ),
                    "percentunit",
                    low=0,
                    high=1,
                ),
                Panel(
                    "Time to decide",
                    "The policy's own work per decision, on average; questions are not counted.",
                    (Query(mean("edgebed_node_decision_seconds", _N, "node"), "node {{node}}"),),
                    "s",
                    low=0,
                ),
                Panel(
                    "Policy in use",
                    "By node, with the version that the controller gave it.",
                    (
                        Query(
                            f"edgebed_node_scheduler_info{{{_N}}} * on (run, node) group_left () "
                            f"edgebed_node_model_version{{{_N}}}",
                            "version",
                        ),
                    ),
                    kind="table",
                    width=12,
                    height=7,
                ),
                Panel(
                    "Tasks that end",
                    "Per second at each node, whatever became of them.",
                    (Query(total("edgebed_node_tasks_total", _N, "node"), "node {{node}}"),),
                    "ops",
                    width=12,
                    height=7,
                    low=0,
                ),
            ),
        ),
        Row(
            "Questions to other nodes",
            (
                Panel(
                    "Questions",
                    "Per second, by who asks.",
                    (Query(rate("edgebed_node_probes_total", _N), "node {{node}}"),),
                    "ops",
                    low=0,
                ),
                Panel(
                    "Time to the answer",
                    "Half of the questions, and 99 % of them, are answered within this time.",
                    (
                        Query(quantile(0.5, "edgebed_node_probe_seconds", _N), "50 %"),
                        Query(quantile(0.99, "edgebed_node_probe_seconds", _N), "99 %"),
                    ),
                    "s",
                    low=0,
                ),
                Panel(
                    "Unanswered",
                    "Questions per second without an answer in time, and their share.",
                    (Query(total("edgebed_node_probes_failed_total", _N, "node"), "node {{node}}"),),
                    "ops",
                    low=0,
                ),
                Panel(
                    "Bytes",
                    "Of questions and answers, per second: what deciding costs the network.",
                    (Query(total("edgebed_node_probe_bytes_total", _N, "node"), "node {{node}}"),),
                    "Bps",
                    width=12,
                    low=0,
                ),
                Panel(
                    "Announcements",
                    "Queue lengths told to other nodes, per second.",
                    (Query(total("edgebed_node_announcements_total", _N, "node"), "node {{node}}"),),
                    "ops",
                    width=12,
                    low=0,
                ),
            ),
        ),
        Row(
            "Delays",
            (
                Panel(
                    "Delays",
                    "How many tasks ended after which delay; one edge is the deadline.",
                    (Query(total("edgebed_node_task_delay_seconds_bucket", _N, "le"), "{{le}}"),),
                    "s",
                    "heatmap",
                    12,
                ),
                Panel(
                    "Delay by node",
                    "95 % of the tasks that end at a node took less, from arrival to end.",
                    (Query(quantile(0.95, "edgebed_node_task_delay_seconds", _N, "node"), "node {{node}}"),),
                    "s",
                    width=12,
                    low=0,
                ),
            ),
        ),
        Row(
            "Emulation and process",
            (
                Panel(
                    "Arrivals late",
                    "From the start of a task's slot to its arrival, on average.",
                    (Query(mean("edgebed_node_arrival_lateness_seconds", _N, "node"), "node {{node}}"),),
                    "s",
                    low=0,
                ),
                Panel(
                    "Services late",
                    "From the planned end of an execution or transfer to when the node noticed, on average.",
                    (Query(mean("edgebed_node_service_lateness_seconds", _N, "node"), "node {{node}}"),),
                    "s",
                    low=0,
                    steps=((None, GREEN), (0.005, YELLOW)),
                ),
                Panel(
                    "Records on their way",
                    "Task records that the log has not yet; those that had to go to the node's disk.",
                    (
                        Query(f"edgebed_node_unsent_records{{{_N}}}", "node {{node}}"),
                        Query(f"sum(edgebed_node_spooled_records{{{_N}}})", "on disk, all"),
                    ),
                    low=0,
                ),
                Panel(
                    "Processor",
                    "Share of one core that each node's process takes.",
                    (Query(rate("edgebed_node_cpu_seconds_total", _N), "node {{node}}"),),
                    "percentunit",
                    width=12,
                    low=0,
                ),
                Panel(
                    "Memory",
                    "Resident memory of each node's process.",
                    (Query(f"edgebed_node_memory_bytes{{{_N}}}", "node {{node}}"),),
                    "bytes",
                    width=12,
                    low=0,
                ),
            ),
        ),
    ),
)
