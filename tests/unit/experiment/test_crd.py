"""The CustomResourceDefinition says what the specification says, in the way that Kubernetes wants it said."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgebed.experiment.crd import FORMS, MUTABLE, UNDEFAULTED, custom_resource_definition, manifest, schema
from edgebed.experiment.errors import UserError
from edgebed.experiment.resource import experiment_of
from edgebed.experiment.specification import SCHEDULE, Experiment, Spec
from edgebed.experiment.structural import Converter
from edgebed.experiment.validation import validate

ROOT = Path(__file__).parents[3]
JUNCTORS = ("allOf", "anyOf", "oneOf", "not")
ONLY_OUTSIDE = ("type", "default", "title", "description", "nullable", "additionalProperties")
KNOWN = {
    *("description", "type", "default", "nullable", "properties", "required", "items", "enum", "format", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("maxProperties", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", *JUNCTORS),
}


def inner(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas directly in a schema, outside of anyOf and its like."""
    yield from ((f".{name}", part) for name, part in found.get("properties", {}).items())
    if "items" in found:
        yield "[]", found["items"]


def every(found: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All schemas with their paths."""
    yield path, found
    for name, part in inner(found):
        yield from every(part, path + name)


def violations(found: dict[str, Any], path: str = "") -> Iterator[str]:
    """What Kubernetes' rules for structural schemas have against it."""
    for path, part in every(found):
        free = part.get("x-kubernetes-preserve-unknown-fields", False)
        if part.keys() - KNOWN:
            yield f"{path}: unknown words {part.keys() - KNOWN}"
        if "type" not in part and not free:
            yield f"{path}: no type"
        if part.get("type") == "array" and "items" not in part:
            yield f"{path}: a list of what?"
        for word in ("exclusiveMinimum", "exclusiveMaximum"):
            if part.get(word, True) is not True:
                yield f"{path}: {word} is a number"
        for junctor in JUNCTORS:
            options = part.get(junctor, [])
            for option in options if isinstance(options, list) else [options]:
                yield from (f"{path}: {word} inside {junctor}" for word in ONLY_OUTSIDE if word in option)
                yield from (
                    f"{path}: {junctor} knows more" for name, _ in inner(option) if name not in dict(inner(part))
                )


def test_the_schema_is_structural() -> None:
    assert list(violations(schema())) == []


def test_the_checker_of_this_file_finds_what_is_not_structural() -> None:
    """Each rule, broken once."""
    fine = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}
    assert list(violations(fine)) == []
    changes: list[dict[str, Any]] = [
        {"properties": {"a": {}}},
        {"properties": {"a": {"type": "array"}}},
        {"properties": {"a": {"$ref": "#/b"}}},
        {"properties": {"a": {"type": "number", "exclusiveMinimum": 0}}},
        {"anyOf": [{"type": "object"}]},
        {"oneOf": [{"properties": {"b": {"minimum": 3}}}]},
    ]
    for change in changes:
        assert list(violations({**fine, **change})) != []


def test_the_committed_file_is_what_the_specification_makes() -> None:
    """`make generate` writes it."""
    assert (ROOT / "deploy/crd/experiments.yaml").read_text() == manifest()


def test_it_is_small() -> None:
    """kubectl keeps what was applied in an annotation, which takes 262,144 bytes; we use less than half."""
    assert len(json.dumps(custom_resource_definition())) < 262_144 / 2
    assert len(manifest()) < 262_144 / 2


def test_yaml_says_the_same_to_every_reader() -> None:
    assert yaml.safe_load(manifest()) == custom_resource_definition()


def test_names_and_columns() -> None:
    spec = custom_resource_definition()["spec"]
    (version,) = spec["versions"]
    assert (spec["group"], spec["scope"], spec["names"]["shortNames"]) == ("edgebed.dev", "Namespaced", ["exp"])
    assert [column["name"] for column in version["additionalPrinterColumns"]] == [
        "Phase",
        "Progress",
        "Method",
        "Success",
        "Age",
    ]
    assert version["subresources"] == {"status": {}}
    properties = dict(every(version["schema"]["openAPIV3Schema"]))
    for column in version["additionalPrinterColumns"][:-1]:
        assert column["jsonPath"] in properties


def test_every_field_is_explained() -> None:
    """`kubectl explain` has something to say about every field, entries of lists of plain values apart."""
    silent = [p for p, part in every(schema()) if not part.get("description") and not p.endswith("[]")]
    assert [p for p in silent if not re.fullmatch(r"\.(apiVersion|kind|metadata)|.*\.(uniform|choice)", p)] == []


