"""What is committed of the chart is what is made: `make generate` changes nothing, and every value is explained."""

import json

import pytest
import yaml

import edgebed
from edgebed.experiment.crd import manifest
from edgebed.operator.rbac import RULES
from edgebed.settings import SETTINGS
from scripts.chart.__main__ import files
from scripts.chart.schema import NAMED, SHAPES
from scripts.chart.values import CHART, VALUES, Value, read


def leaves(values):
    for value in values:
        if value.parts:
            yield from leaves(value.parts)
        else:
            yield value


def test_what_is_committed_is_what_is_made():
    made = files()
    assert {path: path.read_text() for path in made} == made


def test_the_chart_has_the_version_of_the_package():
    """Images are found by it."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == edgebed.__version__


def test_the_chart_gives_the_rights_that_the_operator_needs():
    assert yaml.safe_load((CHART / "files/rules.yaml").read_text())["rules"] == list(RULES)


def test_the_kind_is_the_one_that_edgebed_prints():
    assert (CHART / "files/experiments.yaml").read_text() == manifest()


def test_every_value_is_explained_with_its_default():
    """As Helm's `--set` names it."""
    readme = (CHART / "README.md").read_text()
    found = list(leaves(read()))
    assert len(found) > 100
    for value in found:
        assert f"| `{value.name}` |" in readme
        assert value.meaning.endswith((".", "-")), value.name


def test_a_key_without_a_comment_is_refused(tmp_path):
    path = tmp_path / "values.yaml"
    path.write_text("# Said.\na: 1\nb: 2\n")
    with pytest.raises(ValueError, match="b: no comment explains it"):
        read(path)


def test_a_comment_says_what_is_allowed(tmp_path):
    path = tmp_path / "values.yaml"
    path.write_text(
        "# Of all.\na:\n  # Said,\n  # and more. schema: {enum: [x, y]}\n  b: x\n  # A whole.\n  c: {d: 1}\n"
    )
    [value] = read(path)
    assert value == Value(
        ("a",),
        "Of all.",
        {"b": "x", "c": {"d": 1}},
        parts=(
            Value(("a", "b"), "Said, and more.", "x", {"enum": ["x", "y"]}),
            Value(("a", "c"), "A whole.", {"d": 1}),
        ),
    )


def test_the_schema_knows_every_value_and_nothing_else():
    schema = json.loads((CHART / "values.schema.json").read_text())

    def keys(part):
        return {(name, *rest) for name, inner in part.get("properties", {}).items() for rest in (keys(inner) or {()})}

    assert keys(schema) - {("global",)} == {value.path for value in leaves(read())}
    assert set(NAMED.values()) == set(SHAPES)
    assert schema["additionalProperties"] is False


def test_the_levels_of_the_log_are_those_of_the_services():
    [level] = [value for value in leaves(read()) if value.name == "controller.logLevel"]
    [setting] = [setting for setting in SETTINGS if setting.name == "LOG_LEVEL"]
    assert all(one in setting.meaning for one in level.schema["enum"])


def test_values_of_the_smallest_shape_are_values_of_the_chart():
    known = yaml.safe_load(VALUES.read_text())
    smallest = yaml.safe_load((CHART / "values-minimal.yaml").read_text())

    def within(given, all_of_it):
        return all(
            key in all_of_it and (not isinstance(part, dict) or within(part, all_of_it[key]))
            for key, part in given.items()
        )

    assert within(smallest, known)
