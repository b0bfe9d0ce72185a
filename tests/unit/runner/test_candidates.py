"""Runs with candidate actors: over networks, from a log, from one that exists; and what is refused before anything runs."""

import copy
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from edgebed.cli.plan import load_experiment, plan
from edgebed.experiment.errors import UserError
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.methods import DomainRandomisation
from edgebed.experiment.reading import to_yaml
from edgebed.experiment.specification import Experiment
from edgebed.experiment.validation import validate
from edgebed.runner import training
from edgebed.runner.progress import Silent
from edgebed.runner.run import run_experiment
from edgebed.runner.setting import Setting, read_actor
from edgebed.runner.teacher import LocalTeacher
from edgebed.runner.training import TrainingLesson, TrainingNetworks
from edgebed.systems.cooperative.candidate_actor import CandidateWeights
from edgebed.systems.cooperative.errors import ModelError
from edgebed.trainer.requests import TrainingTerms

# Three networks of training leave nearly every other one outside of their ranges.
pytestmark = pytest.mark.filterwarnings("ignore::edgebed.systems.cooperative.candidate_ranges.OutsideTraining")
TRAINING = {"algorithm": "worth", "episodes": 6, "episodesPerUpdate": 2, "hidden": 8}
OVER = {"name": "over", "training": TRAINING}
COLLECT = {"policy": "ratc", "episodes": 3}
OUTCOMES = {"algorithm": "outcomes", "updates": 5, "batchSlots": 8, "hidden": 8}
TUNE = {"algorithm": "candidate-ppo", "episodes": 4, "episodesPerUpdate": 2}
DOCUMENT: dict[str, Any] = {
    "apiVersion": "edgebed.dev/v1alpha1",
    "kind": "Experiment",
    "metadata": {"name": "tiny"},
    "spec": {
        "seed": 3,
        "replicates": 2,
        "network": {
            "nodes": 4,
            "cores": {"choice": [4, 8]},
            "arrivalProbability": {"uniform": [0.3, 1]},
            "executionFailureRate": {"uniform": [0, 0.1]},
            "linkRateMBps": {"uniform": [10, 40]},
            "linkFailureRate": 0.01,
        },
        "workload": {
            "slotSeconds": 0.5,
            "slots": 5,
            "sizeKB": {"uniform": [1000, 8000]},
            "cyclesPerBit": {"uniform": [800, 2400]},
            "deadlineSeconds": 4,
        },
        "methods": [OVER],
        "evaluation": {"episodes": 3, "every": 2, "curveEpisodes": 2},
    },
}


def experiment(*methods: dict[str, Any], folder: Path = Path(), **spec: Any) -> Experiment:
    document = copy.deepcopy(DOCUMENT)
    document["spec"] |= {"methods": list(methods), **spec}
    return validate(document, folder=folder)


def run(folder: Path, *methods: dict[str, Any], jobs: int = 1, **spec: Any) -> dict[str, Any]:
    source = spec.pop("source", Path())
    return run_experiment(experiment(*methods, folder=source, **spec), folder, jobs=jobs, progress=Silent())


def networks(folder: Path, count: int, nodes: int = 4, seed: int = 100) -> Path:
    """A file of networks to train on."""
    model = experiment(OVER, seed=seed, network={**DOCUMENT["spec"]["network"], "nodes": nodes}, replicates=count)
    path = folder / f"networks-{count}-{nodes}-{seed}.json"
    path.write_text(json.dumps([network.to_document() for network in read_inputs(model).networks]))
    return path


def test_one_training_serves_all_networks_and_is_tuned_on_each(tmp_path: Path) -> None:
    """All replicates share one training; tuning goes on from it; the file knows what it was trained on."""
    tuned = {"name": "tuned", "training": TRAINING, "online": {**TUNE, "hidden": 8}}
    found = run(tmp_path, {"name": "ratc", "policy": "ratc"}, OVER, tuned, trainingSeeds=2)
    assert set(found["methods"]) == {"ratc", "over", "tuned"}
    assert len(list(tmp_path.glob("stages/training-*"))) == 2
    assert len(list(tmp_path.glob("stages/online-*"))) == 4
    (one, two) = (read_actor(path / "actor.safetensors") for path in tmp_path.glob("stages/training-*"))
    assert isinstance(one, CandidateWeights)
    assert one.ranges["nodes"] == (4, 4)
    assert one.to_bytes() != two.to_bytes()
    assert found["methods"]["over"]["messagesPerTask"] == pytest.approx(3)


