"""The operator's file of settings: everything wrong is said at once, by field."""

import pytest

from edgebed.experiment.errors import EnvironmentFault, UserError
from edgebed.operator.main import SettingsFile
from edgebed.operator.settings import OperatorSettings
from tests.unit.operator.world import settings


def refused(**changes):
    with pytest.raises(UserError) as caught:
        settings(**changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"controller": "controller:8080"}, "controller: 'controller:8080' is not allowed"),
        ({"edgeNode": {}}, "edgeNode.image: is missing; give it"),
        ({"edgenode": {"image": "a"}}, "edgenode: is unknown"),
        ({"trainer": {"image": "a", "gpu": -1}}, "trainer.gpu: -1 is not allowed"),
        ({"imagePullPolicy": "Sometimes"}, "imagePullPolicy: 'Sometimes' is not allowed"),
        (
            {"edgeNode": {"image": "a", "resources": {"limits": {"memory": "much"}}}},
            "edgeNode.resources.limits.memory: 'much' is not allowed; give a quantity such as 100m, 2 or 256Mi",
        ),
        (
            {"edgeNode": {"image": "a", "env": {"EDGEBED_NODE": "x"}}},
            "edgeNode.env.EDGEBED_NODE: is not allowed; take it out: the operator sets it itself",
        ),
        (
            {"edgeNode": {"image": "a", "env": {"EDGEBED_TOKEN": "x"}}},
            "edgeNode.env.EDGEBED_TOKEN: is not allowed; name the Secret that holds it under secrets",
        ),
        (
            {"secrets": {"EDGEBED_TOKN": {"secret": "a", "key": "b"}}},
            "secrets.EDGEBED_TOKN: is no secret setting of a service; did you mean EDGEBED_TOKEN?",
        ),
    ],
)
def test_what_is_wrong_is_said_by_field(changes, words):
    assert words in refused(**changes)


def test_everything_is_said_at_once():
    assert len(refused(controller="x", edgeNode={}, runAsUser=0).splitlines()) == 3


def test_a_secret_is_never_in_a_message():
    assert "s3cret" not in refused(edgeNode={"image": "a", "env": {"EDGEBED_TOKEN": "s3cret"}})


@pytest.mark.parametrize("text", ["[", "- a", "", "a: b"])
def test_a_file_that_is_no_settings_is_refused(tmp_path, text):
    path = tmp_path / "operator.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"operator\.yaml"):
        OperatorSettings.read(path)


def test_a_file_that_is_not_there_names_the_variable(tmp_path):
    with pytest.raises(EnvironmentFault, match="EDGEBED_OPERATOR_SETTINGS"):
        OperatorSettings.read(tmp_path / "none.yaml")


def test_a_file_that_changes_is_read_again_unless_it_is_wrong(tmp_path):
    path = tmp_path / "operator.yaml"
    role = "{image: a}"
    text = f"{{controller: 'http://a:1', edgeNode: {role}, taskGenerator: {role}, trainer: {role}, simulator: {role}}}"
    path.write_text(text)
    file = SettingsFile(path)
    assert file().controller == "http://a:1"
    path.write_text(text.replace("//a:1", "//b:2"))
    assert file().controller == "http://b:2"
    path.write_text("nonsense")
    assert file().controller == "http://b:2"
    path.unlink()
    assert file().controller == "http://b:2"
