"""Alerts as data: what must not stay so in a run, for how long it may, and what a person can do about it.

A rule warns of results that will be worth less, or of work that is at a stop; nothing fires in a healthy run, which a test
requires of a real Prometheus. `tests/data/alerts.yaml` holds a case for each that fires and one that does not.
"""

from dataclasses import dataclass
from typing import Any

import yaml

_HEAD = "# Made by `python -m scripts.dashboards`; change scripts/dashboards/alerts.py instead.\n"


@dataclass(frozen=True)
class Alert:
    """One rule."""

    name: str
    """After `Edgebed`."""
    expression: str
    lasts: str
    """How long it must hold."""
    severity: str
    """info, warning or critical."""
    summary: str
    """In one line; may use labels as {{ $labels.run }}."""
    remedy: str
    """What to do."""


_CALLS = "by (role, store, operation)"

GROUPS: dict[str, tuple[Alert, ...]] = {
    "edgebed-experiment": (
        Alert(
            "ExperimentFailed",
            'edgebed_experiment_phase{phase="Failed"} == 1',
            "0s",
            "critical",
            "Experiment {{ $labels.experiment }} failed",
            "GET /v1/experiments/NAME tells the reason. What was played is kept: post the same document to go on.",
        ),
        Alert(
            "ExperimentStalled",
            'sum by (experiment, run) (edgebed_experiment_phase{phase=~"Starting|Deploying|Collecting|FineTuning|Evaluating"})'
            " == 1 "
            "and on (experiment, run) changes(edgebed_experiment_episodes[10m]) == 0",
            "10m",
            "warning",
            "Experiment {{ $labels.experiment }} has played no episode for 10 minutes",
            "See whether all nodes are there, whether the task log can be written, and whether the trainer works.",
        ),
        Alert(
            "EpisodesLate",
            "edgebed_experiment_late_episodes / (edgebed_experiment_episodes > 0) > 0.01",
            "0s",
            "warning",
            "{{ $value | humanizePercentage }} of the episodes of {{ $labels.experiment }} had a slot that began too late",
            "Free the machine of other work, or give nodes and generator more of it; late episodes are marked in the report.",
        ),
        Alert(
            "NodesLost",
            "edgebed_experiment_lost_nodes > 0",
            "10s",
            "critical",
            "{{ $value }} nodes of {{ $labels.experiment }} do not answer",
            "See why their processes ended or cannot be reached; with onNodeLoss: continue their tasks count as failed.",
        ),
        Alert(
            "TasksNotTaken",
            "increase(edgebed_generator_tasks_failed_total[5m]) > 0",
            "0s",
            "warning",
            "{{ $value | humanize }} tasks were not taken by any node within 5 minutes",
            "GET /v1/episodes/current of the task generator names the nodes and the reasons.",
        ),
    ),
    "edgebed-nodes": (
        Alert(
            "NodeFault",
            "edgebed_node_fault == 1",
            "0s",
            "critical",
            "Node {{ $labels.node }} of {{ $labels.run }} has a fault that is no task's luck",
            "GET /v1/episodes/current of the node says which; a policy that fails is the usual reason.",
        ),
        Alert(
            "ProbesUnanswered",
            "sum by (run, node) (rate(edgebed_node_probes_failed_total[1m])) / "
            "(sum by (run, node) (rate(edgebed_node_probes_total[1m])) > 0) > 0.1",
            "1m",
            "warning",
            "{{ $value | humanizePercentage }} of the questions of node {{ $labels.node }} are not answered in time",
            "Decisions wait 0.25 s for each: see whether nodes are away, or starved of processor time.",
        ),
        Alert(
            "ServicesLate",
            "sum by (run, node) (rate(edgebed_node_service_lateness_seconds_sum[1m])) / "
            "(sum by (run, node) (rate(edgebed_node_service_lateness_seconds_count[1m])) > 0) > 0.005",
            "1m",
            "warning",
            "Node {{ $labels.node }} notices the end of services {{ $value | humanizeDuration }} late, on average",
            "More than 5 ms is passed on to the tasks behind: give the nodes real-time priority or an idle core.",
        ),
        Alert(
            "LinkBelowRate",
            "rate(edgebed_node_link_sent_bytes_total[2m]) / (rate(edgebed_node_link_busy_seconds_total[2m]) > 0.01) "
            "/ edgebed_node_link_configured_bytes_per_second < 0.9",
            "2m",
            "warning",
            "Link {{ $labels.node }} to {{ $labels.to }} carries {{ $value | humanizePercentage }} of its configured rate",
            "The network between the two, or one of their processes, is slower than the experiment's link.",
        ),
        Alert(
            "ModelVersionsDiffer",
            "max by (run) (edgebed_node_model_version) != min by (run) (edgebed_node_model_version)",
            "2m",
            "warning",
            "Nodes of {{ $labels.run }} decide with different versions",
            "A node that was started again has not been told; see the controller's log.",
        ),
    ),
    "edgebed-learning": (
        Alert(
            "TrainerJobFailed",
            'increase(edgebed_trainer_jobs_total{state="failed"}[5m]) > 0',
            "0s",
            "warning",
            "A {{ $labels.kind }} job of the trainer failed",
            "The controller asks again where that helps; the trainer's log and the experiment's reason say what went wrong.",
        ),
        Alert(
            "EntropyCollapsed",
            "edgebed_trainer_entropy < 0.001 and changes(edgebed_trainer_updates[5m]) > 0",
            "1m",
            "info",
            "The policy of {{ $labels.experiment }} has made up its mind everywhere ({{ $labels.algorithm }})",
            "It explores no more: raise online.entropy, or lower online.learningRate, if the curve is flat.",
        ),
        Alert(
            "LearningDiverged",
            "edgebed_trainer_value_error != edgebed_trainer_value_error or edgebed_trainer_policy_loss != "
            "edgebed_trainer_policy_loss or edgebed_trainer_value_error > 1e6",
            "0s",
            "critical",
            "Learning of {{ $labels.experiment }} gives no finite numbers any more ({{ $labels.algorithm }})",
            "Lower the learning rate; the model in use is the one before.",
        ),
    ),
    "edgebed-middleware": (
        Alert(
            "TaskLogAway",
            "edgebed_controller_log_away == 1",
            "30s",
            "critical",
            "The controller cannot write the task log",
            "Records are kept in its spool; bring the database back before the disk is full.",
        ),
        Alert(
            "SpoolAway",
            "edgebed_controller_spool_away == 1",
            "0s",
            "critical",
            "The spool of the task log takes nothing",
            "Free space on the disk of EDGEBED_SPOOL: records are in memory only.",
        ),
        Alert(
            "RecordsWaiting",
            "edgebed_controller_queued_records > 20000",
            "2m",
            "warning",
            "{{ $value | humanize }} records wait for the task log",
            "The database is slower than the experiment; give it a faster disk, or fewer nodes.",
        ),
        Alert(
            "RecordsRefused",
            "increase(edgebed_controller_set_aside_records_total[10m]) > 0 or "
            "increase(edgebed_node_refused_records_total[10m]) > 0",
            "0s",
            "critical",
            "Records of tasks were refused for ever",
            "refused.jsonl in the controller's spool, and the nodes' logs, hold them with the reason.",
        ),
        Alert(
            "StoreFailing",
            f"sum {_CALLS} (rate(edgebed_store_call_failures_total[1m])) > 0",
            "1m",
            "critical",
            "{{ $labels.role }}: {{ $labels.operation }} of {{ $labels.store }} fails",
            "See whether that store is there, and has room.",
        ),
        Alert(
            "StoreSlow",
            "histogram_quantile(0.99, sum by (le, role, store, operation) (rate(edgebed_store_call_seconds_bucket[5m]))) > 5",
            "5m",
            "warning",
            "{{ $labels.role }}: {{ $labels.operation }} of {{ $labels.store }} takes {{ $value | humanizeDuration }}",
            "The experiment waits for it between episodes; look at that store's disk and memory.",
        ),
    ),
}


def document(group: str) -> dict[str, Any]:
    """A file of rules, as Prometheus reads it."""
    rules = [
        {
            "alert": f"Edgebed{alert.name}",
            "expr": alert.expression,
            "for": alert.lasts,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "description": alert.remedy},
        }
        for alert in GROUPS[group]
    ]
    return {"groups": [{"name": group, "rules": rules}]}


def written(group: str) -> str:
    """The file's content."""
    return _HEAD + yaml.safe_dump(document(group), sort_keys=False, width=120, allow_unicode=True)