def test_every_field_of_the_specification_is_there_with_its_limits(document: dict[str, Any]) -> None:
    """Down to the last, with the type and the limits of the JSON Schema, where both have one."""
    paths = dict(every(schema()))
    definitions = Experiment.model_json_schema(by_alias=True)["$defs"]
    for name, home in {"Spec": ".spec", "Method": ".spec.methods[]", "Online": ".spec.methods[].online"}.items():
        for field, wanted in definitions[name]["properties"].items():
            found = paths[f"{home}.{field}"]
            for word in ("type", "maximum", "maxLength", "enum", "pattern"):
                assert found.get(word) == wanted.get(word, found.get(word)), (field, word)
    assert paths[".spec.network.cores"]["exclusiveMinimum"] is True
    assert paths[".spec.network.arrivalProbability.uniform[]"]["maximum"] == 1
    assert paths[".spec.workload.application.kind"]["enum"] == ["synthetic", "cpu", "ffmpeg"]


def test_defaults_are_the_specifications_where_they_depend_on_nothing(document: dict[str, Any]) -> None:
    paths = dict(every(schema()))
    for name, field in Spec.model_fields.items():
        default = (
            field.default.model_dump(by_alias=True, mode="json")
            if hasattr(field.default, "model_dump")
            else field.default
        )
        if not field.is_required():
            assert paths[f".spec.{field.alias or name}"].get("default") == default
    assert paths[".spec.methods[].online.clip"]["default"] == 0.2
    # The default of another field, or of one form among several.
    for path in (".spec.methods[].online.hidden", ".spec.network.coreFrequencyGHz", ".spec.workload.application"):
        assert "default" not in paths[path]
    assert "default" not in paths[".spec.workload.application.kind"]


def test_the_api_server_would_accept_every_default() -> None:
    """A field that is a number or a mapping of one of two kinds has a number as its default, and nothing of Python's."""
    wrong = []
    for path, found in every(schema()):
        default, fields = found.get("default"), found.get("properties", {})
        forms = [set(form["required"]) for form in found.get("anyOf", ()) if "required" in form]
        if isinstance(default, dict) and (
            set(default) - set(fields) or (forms and not any(f <= set(default) for f in forms))
        ):
            wrong.append((path, default))
    assert wrong == []


def test_fields_that_may_change_are_of_the_schedule() -> None:
    """What an experiment is never changes after the start."""
    assert set(MUTABLE) < set(SCHEDULE) < {field.alias or name for name, field in Spec.model_fields.items()}


def test_tables_name_what_there_is() -> None:
    """A form or a field that is renamed is renamed in the tables as well."""
    definitions = Experiment.model_json_schema(by_alias=True)["$defs"]
    assert {form.model for form in FORMS} <= set(definitions)
    assert all(field in definitions[model]["properties"] for model, field in UNDEFAULTED)


def test_every_rule_names_a_field_and_what_to_do() -> None:
    for path, part in every(schema()):
        for rule in part.get("x-kubernetes-validations", ()):
            assert rule["message"]
            assert "\n" not in rule["message"]
            assert path + rule["fieldPath"] in dict(every(schema()))


@pytest.mark.parametrize(
    "unsayable",
    [
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "boolean"}, {"type": "string"}]},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]},
    ],
)
def test_what_cannot_be_said_is_not_left_out(unsayable: dict[str, Any]) -> None:
    """A field that the converter does not understand stops `make generate`, rather than being checked by nobody."""
    with pytest.raises(ValueError, match="no structural schema"):
        Converter({}).convert(unsayable)


def test_the_schedule_is_no_part_of_what_an_experiment_is(document: dict[str, Any]) -> None:
    """A suspended experiment goes on in its folder; its results carry the same digest."""
    plain = validate(document)
    changed = copy.deepcopy(document)
    changed["spec"] |= {
        "suspend": True,
        "ttlSecondsAfterFinished": 0,
        "startDeadlineSeconds": 5,
        "activeDeadlineSeconds": 9,
    }
    scheduled = validate(changed)
    assert scheduled.digest == plain.digest
    assert scheduled.without_schedule() == plain
    assert validate(scheduled.to_document()) == scheduled
    assert not set(plain.to_document()["spec"]) & set(SCHEDULE)


def test_a_resource_is_the_experiment_of_its_file(document: dict[str, Any]) -> None:
    """Status, and metadata of the API server's own, are no fields of the specification."""
    metadata = {"name": "small", "namespace": "lab", "uid": "1", "resourceVersion": "7", "annotations": {}}
    assert experiment_of({**document, "metadata": metadata, "status": {"phase": "Pending"}}) == validate(document)


def test_a_resource_is_refused_for_what_the_schema_cannot_see(document: dict[str, Any]) -> None:
    """The operator gets every problem at once."""
    document["spec"]["network"]["cores"] = {"uniform": [8, 4]}
    with pytest.raises(UserError, match=r"spec.network.cores.uniform: .* give the lower end first"):
        experiment_of(document)
    document["spec"]["network"]["cores"] = 4
    document["spec"]["sweep"] = {"field": "network.nodes", "values": [1]}
    with pytest.raises(UserError, match=r"spec.sweep.values\[0\]: 1 is not allowed"):
        experiment_of(document)