def test_the_same_bytes_from_any_number_of_workers(tmp_path: Path) -> None:
    """Two workers, of which one waits for the other's training, find what one finds."""
    runs = []
    for jobs in (1, 2):
        run(tmp_path / str(jobs), OVER, jobs=jobs)
        files = sorted((tmp_path / str(jobs)).glob("stages/*/actor.safetensors"))
        runs.append(((tmp_path / str(jobs) / "results.json").read_bytes(), [file.read_bytes() for file in files]))
    assert runs[0] == runs[1]


def test_training_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that was interrupted after a checkpoint gives the model of one that was not."""
    monkeypatch.setattr(training, "CHECKPOINT_UPDATES", 1)
    run(tmp_path / "whole", OVER)

    class Stop(Exception):
        pass

    steps: list[int] = []
    original = training.Training.step

    def step(self: training.Training) -> None:
        if len(steps) == 2:
            raise Stop
        steps.append(self.updates)
        original(self)

    monkeypatch.setattr(training.Training, "step", step)
    with pytest.raises(Stop):
        run(tmp_path / "pieces", OVER)
    monkeypatch.setattr(training.Training, "step", original)
    run(tmp_path / "pieces", OVER)
    whole, pieces = (next((tmp_path / n).glob("stages/training-*/actor.safetensors")) for n in ("whole", "pieces"))
    assert whole.read_bytes() == pieces.read_bytes()


def test_a_log_alone_starts_one_and_playing_tunes_it(tmp_path: Path) -> None:
    """`outcomes` learns from a collected log, asks whom it was told to, and candidate-ppo goes on from there."""
    offline = {**OUTCOMES, "ask": 2}
    found = run(
        tmp_path,
        {"name": "offline", "collect": COLLECT, "offline": offline},
        {"name": "o2o", "collect": COLLECT, "offline": offline, "online": TUNE},
        {"name": "online", "online": {**TUNE, "hidden": 8}},
        replicates=1,
    )
    assert set(found["methods"]) == {"offline", "o2o", "online"}
    (tuned,) = {
        model.ask for path in tmp_path.glob("stages/*/actor.safetensors") if (model := read_actor(path)).ask != "none"
    }
    assert tuned == 2


def test_networks_of_a_file(tmp_path: Path) -> None:
    """Training takes a file's networks in turn; the run's folder keeps a copy and goes on without the file."""
    path = networks(tmp_path, 3, nodes=5)
    over = {"name": "over", "training": {**TRAINING, "networks": {"from": path.name, "perUpdate": 2}}}
    first = run(tmp_path / "run", over, source=tmp_path, replicates=1)
    (model,) = (read_actor(p / "actor.safetensors") for p in (tmp_path / "run").glob("stages/training-*"))
    assert model.ranges["nodes"] == (5, 5)
    assert run(tmp_path / "run", over, source=tmp_path, replicates=1) == first
    assert list((tmp_path / "run" / "inputs").glob("networks-*.json"))


def test_drawn_networks_have_the_sizes_that_are_asked_for() -> None:
    """Sizes take turns from update to update, seeds differ, and no network is the evaluation's."""
    one = experiment(OVER)
    setting = Setting.of(one, 0, read_inputs(one))
    lesson = TrainingLesson({}, "specification", 2, (3, 6), 4, 4, "none", ("none",), 0, 1, "")
    drawn = TrainingNetworks(setting, lesson)
    drawn.check()
    assert [drawn.network(k).nodes for k in range(8)] == [3, 3, 6, 6, 3, 3, 6, 6]
    assert len({drawn.seed(k) for k in range(8)}) == 8
    assert min(drawn.seed(k) for k in range(8)) >= 2**32


def test_networks_are_varied(tmp_path: Path) -> None:
    """With domain randomisation networks, tasks and the model's ranges go beyond the setup, and every draw can be repeated."""
    varied = {"share": 1, "coreFrequency": {"uniform": [2, 3]}, "slotLength": {"choice": [0.5, 2]}}
    over = {"name": "over", "training": {**TRAINING, "networks": {"domainRandomisation": varied}}}
    one = experiment(over)
    setting = Setting.of(one, 0, read_inputs(one))

    def drawn(variation: dict[str, Any] | None) -> TrainingNetworks:
        terms = (2, (), 4, 4, "none", ("none",), 0, 1, "", variation)
        return TrainingNetworks(setting, TrainingLesson({}, "specification", *terms))

    plain, networks, again = drawn(None), drawn(varied), drawn(varied)
    ratios = [networks.network(k).capacity_hz / plain.network(k).capacity_hz for k in range(8)]
    assert all(ratio == pytest.approx(ratio[0]) and 2 <= ratio[0] < 3 for ratio in ratios)
    assert len({float(ratio[0]) for ratio in ratios}) == 8
    assert {networks.workload_model(k).slot_s for k in range(8)} == {0.25, 1.0}
    assert {plain.workload_model(k) for k in range(8)} == {setting.workload_model}
    assert all(networks.network(k).same(again.network(k)) for k in range(8))
    run(tmp_path / "varied", over)
    run(tmp_path / "plain", OVER)
    (wide, narrow) = (
        read_actor(next((tmp_path / name).glob("stages/training-*")) / "actor.safetensors")
        for name in ("varied", "plain")
    )
    assert isinstance(wide, CandidateWeights)
    assert isinstance(narrow, CandidateWeights)
    assert narrow.ranges["slotSeconds / deadline"] == (0.125, 0.125)
    assert set(wide.ranges["slotSeconds / deadline"]) <= {0.0625, 0.25}
    time = "execution time of the mean task / deadline"
    assert wide.ranges[time][0] < narrow.ranges[time][0]


