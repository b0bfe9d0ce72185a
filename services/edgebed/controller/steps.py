"""Where an experiment is, in one word of a few, and how many episodes it will have played when it is over.

The phases tell their progress in words for people; programs and dashboards want to know which of a few steps that is.
"""

import re
from typing import Any

from edgebed.experiment.specification import Experiment
from edgebed.experiment.sweep import expand
from edgebed.runner.run import units_of

STEPS = (
    "Starting",
    "Deploying",
    "Collecting",
    "Training",
    "FineTuning",
    "Evaluating",
    "Reporting",
    "Succeeded",
    "Failed",
    "Suspended",
)

_WORDS = {
    "collecting with": "Collecting",
    "offline learning": "Training",
    "online learning": "FineTuning",
    "evaluating": "Evaluating",
    "writing results": "Reporting",
}
"""How the label of a phase begins, behind the unit that it is of (`runner.stages`, `phases`)."""
_OVER = {"finished": "Succeeded", "failed": "Failed", "stopped": "Suspended"}
"""By the state of an experiment."""
_BEGINS = re.compile(rf"(?:^|: )({'|'.join(_WORDS)})\b")
DEPLOYING = ": deploying"
"""How the label of a stage ends while nodes are told what to do in it."""


def step_of(label: str | None, state: str = "running") -> str:
    """The step of an experiment of that state whose latest phase calls itself so."""
    if over := _OVER.get(state):
        return over
    if (label or "").endswith(DEPLOYING):
        return "Deploying"
    found = _BEGINS.search(label or "")
    return _WORDS[found[1]] if found else "Starting"


def planned_episodes(experiment: Experiment) -> int:
    """Episodes that nodes will play in all; stages that methods share are played once."""
    stages: dict[tuple[Any, ...], int] = {}
    for unit in units_of(expand(experiment)):
        place = (unit.point, unit.replicate)
        spec = unit.experiment.spec
        for method in spec.methods:
            if method.collect is not None:
                stages["collect", *place, method.collect.model_dump_json()] = method.collect.episodes
            content = method.model_dump_json(exclude={"name"})
            learned = (*place, unit.training_seed if method.learned else 0, content)
            if method.online is not None:
                stages["online", *learned] = method.online.episodes
            stages["evaluate", *learned] = spec.evaluation.episodes
    return sum(stages.values())
