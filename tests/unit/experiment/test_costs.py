"""Tasks of measured costs: what a file may say, what is drawn from it, and what an experiment may say beside it."""

import json

import numpy as np
import pytest

from edgebed.experiment.costs import Cost, Costs, MeasuredTasks, parse_costs
from edgebed.experiment.errors import UserError
from edgebed.experiment.folder import open_run_folder
from edgebed.experiment.inputs import parse_json, read_costs, read_inputs
from edgebed.experiment.reading import load, to_yaml
from edgebed.experiment.sweep import expand
from edgebed.experiment.validation import validate
from edgebed.runner.setting import Setting
from edgebed.systems.cooperative.distributions import Constant, Uniform
from edgebed.systems.cooperative.randomness import Stream

COSTS = Costs("ffmpeg", {"processor": "one"}, (Cost(28, "small", 0.25, 600_000), Cost(3, "large", 2.0, 7_600_001)))


@pytest.fixture
def measured(document, tmp_path):
    """An experiment's document whose tasks come from costs, with their file."""
    (tmp_path / "costs.json").write_bytes(COSTS.to_bytes())
    workload = document["spec"]["workload"]
    del workload["sizeKB"], workload["cyclesPerBit"]
    workload["application"] = {"kind": "ffmpeg", "costs": "costs.json"}
    return document


def inputs_of(document, folder):
    return read_inputs(validate(document, folder=folder))


def test_a_file_is_read_back_as_it_was_written():
    assert parse_costs(parse_json(COSTS.to_bytes(), "costs.json"), "costs.json") == COSTS


def test_tasks_are_drawn_from_the_profiles_all_alike(measured, tmp_path):
    """Size, cycles and profile belong together; each profile has its share of the arrivals, and luck is anybody's."""
    inputs = inputs_of(measured, tmp_path)
    drawn = inputs.tasks.draw(inputs.networks[0], 7, Stream.EVALUATE, range(200))
    assert drawn.profile is not None
    assert drawn.arrives.shape == drawn.profile.shape == (200, 10, 3)
    kinds = {
        (int(p), float(s), float(c))
        for p, s, c in zip(drawn.profile.flat, drawn.size_bits.flat, drawn.cycles.flat, strict=True)
    }
    assert kinds == {(28, 4_800_000.0, 0.25 * 3e9), (3, 60_800_008.0, 2.0 * 3e9)}
    assert abs((drawn.profile == 3).mean() - 0.5) < 0.03
    assert np.abs(drawn.arrives.mean(axis=(0, 1)) - inputs.networks[0].arrival_probability).max() < 0.05
    for luck in (drawn.u_transmission, drawn.u_execution):
        assert 0 < luck.min() < 0.01 < 0.99 < luck.max() <= 1
    assert len(set(drawn.decision_key.tolist())) == 200


def test_an_episode_does_not_depend_on_the_others(measured, tmp_path):
    inputs = inputs_of(measured, tmp_path)
    many = inputs.tasks.draw(inputs.networks[0], 7, Stream.COLLECT, range(5))
    alone = inputs.tasks.draw(inputs.networks[0], 7, Stream.COLLECT, range(3, 4))
    assert many.episode(3).digest == alone.digest
    assert many.episode(2).digest != alone.digest
    assert type(many).join([many.select(slice(0, 2)), many.select(slice(2, 5))]).digest == many.digest


def test_profiles_are_part_of_what_a_workload_is(measured, tmp_path):
    """Two of them that cost the same are different work."""
    inputs = inputs_of(measured, tmp_path)
    assert isinstance(inputs.tasks, MeasuredTasks)
    twin = MeasuredTasks(0.5, 10, (Cost(28, "small", 0.25, 600_000), Cost(4, "twin", 2.0, 7_600_001)), 3e9, Constant(4))
    one = inputs.tasks.draw(inputs.networks[0], 7, Stream.COLLECT, range(1))
    other = twin.draw(inputs.networks[0], 7, Stream.COLLECT, range(1))
    assert np.array_equal(one.cycles, other.cycles)
    assert one.digest != other.digest


