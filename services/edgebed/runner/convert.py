"""A task log to a file of transitions, for learners from outside."""

import io
from dataclasses import fields
from pathlib import Path

import numpy as np

from edgebed.experiment.errors import Problem, UserError
from edgebed.experiment.files import write_atomically
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.specification import Experiment
from edgebed.runner.setting import Setting
from edgebed.stores.log_files import read_log
from edgebed.systems.cooperative.conversion import Attribution
from edgebed.systems.transitions import Transitions


def convert_log(log: Path, experiment: Experiment, replicate: int, output: Path) -> dict[str, int]:
    """Write the transitions of a log as .npz, with the fields of `Transitions`; returns how many there are of what."""
    if replicate >= experiment.spec.replicates:
        found = f"{replicate}, but the experiment has {experiment.spec.replicates} networks"
        raise UserError(Problem("--replicate", found, f"give 0 to {experiment.spec.replicates - 1}"))
    records, _ = read_log(log)
    setting = Setting.of(experiment, replicate, read_inputs(experiment))
    transitions = setting.transitions(records, Attribution(experiment.spec.reward.attribution))
    content = io.BytesIO()
    np.savez_compressed(content, **{f.name: getattr(transitions, f.name) for f in fields(Transitions)})
    write_atomically(output if output.suffix == ".npz" else output.with_name(f"{output.name}.npz"), content.getvalue())
    return {
        "records": len(records),
        "episodes": transitions.episodes,
        "slots": transitions.slots,
        "agents": transitions.agents,
    }
