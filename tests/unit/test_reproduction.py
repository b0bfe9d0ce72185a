"""docs/reproduction.md: what is not run again stays, and the testbed setup's settings hold what the page says of them."""

from pathlib import Path
from typing import Any

import pytest

from edgebed.experiment.reading import load
from edgebed.experiment.specification import Experiment
from edgebed.experiment.validation import validate
from edgebed.runner.progress import Silent
from edgebed.runner.run import run_experiment
from scripts import paper
from scripts.claims import CLAIMS, on_network

PAGE = paper.PAGE.read_text()


def test_a_page_without_runs_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reproduces one figure does not lose the others."""
    monkeypatch.setattr(paper, "RUNS", tmp_path)
    assert paper.page(PAGE) == PAGE


def test_every_figure_is_on_the_page_with_a_verdict() -> None:
    """Each has its experiment, its claims, its section and a row at least."""
    assert set(CLAIMS) == set(paper.FIGURES)
    for name in paper.FIGURES:
        assert (paper.ROOT / "deploy" / "experiments" / f"{name}.yaml").exists()
        assert f"\n## {name}: " in PAGE
        assert f"\n| {name} | " in PAGE


@pytest.fixture(scope="module")
def small_testbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The testbed setup on its first network, where a loose mask loses most, with a fifth of the offline updates."""
    experiment = load(paper.ROOT / "deploy" / "experiments" / "testbed-networks.yaml")
    document = experiment.to_document()
    spec = document["spec"]
    spec |= {"replicates": 1, "trainingSeeds": 1, "evaluation": {"episodes": 100, "every": 50, "curveEpisodes": 10}}
    spec["methods"] = [m for m in spec["methods"] if m["name"] in ("ratc", "offline-only", "o2o")]
    for method in spec["methods"]:
        if "offline" in method:
            method["offline"]["updates"] = 400
    small: Experiment = validate(document, folder=experiment.folder)
    return run_experiment(small, tmp_path_factory.mktemp("testbed"), jobs=1, progress=Silent())


def test_offline_learning_keeps_up_with_the_heuristic(small_testbed: dict[str, Any]) -> None:
    """It is within 3 points of RATC, from 200 of its episodes."""
    assert on_network(small_testbed, 0, "offline-only", "ratc").mean > -3


def test_offline_to_online_beats_the_heuristic(small_testbed: dict[str, Any]) -> None:
    """Clearly, after 50 online episodes."""
    low = on_network(small_testbed, 0, "o2o", "ratc").low
    assert low is not None
    assert low > 0
