"""Mistakes in what is given to a command: each is named with its place and a remedy; and a log becomes transitions."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.validation import validate
from edgebed.runner.setting import Setting
from edgebed.stores.log_files import write_log
from edgebed.systems.cooperative.policies.random import Random
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.transitions import Transitions
from tests.unit.cli.tiny import TINY, assert_refused, edgebed

ROOT = Path(__file__).parents[3]
GOLDEN = sorted((ROOT / "tests" / "data" / "golden").glob("*.json"))


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("cores:", "coers:", ("tiny.yaml:7: spec.network.coers: is unknown", "did you mean cores or")),
        ("nodes: 3", "nodes: 0", ("tiny.yaml:6: spec.network.nodes",)),
        ("policy: random", "policy: rnadom", ("tiny.yaml:14: spec.methods[0].policy", "did you mean random?")),
        (
            "policy: random",
            "policy: {kind: rda, coeficient: 1}",
            ("spec.methods[0].policy", "coeficient", "did you mean coefficient?"),
        ),
        ("kind: Experiment", "kind: [", ("tiny.yaml:",)),
    ],
)
@pytest.mark.parametrize("command", ["validate", "run"])
def test_mistake_in_the_file_is_named(tiny: Path, command: str, right: str, wrong: str, said: tuple[str, ...]) -> None:
    """A mistake in the file ends a command with exit code 2, the line, the path of the field and near matches."""
    tiny.write_text(TINY.replace(right, wrong))
    assert_refused(edgebed(command, "tiny.yaml"), 2, *said)
    assert not Path("runs").exists()


def test_replay_refuses_an_unknown_backend() -> None:
    """A backend that cannot replay ends with exit code 2 and those that can."""
    assert_refused(
        edgebed("replay", GOLDEN[0], "--backend", "nonsense"), 2, "'nonsense'", "simulator, virtual, processes"
    )


def test_report_of_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    """A folder without results ends with exit code 2 and what to do."""
    assert_refused(edgebed("report", tmp_path), 2, "there is no results.json", "run the experiment to its end")


@pytest.fixture
def log(tiny: Path) -> Path:
    """Two episodes of the tiny experiment as a log."""
    experiment = validate(yaml.safe_load(TINY))
    setting = Setting.of(experiment, 0, read_inputs(experiment))
    path = tiny.with_name("log.parquet")
    write_log(path, setting.play(Random(setting.context), setting.tasks(Stream.COLLECT, range(2))).log, {})
    return path


def test_convert_writes_transitions(tiny: Path, log: Path) -> None:
    """A log becomes an .npz with the fields of Transitions, and the command says how much there is."""
    result = edgebed("convert", log, "--experiment", tiny, "--output", "transitions.npz")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("transitions.npz: ")
    assert "2 episodes, 5 slots, 3 agents" in result.stdout
    with np.load("transitions.npz") as content:
        assert set(content.files) == {field.name for field in fields(Transitions)}
        arrays: dict[str, Any] = {name: content[name] for name in content.files}
    assert Transitions(**arrays).episodes == 2


def test_convert_refuses_what_it_cannot_convert(tiny: Path, log: Path) -> None:
    """A damaged log, none at all, and a network that the experiment does not have end with exit code 2."""
    arguments = ("--experiment", tiny, "--output", "out.npz")
    assert_refused(edgebed("convert", log, *arguments, "--replicate", "1"), 2, "--replicate", "give 0 to 0")
    assert_refused(
        edgebed("convert", "none.parquet", *arguments), 2, "none.parquet: No such file or directory; check the path"
    )
    log.write_bytes(log.read_bytes()[:-100])
    assert_refused(edgebed("convert", log, *arguments), 2, "log.parquet", "damaged")
    assert not Path("out.npz").exists()


def test_unknown_command_and_no_command_are_answered() -> None:
    """A command that does not exist is a mistake of the user; no command at all shows what there is."""
    assert edgebed("rnu").exit_code == 2
    for arguments in ((), ("--help",)):
        shown = edgebed(*arguments).output
        assert all(command in shown for command in ("run", "validate", "replay", "convert", "report", "policies"))