def test_cycles_follow_the_frequency_of_the_networks_cores(measured, tmp_path):
    """So that a node with one core takes as long as was measured, whatever its frequency."""
    measured["spec"]["network"]["coreFrequencyGHz"] = 2
    assert inputs_of(measured, tmp_path).tasks.core_hz == 2e9


def test_with_a_network_file_a_core_has_three_gigahertz(measured, tmp_path):
    networks = [network.to_document() for network in inputs_of(measured, tmp_path).networks]
    (tmp_path / "network.json").write_text(json.dumps(networks))
    measured["spec"]["network"] = {"file": "network.json"}
    inputs = inputs_of(measured, tmp_path)
    assert inputs.tasks.core_hz == 3e9
    assert set(inputs.files) == {"network.json", "costs.json"}


def test_the_model_has_the_costs_values(measured, tmp_path):
    """What inputs are scaled with, and what price masks are computed from."""
    measured["spec"]["workload"]["deadlineSeconds"] = {"uniform": [1, 2]}
    model = inputs_of(measured, tmp_path).workload_model
    assert model.size_bits.maximum == 60_800_008.0
    assert model.deadline_s == Uniform(1, 2)
    assert (model.slot_s, model.slots) == (0.5, 10)
    intensities = {0.25 * 3e9 / 4_800_000.0, 2.0 * 3e9 / 60_800_008.0}
    assert model.cycles_per_bit.maximum == max(intensities)


def test_the_costs_are_part_of_every_stages_identity(measured, tmp_path):
    experiment = validate(measured, folder=tmp_path)
    before = Setting.of(experiment, 0, read_inputs(experiment)).fingerprint()
    (tmp_path / "costs.json").write_bytes(COSTS.to_bytes().replace(b'"one"', b'"another"'))
    assert Setting.of(experiment, 0, read_inputs(experiment)).fingerprint() != before


def test_costs_travel_with_the_run(measured, tmp_path):
    """The folder has a copy, runs from it, and notices when the original has changed."""
    given = validate(measured, folder=tmp_path)
    run = open_run_folder(tmp_path / "run", given)
    assert run.experiment.spec.workload.application.costs == "inputs/costs.json"
    assert read_costs(load(run.path / "experiment.yaml"))[0] == COSTS
    assert open_run_folder(tmp_path / "run", given).resumed
    assert open_run_folder(tmp_path / "run", load(run.path / "experiment.yaml")).resumed
    (tmp_path / "costs.json").write_bytes(COSTS.to_bytes().replace(b"0.25", b"0.26"))
    with pytest.raises(UserError, match=r"the content of inputs/costs\.json is not the same"):
        open_run_folder(tmp_path / "run", given)


def test_it_survives_yaml(measured, tmp_path, write):
    first = validate(measured, folder=tmp_path)
    assert load(write(to_yaml(first))) == first


@pytest.mark.parametrize("kind", ["synthetic", "cpu"])
def test_others_may_take_the_time_of_measured_costs(measured, tmp_path, kind):
    """The same tasks, without ffmpeg."""
    measured["spec"]["workload"]["application"]["kind"] = kind
    assert inputs_of(measured, tmp_path).workload_model.slots == 10


