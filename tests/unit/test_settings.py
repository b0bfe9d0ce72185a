"""Settings from the environment: what is read, and what is refused with variable, value and remedy."""

import re

import pytest

from edgebed.settings import SettingsError, read_settings, settings_of_run


def test_without_variables_every_service_listens_on_a_port_of_its_own():
    found = {
        service: read_settings(service, {}) for service in ("controller", "edge-node", "task-generator", "trainer")
    }
    assert len({settings.port for settings in found.values()}) == 4
    assert found["edge-node"].advertise == "http://127.0.0.1:8081"
    assert found["controller"].token is None


def test_who_listens_everywhere_is_reached_by_the_hosts_name():
    settings = read_settings("edge-node", {"EDGEBED_HOST": "0.0.0.0"}, "node-3")
    assert settings.advertise == "http://node-3:8081"


def test_a_secret_comes_from_a_file_and_is_never_shown(tmp_path):
    secret = tmp_path / "token"
    secret.write_text("b1946ac9\n")
    settings = read_settings("edge-node", {"EDGEBED_TOKEN_FILE": str(secret)})
    assert settings.token == "b1946ac9"
    assert "b1946ac9" not in repr(settings)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"EDGEBED_PROT": "1"}, "EDGEBED_PROT: is unknown; did you mean EDGEBED_PORT?"),
        ({"EDGEBED_PORT": "many"}, "EDGEBED_PORT: 'many' is not allowed; give a whole number"),
        ({"EDGEBED_PORT": "70000"}, "EDGEBED_PORT: '70000' is not allowed"),
        (
            {"EDGEBED_CONTROLLER": "controller"},
            "EDGEBED_CONTROLLER: 'controller' is not allowed; give http://HOST:PORT",
        ),
        ({"EDGEBED_OPERATOR": "yes"}, "EDGEBED_OPERATOR: 'yes' is not allowed; give on or off"),
        ({"EDGEBED_LOG_LEVEL": "loud"}, "EDGEBED_LOG_LEVEL: 'loud' is not allowed; give debug"),
        ({"EDGEBED_TOKEN_FILE": "/nowhere/token"}, "EDGEBED_TOKEN_FILE: '/nowhere/token' cannot be read"),
        ({"EDGEBED_TOKEN": "a", "EDGEBED_TOKEN_FILE": "/dev/null"}, "EDGEBED_TOKEN: is given twice"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_remedy(environment, expected):
    with pytest.raises(SettingsError, match=re.escape(expected)):
        read_settings("edge-node", environment)


def test_variables_of_tests_and_of_other_programs_are_nobodys_settings():
    assert read_settings("trainer", {"EDGEBED_TEST_MYSQL_URL": "x", "PATH": "/bin"}).port == 8083


def test_a_run_passes_on_which_stores_to_use(tmp_path):
    """From a file and the environment, which goes first; what else is in the environment is not the run's."""
    file = tmp_path / "middleware.env"
    file.write_text(
        "# servers\n\nEDGEBED_TASK_LOG='mysql+pymysql://edgebed@mysql/edgebed'\n"
        "export EDGEBED_ARTEFACTS=webhdfs://edgebed@namenode:9870/edgebed\n"
    )
    environment = {"EDGEBED_ARTEFACTS": "file:here", "EDGEBED_PORT": "1", "EDGEBED_LOG_LEVEL": "info"}
    assert settings_of_run(environment, file) == {
        "EDGEBED_TASK_LOG": "mysql+pymysql://edgebed@mysql/edgebed",
        "EDGEBED_ARTEFACTS": "file:here",
        "EDGEBED_LOG_LEVEL": "info",
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("EDGEBED_TASK_LGO=x", "EDGEBED_TASK_LGO: is unknown; did you mean EDGEBED_TASK_LOG?"),
        ("EDGEBED_PORT=1", "EDGEBED_PORT is set by the run itself; remove it"),
        ("MYSQL=x", "middleware.env:1: 'MYSQL' is no setting; give EDGEBED_NAME=value"),
        ("EDGEBED_TOKEN_FILE=x", "EDGEBED_TOKEN_FILE is set by the run itself; remove it"),
    ],
)
def test_a_wrong_file_of_settings_is_refused(tmp_path, content, expected):
    file = tmp_path / "middleware.env"
    file.write_text(content)
    with pytest.raises(SettingsError, match=re.escape(expected)):
        settings_of_run({}, file)
