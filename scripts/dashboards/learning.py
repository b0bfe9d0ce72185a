"""How learning goes: losses, entropy and advantages of the latest updates, the curve, and which model each node uses."""

from scripts.dashboards.grafana import BLUE, EXPERIMENT, GREEN, NODE, ORANGE, RED, RUN, Dashboard, Panel, Query, Row
from scripts.dashboards.promql import total

_T = 'experiment="$experiment"'
_N = 'run="$run",node=~"$node"'
_ONLINE = 'run="$run",stream="online"'


def _measured(title: str, metric: str, text: str, *, width: int = 8, low: float | None = None) -> Panel:
    return Panel(
        title, text, (Query(f"edgebed_trainer_{metric}{{{_T}}}", "{{algorithm}}"),), "short", width=width, low=low
    )


DASHBOARD = Dashboard(
    "edgebed-learning",
    "edgebed / Learning",
    "Losses, entropy and advantages of learning, and the model that each node uses.",
    (EXPERIMENT, RUN, NODE),
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Updates",
                    "Of the network that learned last.",
                    (Query(f"edgebed_trainer_updates{{{_T}}}", "{{algorithm}}"),),
                    "short",
                    "stat",
                    4,
                    4,
                ),
                Panel(
                    "Offline learning",
                    "How much of the latest offline lesson is done.",
                    (Query('edgebed_trainer_job_progress_ratio{kind="offline"}', "done"),),
                    "percentunit",
                    "gauge",
                    4,
                    4,
                    low=0,
                    high=1,
                    steps=((None, BLUE), (1, GREEN)),
                ),
                Panel(
                    "Latest online episode",
                    "Success rate of the latest episode that a learning method played.",
                    (Query(f"edgebed_experiment_latest_success_ratio{{{_ONLINE}}}", "{{method}}"),),
                    "percentunit",
                    "stat",
                    4,
                    4,
                    decimals=1,
                ),
                Panel(
                    "Entropy",
                    "Of the policy; 0 when it has made up its mind everywhere.",
                    (Query(f"edgebed_trainer_entropy{{{_T}}}", "{{algorithm}}"),),
                    "short",
                    "stat",
                    4,
                    4,
                    decimals=3,
                    steps=((None, ORANGE), (0.01, GREEN)),
                ),
                Panel(
                    "Model versions in use",
                    "At all nodes of the run; more than one only while a new model is handed out.",
                    (Query(f'count(count_values("version", edgebed_node_model_version{{{_N}}}))', "versions"),),
                    kind="stat",
                    width=4,
                    height=4,
                    steps=((None, GREEN), (2, ORANGE)),
                ),
                Panel(
                    "Failed jobs",
                    "Of the trainer, since it was started.",
                    (Query('sum(edgebed_trainer_jobs_total{state="failed"})', "failed"),),
                    kind="stat",
                    width=4,
                    height=4,
                    steps=((None, GREEN), (1, RED)),
                ),
            ),
        ),
        Row(
            "Losses",
            (
                _measured("Policy loss", "policy_loss", "Mean loss of the actor in each update; it need not fall."),
                _measured(
                    "Value error",
                    "value_error",
                    "Mean squared error of the state values: falls while the critic learns.",
                    low=0,
                ),
                _measured(
                    "Action value error", "critic_error", "Of sac-cql's two critics, on the tasks of a batch.", low=0
                ),
                _measured(
                    "Conservative gap",
                    "conservative_gap",
                    "By how much sac-cql values the best actions over those of the log; kept small by its penalty.",
                ),
                _measured("Entropy", "entropy", "Of the policy, in nats; a sudden fall to 0 is a collapse.", low=0),
                _measured("Reward", "reward", "Mean outcome of a task in ppo's batches: 1 in time, -1 otherwise."),
            ),
        ),
        Row(
            "Steps of the policy",
            (
                Panel(
                    "Advantage",
                    "Of ppo's decisions before normalisation: mean, and mean plus and minus a standard deviation.",
                    (
                        Query(f"edgebed_trainer_advantage{{{_T}}}", "mean"),
                        Query(
                            f"edgebed_trainer_advantage{{{_T}}} + edgebed_trainer_advantage_deviation{{{_T}}}",
                            "+ deviation",
                        ),
                        Query(
                            f"edgebed_trainer_advantage{{{_T}}} - edgebed_trainer_advantage_deviation{{{_T}}}",
                            "- deviation",
                        ),
                    ),
                    "short",
                ),
                _measured("Divergence", "divergence", "How far an update of ppo moves the policy.", low=0),
                Panel(
                    "Clipped",
                    "Share of decisions whose probability left ppo's clip in an update.",
                    (Query(f"edgebed_trainer_clipped_ratio{{{_T}}}", "{{algorithm}}"),),
                    "percentunit",
                    low=0,
                ),
            ),
        ),
        Row(
            "Models at the nodes",
            (
                Panel(
                    "Learning curve",
                    "Success rate of the online episodes: each, and the mean of those so far.",
                    (
                        Query(f"edgebed_experiment_latest_success_ratio{{{_ONLINE}}}", "{{method}}: episode"),
                        Query(f"edgebed_experiment_success_ratio{{{_ONLINE}}}", "{{method}}: mean"),
                    ),
                    "percentunit",
                    high=1,
                ),
                Panel(
                    "Model version per node",
                    "Version of the scheduler in use; all nodes step together.",
                    (Query(f"edgebed_node_model_version{{{_N}}}", "node {{node}}"),),
                    low=0,
                ),
                Panel(
                    "Policy in use",
                    "Kind and version at each node.",
                    (
                        Query(
                            f"edgebed_node_scheduler_info{{{_N}}} * on (run, node) group_left () "
                            f"edgebed_node_model_version{{{_N}}}",
                            "version",
                        ),
                    ),
                    kind="table",
                ),
            ),
        ),
        Row(
            "Trainer",
            (
                Panel(
                    "Jobs",
                    "Per second, by kind.",
                    (Query(total("edgebed_trainer_jobs_total", "", "kind"), "{{kind}}"),),
                    "ops",
                    stacked=True,
                    low=0,
                ),
                Panel(
                    "Time per job",
                    "Mean over all jobs of a kind so far.",
                    (
                        Query(
                            "sum by (kind) (edgebed_trainer_job_seconds_total) / "
                            "clamp_min(sum by (kind) (edgebed_trainer_jobs_total), 1)",
                            "{{kind}}",
                        ),
                    ),
                    "s",
                    low=0,
                ),
                Panel(
                    "Unfinished jobs",
                    "That wait, and that are being done.",
                    (Query("sum by (state) (edgebed_trainer_unfinished_jobs)", "{{state}}"),),
                    low=0,
                ),
                Panel(
                    "Processor",
                    "Share of one core that the trainer takes.",
                    (Query(total("edgebed_trainer_cpu_seconds_total"), "trainer"),),
                    "percentunit",
                    width=12,
                    low=0,
                ),
                Panel(
                    "Memory",
                    "Resident memory of the trainer.",
                    (Query("sum(edgebed_trainer_memory_bytes)", "trainer"),),
                    "bytes",
                    width=12,
                    low=0,
                ),
            ),
        ),
    ),
)
