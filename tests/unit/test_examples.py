"""The experiments that come along."""

import re
from pathlib import Path

import pytest

from edgebed.cli.calibration import chosen
from edgebed.cli.plan import load_experiment, plan
from edgebed.emulation.applications.ffmpeg import Ffmpeg
from edgebed.experiment.costs import Cost, Costs
from edgebed.experiment.errors import UserError

FOLDER = Path(__file__).parents[2] / "deploy" / "experiments"
CALIBRATED = FOLDER / "ffmpeg.yaml"
EXPERIMENTS = sorted(set(FOLDER.glob("*.yaml")) - {CALIBRATED})


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_example_experiment_is_valid(path: Path) -> None:
    """Every experiment in deploy/experiments is valid with the policies that come along, its input files included."""
    assert plan(load_experiment(path, None))["name"] == path.stem


def test_the_one_that_needs_costs_of_this_machine_is_valid_with_them_and_says_how_to_make_them(tmp_path: Path) -> None:
    """They are not committed, because another machine has others."""
    file = tmp_path / CALIBRATED.name
    file.write_text(CALIBRATED.read_text())
    costs = tmp_path / "ffmpeg-costs.json"
    with pytest.raises(UserError, match=rf"no such file; make it with edgebed calibrate ffmpeg --output {costs}"):
        plan(load_experiment(file, None))
    pattern = re.findall(r"--only '(.+)'", CALIBRATED.read_text())[0]
    names = Ffmpeg.profiles()
    profiles = [Cost(number, names[number - 1], 0.5, 10**6) for number in chosen(names, [pattern])]
    costs.write_bytes(Costs("ffmpeg", {}, tuple(profiles)).to_bytes())
    assert len(profiles) == 4
    assert plan(load_experiment(file, None))["name"] == file.stem


def test_there_are_examples() -> None:
    """The quickstart, the figures of the paper and its testbed setup are among them."""
    assert {"quickstart", "fig3", "fig4", "fig6", "testbed", "testbed-networks"} <= {path.stem for path in EXPERIMENTS}
