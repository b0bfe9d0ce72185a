"""The experiments that come along."""

from pathlib import Path

import pytest

from edgebed.cli.plan import load_experiment, plan

EXPERIMENTS = sorted((Path(__file__).parents[2] / "deploy" / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_example_experiment_is_valid(path: Path) -> None:
    """Every experiment in deploy/experiments is valid with the policies that come along, its input files included."""
    assert plan(load_experiment(path, None))["name"] == path.stem


def test_there_are_examples() -> None:
    """The quickstart, the figures of the paper and its testbed setup are among them."""
    assert {"quickstart", "fig3", "fig4", "fig6", "testbed", "testbed-networks"} <= {path.stem for path in EXPERIMENTS}