def test_a_trainer_elsewhere_is_told_how_networks_are_varied() -> None:
    """The lesson arrives as it was sent."""
    varied = DomainRandomisation.model_validate({"share": 0.5, "linkRate": {"uniform": [0.5, 2]}, "slotLength": 0.5})
    terms = (2, (3, 6), 4, 4, "none", ("none", 2), 0, 1, "", varied.document())
    lesson = TrainingLesson({"hidden": 8}, "specification", *terms)
    assert TrainingTerms.model_validate_json(json.dumps(asdict(lesson))).lesson() == lesson
    plain = replace(lesson, domain_randomisation=None)
    assert TrainingTerms.model_validate_json(json.dumps(asdict(plain))).lesson() == plain


def test_a_varied_network_of_the_evaluation_is_still_one_of_it(tmp_path: Path) -> None:
    """A factor does not make another network of one that is evaluated."""
    evaluated = networks(tmp_path, 2, seed=3)
    varied = {"linkRate": 1.01}
    over = {
        "name": "over",
        "training": {**TRAINING, "networks": {"from": evaluated.name, "domainRandomisation": varied}},
    }
    with pytest.raises(UserError, match="is also one of the evaluation"):
        run(tmp_path / "run", over, source=tmp_path)


@pytest.mark.parametrize(
    ("varied", "words"),
    [
        ({"share": 0, "linkRate": 2}, r"domainRandomisation.share"),
        (
            {"share": 0.5},
            "domainRandomisation: varies nothing; give a factor to one of arrivalProbability, coreFrequency",
        ),
        ({"linkRate": 0}, r"domainRandomisation.linkRate: 0 is not allowed; give a number from 0.01 to 100"),
        ({"linkRate": {"uniform": [2, 1]}}, r"linkRate.uniform: \[2, 1\] is not allowed; give the lower end first"),
        ({"linkRateMBps": 2}, "domainRandomisation.linkRateMBps"),
    ],
)
def test_a_wrong_variation_is_refused(varied: dict[str, Any], words: str) -> None:
    """With the field, and what would be right."""
    with pytest.raises(UserError, match=words):
        experiment({"name": "over", "training": {**TRAINING, "networks": {"domainRandomisation": varied}}})


def test_an_overlap_is_refused(tmp_path: Path) -> None:
    """A training network that is also evaluated is refused, when validating and when running, before anything is learned."""
    evaluated = networks(tmp_path, 2, seed=3)
    over = {"name": "over", "training": {**TRAINING, "networks": {"from": evaluated.name}}}
    found = r"training.networks: network 0 of .* is also one of the evaluation"
    with pytest.raises(UserError, match=found):
        run(tmp_path / "run", over, source=tmp_path)
    assert not list((tmp_path / "run").glob("stages/training-*"))
    file = tmp_path / "experiment.yaml"
    file.write_text(to_yaml(experiment(over)))
    with pytest.raises(UserError, match="also one of the evaluation"):
        plan(load_experiment(file, None))


def test_networks_without_chance_are_all_the_same_and_refused(tmp_path: Path) -> None:
    """A specification whose networks cannot differ has nothing to train on but what it evaluates."""
    network = {
        "nodes": 3,
        "cores": 8,
        "arrivalProbability": 0.5,
        "executionFailureRate": 0.1,
        "linkRateMBps": 20,
        "linkFailureRate": 0.01,
    }
    with pytest.raises(UserError, match="a network that was drawn to learn on is also one of the evaluation"):
        run(tmp_path, OVER, network=network)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("[]", "has no networks"),
        ("{", "is cut off"),
        ('[{"capacityHz": [1]}]', "missing"),
    ],
)
def test_a_wrong_file_of_networks_is_refused(tmp_path: Path, content: str | None, words: str) -> None:
    """With the file's name and what would be right."""
    if content is not None:
        (tmp_path / "some.json").write_text(content)
    over = {"name": "over", "training": {**TRAINING, "networks": {"from": "some.json"}}}
    with pytest.raises(UserError, match=words):
        run(tmp_path / "run", over, source=tmp_path)


