"""docs/kubernetes.md says what is so."""

import re
from pathlib import Path

import pytest
import yaml

from edgebed.operator import rbac
from edgebed.operator.settings import OperatorSettings
from scripts.operator_settings import page

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
SOURCES = {path.name: path.read_text() for path in (ROOT / "services" / "edgebed" / "operator").glob("*.py")}


def test_its_tables_are_those_of_the_code():
    assert page(PAGE) == PAGE, "run python -m scripts.operator_settings"


def test_its_example_is_a_file_of_settings():
    [example] = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S) if text.startswith("controller:")]
    assert OperatorSettings.parse(yaml.safe_load(example)).trainer.gpu == 1


@pytest.mark.parametrize("source", ["reconcile.py", "trouble.py"])
def test_every_reason_is_explained(source):
    said = set(re.findall(r'reason(?:, text)? = "([A-Z][A-Za-z]+)"', SOURCES[source]))
    said |= set(re.findall(r'fail\(\s*"(\w+)"', SOURCES[source]))
    said |= set(re.findall(r'^    "([A-Z]\w+(?:BackOff|Never\w+|Name|Error))":', SOURCES[source], re.M))
    for reason in said - {
        "PodsReady",
        "PodsStarting",
        "Waiting",
        "ErrImagePull",
        "CreateContainerError",
        "RunContainerError",
    }:
        assert f"`{reason}`" in PAGE


def test_every_kind_that_is_asked_for_is_allowed():
    """And nothing in the whole cluster, nothing with secrets, and no wildcard."""
    allowed = {
        (group, resource) for rule in rbac.RULES for group in rule["apiGroups"] for resource in rule["resources"]
    }
    for version, plural in re.findall(r'\("(apis?/[^"]+)", "(\w+)"\)', SOURCES["api.py"]):
        group = "" if version == "api/v1" else version.split("/")[1]
        assert (group, plural) in allowed
    assert not {"secrets", "*"} & {resource for _, resource in allowed}
    assert "*" not in str(rbac.RULES)
