"""How the experiment goes: its phase, what each method achieves, what becomes of tasks, and how far to trust it."""

from edgebed.controller.steps import STEPS
from scripts.dashboards.grafana import (
    BLUE,
    EXPERIMENT,
    GREEN,
    METHOD,
    ORANGE,
    RED,
    RUN,
    YELLOW,
    Dashboard,
    Panel,
    Query,
    Row,
)
from scripts.dashboards.promql import mean, quantile, total

_IT = 'run="$run"'
_METHODS = 'run="$run",method=~"$method"'
_COLOURS = ("text", "super-light-blue", BLUE, "purple", "semi-dark-purple", ORANGE, YELLOW, GREEN, RED, "text")
PHASE = " + ".join(f'{k} * sum(edgebed_experiment_phase{{{_IT},phase="{step}"}})' for k, step in enumerate(STEPS))
"""The number of the present phase, in the order of `STEPS`."""
PHASES = tuple((float(k), step, _COLOURS[k]) for k, step in enumerate(STEPS))


def _share(status: str) -> str:
    """Of a method's tasks of each stream."""
    tasks = f"edgebed_experiment_tasks_total{{{_METHODS}}}"
    one = f'edgebed_experiment_tasks_total{{{_METHODS},status="{status}"}}'
    return f"sum by (method, stream) ({one}) / (sum by (method, stream) ({tasks}) > 0)"


def _shares(title: str, status: str, text: str) -> Panel:
    expression = _share(status).replace('$method"', '$method",stream="evaluate"')
    return Panel(
        title,
        text,
        (Query(expression, "{{method}}"),),
        "percentunit",
        "bargauge",
        steps=((None, GREEN), (0.1, YELLOW), (0.3, ORANGE)),
        low=0,
        high=1,
        decimals=1,
        height=7,
    )


