"""What makes a stage's identity: enough that no result is taken for another's."""

import importlib.metadata
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.methods import PolicyChoice
from edgebed.experiment.validation import validate
from edgebed.runner.setting import Setting
from edgebed.systems import registry

DOCUMENT = {
    "apiVersion": "edgebed.dev/v1alpha1",
    "kind": "Experiment",
    "metadata": {"name": "tiny"},
    "spec": {
        "network": {
            "nodes": 3,
            "cores": 4,
            "arrivalProbability": 0.5,
            "executionFailureRate": 0,
            "linkRateMBps": 20,
            "linkFailureRate": 0,
        },
        "workload": {"slotSeconds": 0.5, "slots": 5, "sizeKB": 1000, "cyclesPerBit": 800, "deadlineSeconds": 4},
        "methods": [{"name": "local", "policy": "local"}],
    },
}
PLUGIN = """\
from edgebed.systems.cooperative.policy import Policy


class Stay(Policy):
    def decide(self, view, answers):
        return view.source{change}
"""


def test_another_packages_policy_is_known_by_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its author changes it and runs again: the results of the old code are not taken for those of the new one."""
    experiment = validate(DOCUMENT)
    setting = Setting.of(experiment, 0, read_inputs(experiment))
    module = tmp_path / "stay_here.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = EntryPoint("stay", "stay_here:Stay", registry.GROUP)
    ours = importlib.metadata.entry_points
    monkeypatch.setattr(registry, "entry_points", lambda **select: [entry, *ours(**select)])
    identities = []
    for change in ("", " + 0", ""):
        module.write_text(PLUGIN.format(change=change))
        sys.modules.pop("stay_here", None)
        identities.append(setting.identity(PolicyChoice.model_validate("stay")))
    assert identities[0] != identities[1]
    assert identities[0] == identities[2]
    assert setting.identity(PolicyChoice.model_validate("local")) == {"policy": "local"}