def test_a_deadline_can_be_swept(measured, tmp_path):
    measured["spec"]["sweep"] = {"field": "workload.deadlineSeconds", "values": [1, 2]}
    steps = expand(validate(measured, folder=tmp_path))
    assert [step.spec.workload.deadline_seconds for _, step in steps] == [Constant(1), Constant(2)]


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (
            {"sizeKB": 100, "cyclesPerBit": 4},
            [
                "spec.workload.sizeKB: is given beside an application with costs; take it out: what a task is comes",
                "spec.workload.cyclesPerBit: is given beside an application with costs",
            ],
        ),
        ({"file": "trace.parquet"}, ["spec.workload.file: is given beside an application with costs; take it out"]),
        ({"sizeMB": 1}, ["spec.workload.sizeMB: is unknown"]),
        ({"deadlineSeconds": None}, ["spec.workload.deadlineSeconds: null is not allowed; give a number over 0"]),
        (
            {"application": {"kind": "ffmpeg"}},
            ["spec.workload.application.costs: is missing; give it: a JSON file that `edgebed calibrate ffmpeg"],
        ),
        ({"application": {"costs": "costs.json"}}, ["spec.workload.application.kind: is missing"]),
        (
            {"application": {"kind": "ffmpg", "costs": "costs.json"}},
            ["spec.workload.application.kind: 'ffmpg' is not allowed; did you mean ffmpeg?"],
        ),
        ({"application": {"kind": "ffmpeg", "costs": ""}}, ["spec.workload.application.costs: '' is not allowed"]),
        (
            {"application": {"kind": "cpu"}},
            ["spec.workload.sizeKB: is missing; give it", "spec.workload.cyclesPerBit: is missing; give it"],
        ),
    ],
)
def test_what_does_not_belong_together_is_named(measured, change, messages):
    """Everything at once: field, what is there, and what would be right."""
    measured["spec"]["workload"] |= change
    with pytest.raises(UserError) as error:
        validate(measured)
    for message in messages:
        assert message in str(error.value)
    assert len(error.value.problems) == len(messages)


ROW = {"profile": 3, "name": "a", "cpuSeconds": 1.5, "inputBytes": 10}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is not a file of costs; make one with edgebed calibrate"),
        ({"application": "ffmpeg"}, "is not a file of costs"),
        ({"application": "ffmpeg", "profiles": []}, "profiles: is empty; calibrate at least one profile"),
        ({"profiles": [ROW]}, "application: null is not allowed; give the name of an application"),
        ({"application": "ffmpeg", "profiles": [ROW], "seed": 1}, "seed: is unknown"),
        ([ROW, 3], "profiles[1]: 3 is not allowed; give a mapping with profile, name"),
        ([{**ROW, "cpuSecs": 1}], "profiles[0].cpuSecs: is unknown; take it out"),
        ([{key: ROW[key] for key in ROW if key != "name"}], "profiles[0].name: is missing; give a name"),
        ([{**ROW, "cpuSeconds": 0}], "profiles[0].cpuSeconds: 0 is not allowed; give a number over 0"),
        ([{**ROW, "cpuSeconds": "1"}], "profiles[0].cpuSeconds: '1' is not allowed"),
        ([{**ROW, "cpuSeconds": 10**400}], "profiles[0].cpuSeconds: 1000"),
        ([{**ROW, "inputBytes": 1.5}], "profiles[0].inputBytes: 1.5 is not allowed; give a whole number over 0"),
        ([{**ROW, "inputBytes": True}], "profiles[0].inputBytes: true is not allowed"),
        ([{**ROW, "profile": 0}], "profiles[0].profile: 0 is not allowed; give a whole number from 1 to 65535"),
        ([{**ROW, "profile": 65536}], "profiles[0].profile: 65536 is not allowed"),
        ([ROW, {**ROW, "name": "b"}], "profiles[1].profile: 3 is given twice"),
        ('{"application": NaN}', "NaN is not allowed"),
        ('{"application": "ffmpeg", "profiles": [', "is cut off"),
        ({"application": "other", "profiles": [ROW]}, "application: 'other' is not allowed; give costs of ffmpeg"),
    ],
)
def test_wrong_files_of_costs(measured, tmp_path, content, message):
    """Named with file, entry, field and value."""
    if isinstance(content, list) and content:
        content = {"application": "ffmpeg", "profiles": content}
    (tmp_path / "costs.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError) as error:
        inputs_of(measured, tmp_path)
    assert message in str(error.value)
    assert str(tmp_path / "costs.json") in str(error.value)


def test_a_missing_file_says_how_to_make_it(measured, tmp_path):
    (tmp_path / "costs.json").unlink()
    with pytest.raises(UserError) as error:
        inputs_of(measured, tmp_path)
    path = tmp_path / "costs.json"
    wanted = (
        f"spec.workload.application.costs: {path}: no such file; make it with edgebed calibrate ffmpeg --output {path}"
    )
    assert str(error.value) == wanted