def test_unequal_networks_in_one_update_are_refused(tmp_path: Path) -> None:
    """The networks of one update have equally many nodes."""
    both = [json.loads(networks(tmp_path, 1, nodes).read_text())[0] for nodes in (3, 5)]
    (tmp_path / "both.json").write_text(json.dumps(both))
    over = {"name": "over", "training": {**TRAINING, "networks": {"from": "both.json", "perUpdate": 2}}}
    with pytest.raises(UserError, match="has networks of 3 to 5 nodes"):
        run(tmp_path / "run", over, source=tmp_path)


def test_the_paper_actor_is_no_start(tmp_path: Path) -> None:
    """candidate-ppo refuses to go on with an actor of one network."""
    run(tmp_path / "a", {"name": "a", "online": {"algorithm": "ppo", "episodes": 1, "hidden": 8}}, replicates=1)
    (path,) = (tmp_path / "a").glob("stages/online-*/actor.safetensors")
    (tmp_path / "paper.safetensors").write_bytes(path.read_bytes())
    tuned = {"name": "tuned", "start": "paper.safetensors", "online": TUNE}
    with pytest.raises(ModelError, match="candidate-ppo goes on with a candidate actor"):
        run(tmp_path / "b", tuned, source=tmp_path, replicates=1)
    file = tmp_path / "experiment.yaml"
    file.write_text(to_yaml(experiment(tuned)))
    with pytest.raises(UserError, match="an actor of one network"):
        plan(load_experiment(file, None))


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ({"training": TRAINING, "policy": "ratc"}, "training: is not allowed beside policy"),
        ({"training": TRAINING, "start": "generalist"}, "start: is not allowed beside training"),
        ({"start": "generalist"}, "start: is not followed by online; give online too, or policy: generalist"),
        (
            {"training": TRAINING, "online": {"algorithm": "ppo", "episodes": 1}},
            "online.algorithm: 'ppo' does not go on",
        ),
        ({"start": "generalist", "online": {"algorithm": "ppo", "episodes": 1}}, "give candidate-ppo"),
        ({"collect": COLLECT, "offline": {**OUTCOMES, "discount": 0.5}}, "offline.discount: is not used by outcomes"),
        ({"collect": COLLECT, "offline": {"algorithm": "sac-cql", "updates": 1, "ask": "all"}}, "not used by sac-cql"),
        ({"online": {**TUNE, "gaeLambda": 0.5}}, "online.gaeLambda: is not used by candidate-ppo"),
        ({"online": {"algorithm": "ppo", "episodes": 1, "crowding": 2.0}}, "online.crowding: is not used by ppo"),
        ({"training": {**TRAINING, "ask": "some"}}, "training.ask"),
        ({"training": {**TRAINING, "ask": 0}}, "training.ask"),
        ({"training": {**TRAINING, "networks": {"nodes": [1]}}}, r"training.networks.nodes\[0\]"),
        ({"collect": COLLECT, "offline": OUTCOMES, "online": {**TUNE, "hidden": 9}}, "differs from offline.hidden"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_methods_that_make_no_sense(method: dict[str, Any], words: str) -> None:
    """Every one is refused with the field and what would be right."""
    with pytest.raises(UserError, match=words):
        experiment({"name": "wrong", **method})


def test_defaults_are_the_algorithms_own() -> None:
    """A document with defaults filled in is the same experiment."""
    one = experiment(
        {"name": "a", "collect": COLLECT, "offline": {"algorithm": "outcomes", "updates": 3}, "online": TUNE}
    )
    method = one.spec.methods[0]
    assert method.offline is not None
    assert method.online is not None
    assert (method.offline.learning_rate, method.offline.temperature, method.offline.hidden) == (1e-3, 0.2, 48)
    assert (method.online.epochs, method.online.entropy, method.online.hidden) == (3, 0.003, 48)
    assert validate(one.to_document()).to_document() == one.to_document()


def test_a_teacher_tells_how_far_training_is(tmp_path: Path) -> None:
    """Progress in updates, with the success rate seen."""
    one = experiment(OVER)
    told: list[tuple[float, str]] = []

    class Told(Silent):
        def advanced(self, stage: str, amount: float, note: str = "") -> None:
            told.append((amount, note))

    setting = Setting.of(one, 0, read_inputs(one))
    lesson = TrainingLesson({"hidden": 8}, "specification", 1, (), 3, 2, "none", ("none", 2), 0, 1, "training")
    LocalTeacher(setting).train(lesson, tmp_path, tmp_path / "unfinished", Told())
    assert [amount for amount, _ in told] == [0, 1, 1, 1]
    assert told[-1][1].startswith("success ")
