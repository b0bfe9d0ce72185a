"""A trainer elsewhere teaches what a trainer here teaches, to the bit."""

import json
from contextlib import closing

import pytest

from edgebed.experiment.reading import to_yaml
from edgebed.runner.remote import RemoteTeacher, experiment_artefact
from edgebed.runner.teacher import LocalTeacher
from tests.unit.trainer.school import EXPERIMENT, actors, opened, outcome, running


def plainly(artefacts, run):
    """As an experiment without a sweep is published."""
    return experiment_artefact(artefacts, run.path, "tiny")


def both_ways(folder, document=EXPERIMENT, publish=plainly):
    """Outcomes and models of an experiment, learned here and elsewhere."""
    here, setting = opened(folder / "here", document)
    mine, _ = outcome(here, setting, LocalTeacher(setting))
    there, setting = opened(folder / "there", document)
    with running(folder) as trainer:
        name = publish(trainer.artefacts, there)
        with closing(RemoteTeacher(trainer.address, trainer.artefacts, name, 0)) as teacher:
            theirs, _ = outcome(there, setting, teacher)
    return (mine, actors(here)), (theirs, actors(there))


def as_a_point(artefacts, run):
    """As the controller publishes a point of a sweep, with its inputs where they lie in the run's folder."""
    files = {"experiment.yaml": to_yaml(run.experiment).encode()}
    files |= {f"inputs/{path.name}": path.read_bytes() for path in (run.path / "inputs").glob("*")}
    artefacts.publish("runs/point/experiment", files, {})
    found = experiment_artefact(artefacts, run.path, "tiny", run.experiment)
    assert artefacts.open(found).files == artefacts.open("runs/point/experiment").files
    return "runs/point/experiment"


def test_what_is_learned_elsewhere_is_the_same_to_the_bit(tmp_path):
    mine, theirs = both_ways(tmp_path)
    assert theirs == mine


@pytest.mark.parametrize("publish", [plainly, as_a_point])
def test_the_files_that_an_experiment_reads_reach_the_trainer(tmp_path, publish):
    network = {
        "capacityHz": [12e9, 24e9],
        "arrivalProbability": [0.7, 0.9],
        "executionFailureRate": [0.1, 0.0],
        "linkRateBitsPerSecond": [[0, 2e8], [1e8, 0]],
        "linkFailureRate": [[0, 0.01], [0.02, 0]],
    }
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "two.json").write_text(json.dumps(network))
    begin, end = EXPERIMENT.index("  network:"), EXPERIMENT.index("  workload:")
    mine, theirs = both_ways(tmp_path, EXPERIMENT[:begin] + "  network: {file: two.json}\n" + EXPERIMENT[end:], publish)
    assert theirs == mine


def test_a_point_of_a_sweep_is_an_artefact_of_its_own(tmp_path):
    run, _ = opened(tmp_path / "run")
    with running(tmp_path) as trainer:
        names = [
            experiment_artefact(trainer.artefacts, run.path, "tiny"),
            experiment_artefact(trainer.artefacts, run.path, "tiny", run.experiment),
            experiment_artefact(trainer.artefacts, run.path, "tiny", opened(tmp_path / "b", OTHER)[0].experiment),
        ]
    assert names[0] == names[1] != names[2]


OTHER = EXPERIMENT.replace("slots: 12", "slots: 13")
