"""A small experiment that every test of the room may bend."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgebed.experiment.specification import Experiment
from edgebed.experiment.validation import validate

Document = dict[str, Any]

SMALL: Document = {
    "apiVersion": "edgebed.dev/v1alpha1",
    "kind": "Experiment",
    "metadata": {"name": "small"},
    "spec": {
        "seed": 7,
        "replicates": 2,
        "network": {
            "nodes": 3,
            "cores": {"choice": [4, 8]},
            "arrivalProbability": {"uniform": [0, 1]},
            "executionFailureRate": {"uniform": [0, 0.1]},
            "linkRateMBps": {"uniform": [10, 40]},
            "linkFailureRate": 0.01,
        },
        "workload": {
            "slotSeconds": 0.5,
            "slots": 10,
            "sizeKB": {"uniform": [1000, 8000]},
            "cyclesPerBit": 800,
            "deadlineSeconds": 4,
        },
        "methods": [
            {"name": "ratc", "policy": "ratc"},
            {
                "name": "o2o",
                "collect": {"policy": "ratc", "episodes": 4},
                "offline": {"algorithm": "sac-cql", "updates": 10},
                "online": {"algorithm": "ppo", "episodes": 20},
            },
        ],
        "evaluation": {"episodes": 2, "curveEpisodes": 1},
    },
}


@pytest.fixture(scope="session")
def small() -> Document:
    """The small experiment's document, to be left as it is."""
    return SMALL


@pytest.fixture
def document() -> Document:
    """A fresh copy of the small experiment's document."""
    return copy.deepcopy(SMALL)


@pytest.fixture
def experiment(document: Document) -> Experiment:
    """The small experiment."""
    return validate(document)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], Path]:
    """Writes a document, or text, as an experiment file."""

    def writer(content: object) -> Path:
        path = tmp_path / "experiment.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return writer
