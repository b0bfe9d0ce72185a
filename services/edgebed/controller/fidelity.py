"""An evaluation on the testbed against the simulator, task by task: one document per method, replicate and training seed.

The logged decisions are replayed in the simulator on the same tasks, and the same policy is played there on the same luck.
Tasks that went away with their node are counted apart: no decision of theirs is known, so the replay keeps them local, and
they are not compared.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgebed.experiment.fidelity import compare
from edgebed.runner.setting import Setting
from edgebed.runner.stages import outcome_of
from edgebed.simulator.rollout import Rollout, rollout
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.policies.fixed import FixedDecisions
from edgebed.systems.cooperative.policy import Policy
from edgebed.systems.cooperative.workload import Workload


def fidelity(
    setting: Setting, policy: Policy, tasks: Workload, measured: Rollout, results: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What `experiment.fidelity.summarise` takes, but for the method's name.

    `measured` has the episodes of `tasks` numbered from 0, `results` what was kept of each when it was played.
    """
    log = measured.log
    replayed = replay(setting, tasks, log)
    kept = np.ones(len(log), dtype=np.bool_)
    for episode, result in enumerate(results):
        kept[np.flatnonzero(log.episode == episode)[list(result["lostTasks"])]] = False
    medians = [r["probeLatencyP50Seconds"] for r in results if r["probeLatencyP50Seconds"] is not None]
    return {
        **compare(log.select(kept), replayed.select(kept), setting.network),
        "successRate": _rate(setting, measured, tasks.episodes),
        "simulatedSuccessRate": _rate(setting, setting.play(policy, tasks), tasks.episodes),
        "slotLatenessSeconds": [late for result in results for late in result["slotLatenessSeconds"]],
        "probes": {
            "count": int(measured.messages.sum()),
            "bytes": sum(result["probeBytes"] for result in results),
            "latencyP50Seconds": float(np.mean(medians)) if medians else None,
        },
        "priorities": sorted({name for result in results for name in result["priorities"]}),
        "awake": all(result.get("awake", False) for result in results),  # older episodes do not say
        "lost": int((~kept).sum()),
    }


def replay(setting: Setting, tasks: Workload, log: TaskLog) -> TaskLog:
    """The simulator's log of the tasks with the decisions of `log`, in the same order."""
    if tasks.episodes == 0:
        return log
    policies = []
    for episode in range(tasks.episodes):
        own = log.select(log.episode == episode)
        places = zip(own.slot.tolist(), own.source.tolist(), own.destination.tolist(), strict=True)
        policies.append(FixedDecisions({(slot, source): destination for slot, source, destination in places}))
    count = tasks.episodes
    parts = [tasks.episode(episode) for episode in range(count)]
    played = rollout([setting.network] * count, parts, setting.rules, policies, setting.mask_coefficient)
    return TaskLog.join([part.log.shifted(episode) for episode, part in enumerate(played)])


def messages_of(log: TaskLog, results: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, np.dtype[np.int32]]:
    """(R,) questions per task. Nodes count them per episode: each node's are spread over its own tasks, the sums are exact."""
    messages = np.zeros(len(log), dtype=np.int32)
    for episode, result in enumerate(results):
        for node, count in result["probes"].items():
            own = np.flatnonzero((log.episode == episode) & (log.source == int(node)))
            if len(own):
                share, rest = divmod(int(count), len(own))
                messages[own] = share
                messages[own[:rest]] += 1
    return messages


def _rate(setting: Setting, played: Rollout, episodes: int) -> float | None:
    """Mean success rate of the episodes that have a task."""
    rates = np.array(outcome_of(played, episodes).success_rates(setting.rules.horizon))
    return float(np.nanmean(rates)) if (~np.isnan(rates)).any() else None