DASHBOARD = Dashboard(
    "edgebed-experiment",
    "edgebed / Experiment",
    "How an experiment goes: phase, success rate of each method, what became of its tasks, and how far to trust it.",
    (EXPERIMENT, RUN, METHOD),
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Phase",
                    "What the experiment does at present.",
                    (Query(PHASE, "phase"),),
                    kind="stat",
                    width=4,
                    height=4,
                    words=PHASES,
                ),
                Panel(
                    "Progress",
                    "Episodes played of all that the experiment will have.",
                    (
                        Query(
                            f"edgebed_experiment_episodes{{{_IT}}} / edgebed_experiment_planned_episodes{{{_IT}}}",
                            "episodes",
                        ),
                    ),
                    "percentunit",
                    "gauge",
                    4,
                    4,
                    low=0,
                    high=1,
                    steps=((None, BLUE), (1, GREEN)),
                ),
                Panel(
                    "Best in evaluation",
                    "The highest mean success rate of any method's evaluation so far.",
                    (Query(f'max(edgebed_experiment_success_ratio{{{_IT},stream="evaluate"}})', "success rate"),),
                    "percentunit",
                    "stat",
                    4,
                    4,
                    decimals=1,
                ),
                Panel(
                    "Tasks",
                    "Tasks of all finished episodes.",
                    (Query(f"sum(edgebed_experiment_tasks_total{{{_IT}}})", "tasks"),),
                    "short",
                    "stat",
                    4,
                    4,
                ),
                Panel(
                    "Nodes",
                    "Nodes of the network that answer.",
                    (
                        Query(f"edgebed_experiment_nodes{{{_IT}}} - edgebed_experiment_lost_nodes{{{_IT}}}", "answer"),
                        Query(f"edgebed_experiment_lost_nodes{{{_IT}}}", "lost"),
                    ),
                    kind="stat",
                    width=4,
                    height=4,
                ),
                Panel(
                    "Late episodes",
                    "Episodes in which a slot began later than a tenth of a slot: their results are not to be trusted.",
                    (Query(f"edgebed_experiment_late_episodes{{{_IT}}}", "late"),),
                    kind="stat",
                    width=4,
                    height=4,
                    steps=((None, GREEN), (1, ORANGE)),
                ),
                Panel(
                    "Phases",
                    "When the experiment was in which phase.",
                    (Query(PHASE, "phase"),),
                    kind="state-timeline",
                    width=16,
                    height=4,
                    words=PHASES,
                ),
                Panel(
                    "This phase",
                    "How much of the present phase is done; nothing where its length is not known.",
                    (Query(f"edgebed_experiment_phase_progress_ratio{{{_IT}}}", "done"),),
                    "percentunit",
                    "gauge",
                    4,
                    4,
                    low=0,
                    high=1,
                    steps=((None, BLUE), (1, GREEN)),
                ),
                Panel(
                    "Running for",
                    "Since the controller began, or took up, the experiment.",
                    (Query(f"edgebed_experiment_elapsed_seconds{{{_IT}}}", "elapsed"),),
                    "s",
                    "stat",
                    4,
                    4,
                ),
            ),
        ),
        Row(
            "Success rate",
            (
                Panel(
                    "Methods in evaluation",
                    "Mean success rate over the evaluation episodes so far. All methods face the same tasks and luck.",
                    (
                        Query(
                            f'sort_desc(edgebed_experiment_success_ratio{{{_METHODS},stream="evaluate"}})', "{{method}}"
                        ),
                    ),
                    "percentunit",
                    "bargauge",
                    8,
                    9,
                    decimals=1,
                    low=0,
                    high=1,
                    steps=((None, RED), (0.5, ORANGE), (0.7, YELLOW), (0.85, GREEN)),
                ),
                Panel(
                    "Learning curve",
                    "Success rate of the episodes that a method plays while it learns online: each episode, and the mean of "
                    "those so far.",
                    (
                        Query(
                            f'edgebed_experiment_latest_success_ratio{{{_METHODS},stream="online"}}',
                            "{{method}}: episode",
                        ),
                        Query(f'edgebed_experiment_success_ratio{{{_METHODS},stream="online"}}', "{{method}}: mean"),
                    ),
                    "percentunit",
                    width=16,
                    height=9,
                    high=1,
                    empty="a method that does not learn online has no curve",
                ),
                Panel(
                    "Every episode",
                    "Success rate of the latest episode of each method and stream.",
                    (Query(f"edgebed_experiment_latest_success_ratio{{{_METHODS}}}", "{{method}}, {{stream}}"),),
                    "percentunit",
                    width=12,
                    height=9,
                    high=1,
                ),
                Panel(
                    "What became of the tasks",
                    "Of each method's episodes: log of the heuristic, online learning, evaluation.",
                    (
                        Query(
                            f"sum by (method, stream) (edgebed_experiment_method_episodes{{{_METHODS}}})", "episodes"
                        ),
                        Query(f"sum by (method, stream) (edgebed_experiment_tasks_total{{{_METHODS}}})", "tasks"),
                        *(
                            Query(f"100 * {_share(status)}", f"{status} %")
                            for status in ("succeeded", "dropped", "failed", "unfinished")
                        ),
                    ),
                    kind="table",
                    width=12,
                    height=9,
                    decimals=1,
                ),
            ),
        ),
        Row(
            "Drops and failures",
            (
                _shares(
                    "Dropped in evaluation", "dropped", "Tasks that could not end by their deadline, of each method."
                ),
                _shares("Failed in evaluation", "failed", "Tasks whose transfer or execution failed, of each method."),
                _shares("Unfinished in evaluation", "unfinished", "Tasks that the horizon cut off, of each method."),
                Panel(
                    "Tasks that end, now",
                    "At all nodes of the run, by what became of them; live, in every phase.",
                    (Query(total("edgebed_node_tasks_total", _IT, "status"), "{{status}}"),),
                    "ops",
                    width=12,
                    stacked=True,
                    low=0,
                ),
                Panel(
                    "Delay of tasks that end",
                    "From arrival to end, whatever the outcome: half of the tasks, and 95 % of them, took less.",
                    tuple(
                        Query(quantile(q, "edgebed_node_task_delay_seconds", _IT), f"{100 * q:g} %")
                        for q in (0.5, 0.95)
                    ),
                    "s",
                    width=12,
                    low=0,
                ),
            ),
        ),
        Row(
            "How far to trust it",
            (
                Panel(
                    "Slots begin late",
                    "From a slot's start to the hand-over of its last task: the mean, and what 99 % stay below.",
                    (
                        Query(quantile(0.99, "edgebed_generator_slot_lateness_seconds"), "99 %"),
                        Query(mean("edgebed_generator_slot_lateness_seconds"), "mean"),
                    ),
                    "s",
                    width=6,
                    low=0,
                ),
                Panel(
                    "Services end late",
                    "How much later than planned nodes notice the end of executions and transfers, on average.",
                    (Query(mean("edgebed_node_service_lateness_seconds", _IT), "mean"),),
                    "s",
                    width=6,
                    low=0,
                ),
                Panel(
                    "Emitted",
                    "Tasks that the generator hands over to nodes per second, and episodes that it begins.",
                    (
                        Query(total("edgebed_generator_tasks_total"), "tasks"),
                        Query(total("edgebed_generator_episodes_total"), "episodes"),
                    ),
                    "ops",
                    width=6,
                    low=0,
                ),
                Panel(
                    "Lost",
                    "Tasks whose node went away, episodes that were late, and tasks that no node took.",
                    (
                        Query(f"edgebed_experiment_lost_tasks{{{_IT}}}", "tasks of lost nodes"),
                        Query(f"edgebed_experiment_late_episodes{{{_IT}}}", "late episodes"),
                        Query("sum(edgebed_generator_tasks_failed_total)", "tasks not taken"),
                    ),
                    width=6,
                    low=0,
                ),
            ),
        ),
    ),
)
