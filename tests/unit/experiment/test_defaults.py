"""Parameters of policies from outside of a specification: written into it once, and kept with the run."""

import json

import pytest

from edgebed.experiment.defaults import filled, needed
from edgebed.experiment.errors import UserError
from edgebed.experiment.folder import POLICIES, SPECIFICATION, open_run_folder, recorded_defaults
from edgebed.experiment.reading import load
from edgebed.experiment.validation import policy_choices, validate

DEFAULTS = {"rda": {"coefficient": 0.5}, "price-mask": {"anything": 1}}
METHODS = [
    {"name": "open", "policy": "rda"},
    {"name": "given", "policy": {"kind": "rda", "coefficient": 2.0}},
    {"name": "other", "policy": "ratc"},
    {
        "name": "learned",
        "collect": {"policy": "rda", "episodes": 2},
        "offline": {"algorithm": "sac-cql", "updates": 3},
    },
]


@pytest.fixture
def experiment(document):
    document["spec"]["methods"] = METHODS
    return validate(document)


def parameters(experiment):
    return [choice.parameters for _, choice in policy_choices(experiment)]


def test_what_is_left_open_is_filled_and_what_is_given_stays(experiment):
    assert needed(experiment, DEFAULTS) == {"rda": {"coefficient": 0.5}}
    found = filled(experiment, DEFAULTS)
    assert parameters(found) == [{"coefficient": 0.5}, {"coefficient": 2.0}, {}, {"coefficient": 0.5}]
    assert filled(found, DEFAULTS) is found
    assert filled(experiment, {}) is experiment


def test_a_run_keeps_the_defaults_that_it_began_with(experiment, tmp_path):
    """Whatever is asked for later; the specification as run says them, and is the same experiment without any defaults."""
    first = open_run_folder(tmp_path / "run", experiment, defaults=DEFAULTS)
    again = open_run_folder(tmp_path / "run", experiment, defaults={"rda": {"coefficient": 9.0}})
    plain = open_run_folder(tmp_path / "run", experiment)
    assert parameters(first.experiment) == parameters(again.experiment) == parameters(plain.experiment)
    as_run = load(tmp_path / "run" / SPECIFICATION)
    assert parameters(as_run)[0] == {"coefficient": 0.5}
    elsewhere = open_run_folder(tmp_path / "elsewhere", as_run)
    assert elsewhere.experiment.spec == first.experiment.spec
    assert recorded_defaults(tmp_path / "run") == {"rda": {"coefficient": 0.5}}
    assert recorded_defaults(tmp_path / "elsewhere") is None


def test_without_defaults_a_folder_is_as_ever(experiment, tmp_path):
    open_run_folder(tmp_path, experiment, defaults={"random": {"x": 1}})
    assert not (tmp_path / "inputs").exists()
    assert load(tmp_path / SPECIFICATION).spec == experiment.spec


def test_who_opened_the_folder_first_need_not_have_known_the_defaults(experiment, tmp_path):
    """The command opens it, then the controller takes the experiment; the command given again finds it as it is."""
    open_run_folder(tmp_path, experiment)
    taken = open_run_folder(tmp_path, experiment, defaults=DEFAULTS)
    assert taken.resumed
    assert parameters(load(tmp_path / SPECIFICATION))[0] == {"coefficient": 0.5}
    assert open_run_folder(tmp_path, experiment).experiment == taken.experiment


def test_an_interruption_between_the_two_files_is_mended(experiment, tmp_path):
    """The parameters are on the disk before the specification that has them."""
    open_run_folder(tmp_path, experiment)
    (tmp_path / POLICIES).parent.mkdir()
    (tmp_path / POLICIES).write_text(json.dumps({"rda": {"coefficient": 0.5}}))
    assert parameters(open_run_folder(tmp_path, experiment).experiment)[0] == {"coefficient": 0.5}
    assert parameters(load(tmp_path / SPECIFICATION))[0] == {"coefficient": 0.5}


def test_another_experiment_is_still_refused(experiment, document, tmp_path):
    """And nothing is written then."""
    open_run_folder(tmp_path, experiment)
    document["spec"]["seed"] = 77
    with pytest.raises(UserError, match="belongs to another experiment"):
        open_run_folder(tmp_path, validate(document), defaults=DEFAULTS)
    assert not (tmp_path / POLICIES).exists()
