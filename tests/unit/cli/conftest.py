"""A small experiment as a file, and the command line in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from edgebed.cli.app import app
from tests.unit.cli.tiny import TINY

Cli = Callable[..., Any]
Write = Callable[..., Path]


def document(**spec: Any) -> dict[str, Any]:
    """A small experiment; `spec` replaces parts of it."""
    return {
        "apiVersion": "edgebed.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": "tiny"},
        "spec": {
            "backend": "simulator",
            "seed": 3,
            "replicates": 2,
            "network": {
                "nodes": 4,
                "cores": {"choice": [4, 8]},
                "arrivalProbability": {"uniform": [0, 1]},
                "executionFailureRate": {"uniform": [0, 0.4]},
                "linkRateMBps": {"uniform": [10, 40]},
                "linkFailureRate": {"uniform": [0, 0.03]},
            },
            "workload": {
                "slotSeconds": 0.1,
                "slots": 10,
                "sizeKB": {"uniform": [500, 2500]},
                "cyclesPerBit": {"uniform": [400, 800]},
                "deadlineSeconds": 1,
            },
            "methods": [
                {"name": "ratc", "policy": "ratc"},
                {"name": "rda", "policy": {"kind": "rda", "coefficient": 0.5}},
            ],
            "evaluation": {"episodes": 4},
            **spec,
        },
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a small experiment with some parts of its spec replaced, and returns the file."""

    def experiment(**spec: Any) -> Path:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(document(**spec)))
        return path

    return experiment


@pytest.fixture
def cli() -> Cli:
    """Calls `edgebed` with some arguments; gives exit_code, stdout and stderr."""
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny experiment's file, in the folder that commands are given in."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path
