"""JSON Schema, as pydantic writes it, to the structural schema that Kubernetes asks of a CustomResourceDefinition.

Structural means: every value has one type, outside of anyOf and its like, so that the API server knows what to prune and
what to default. What JSON Schema says otherwise is said here in three ways:

- `$ref`, `const`, `prefixItems`, exclusive limits and null are only spelt differently.
- One of several objects (a `Form` each) becomes a single object with the fields of all. Which of them are missing or out of
  place, rules in CEL say, one a field, so that a message names the field. A default that only one form has is left to whoever
  reads the experiment; the API server would add it to the others as well.
- A number or a mapping, a name or a mapping: no type at all, unknown fields kept, and limits that JSON Schema applies only
  to the kind of value they are meant for. CEL sees whether such a field is there, not what it holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgebed.experiment.errors import alternatives

Schema = dict[str, Any]

_LIMITS = ("minLength", "maxLength", "pattern", "format", "minItems", "maxItems", "maximum", "minimum", "enum")


@dataclass(frozen=True)
class Form:
    """One of several objects that a field may hold."""

    model: str
    """Name of its definition."""
    when: str
    """In CEL, with the object as `self`: the user means this form. Without effect where an earlier form is meant."""
    because: str
    """Why other forms' fields are out of place: `file is given`."""


@dataclass(frozen=True)
class Converter:
    """Converts the schemas that refer to `definitions`."""

    definitions: Mapping[str, Schema]
    forms: Sequence[Form] = ()
    """The forms that are told by what is given; the one that is not here is meant when none of these is."""
    undefaulted: frozenset[tuple[str, str]] = frozenset()
    """(definition, field) whose default depends on other fields."""

    def convert(self, schema: Schema) -> Schema:
        """The structural schema of a JSON Schema. Raises ValueError for what it has no way to say."""
        if "$ref" in schema:
            return _described(self.convert(self._resolved(schema)), schema)
        if "anyOf" in schema or "oneOf" in schema:
            every = schema["anyOf"] if "anyOf" in schema else schema["oneOf"]
            options = [option for option in every if option.get("type") != "null"]
            found = self.convert(options[0]) if len(options) == 1 else self._either(options)
            return _described(found, schema) | ({"nullable": True} if len(options) < len(every) else {})
        if not schema.keys() - {"title", "description", "default"}:
            return _described({"x-kubernetes-preserve-unknown-fields": True}, schema)
        return _described(self._plain(schema), schema)

    def _resolved(self, schema: Schema) -> Schema:
        """What the schema refers to: a definition that knows its name, without the defaults that it is not to have."""
        if "$ref" not in schema:
            return schema
        name = schema["$ref"].rpartition("/")[2]
        definition = {"x-model": name, **self.definitions[name]}
        if "properties" in definition:
            definition["properties"] = {
                field: _without(inner, "default") if (name, field) in self.undefaulted else inner
                for field, inner in definition["properties"].items()
            }
        return definition

    def _either(self, options: list[Schema]) -> Schema:
        """One of several schemas."""
        options = [self._resolved(option) for option in options]
        if all("x-model" in option and option["type"] == "object" for option in options):
            return self._merged(options)
        if all("enum" in option for option in options):
            words = [word for option in options for word in option["enum"]]
            return self._plain({**options[0], "enum": list(dict.fromkeys(words))})
        return self._mixed(options)

    def _plain(self, schema: Schema) -> Schema:
        """A schema with one type."""
        kind = schema.get("type")
        if kind not in ("object", "array", "string", "number", "integer", "boolean"):
            raise ValueError(f"no structural schema for {schema}")
        found: Schema = {"type": kind} | {key: schema[key] for key in _LIMITS if key in schema}
        if "const" in schema:
            found["enum"] = [schema["const"]]
        for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if exclusive in schema:
                found |= {inclusive: schema[exclusive], exclusive: True}
        if kind == "array":
            items = schema.get("prefixItems", [schema.get("items", {})])
            if any(item != items[0] for item in items):
                raise ValueError(f"no structural schema for a list of different kinds: {schema}")
            found["items"] = self.convert(items[0])
        if kind == "object":
            properties = schema.get("properties", {})
            found["properties"] = {name: self.convert(inner) for name, inner in properties.items()}
            if schema.get("required"):
                found["required"] = list(schema["required"])
            if schema.get("additionalProperties", False) is not False:
                found["x-kubernetes-preserve-unknown-fields"] = True
        return found

    def _mixed(self, options: list[Schema]) -> Schema:
        """Values of different types: without a type, and each limit applies to the values that it can apply to."""
        kinds = {option["type"] for option in options}
        if not kinds <= {"number", "integer", "string", "object"}:
            raise ValueError(f"no structural schema for one of {sorted(kinds)}")
        wanted = _wanted(options)
        found: Schema = {"x-kubernetes-preserve-unknown-fields": True, "maxItems": 0, "not": {"enum": [True, False]}}
        number = next((option for option in options if option["type"] in ("number", "integer")), None)
        # Only limits that no value meets keep a kind of value out. The pattern shows in the message: it says what is wanted.
        numbers = self._plain(number) if number is not None else {"minimum": 1, "maximum": 0}
        text = next((option for option in options if option["type"] == "string"), None)
        texts = self._plain(text) if text is not None else {"pattern": f"^$ {wanted}"}
        mappings = [self._plain(option) for option in options if option["type"] == "object"]
        for limits in (numbers, texts):
            found |= {key: value for key, value in limits.items() if key != "type"}
        properties = {name: inner for mapping in mappings for name, inner in mapping["properties"].items()}
        if properties:
            found["properties"] = properties
            found["anyOf"] = [{"required": mapping["required"]} for mapping in mappings]
            if not any("x-kubernetes-preserve-unknown-fields" in mapping for mapping in mappings):
                if any(list(mapping["properties"]) != mapping["required"] for mapping in mappings):
                    raise ValueError(f"no structural schema for closed mappings with optional fields: {options}")
                found["maxProperties"] = max(len(mapping["required"]) for mapping in mappings)
        return found

    def _merged(self, options: list[Schema]) -> Schema:
        """One object in place of several, and the rules that keep them apart."""
        fields: dict[str, list[Schema]] = {}
        for option in options:
            for name, inner in option["properties"].items():
                # A default belongs to the form that has it, and the API server does not tell forms apart.
                fields.setdefault(name, []).append(_without(inner, "default"))
        properties = {name: self._shared(schemas) for name, schemas in fields.items()}
        always = [name for name in fields if all(name in option.get("required", ()) for option in options)]
        by_model = {option["x-model"]: option for option in options}
        told = [form for form in self.forms if form.model in by_model]
        (model,) = by_model.keys() - {form.model for form in told}
        rules: list[Schema] = []
        others: list[str] = []
        for form in told:
            meant = " && ".join([*others, f"({form.when})" if " " in form.when else form.when])
            rules += _missing(meant, by_model[form.model], properties, always)
            rules += _out_of_place(meant, by_model[form.model], properties, form.because)
            others.append(f"!({form.when})" if " " in form.when else f"!{form.when}")
        rules += _missing(" && ".join(others), by_model[model], properties, always)
        merged: Schema = {"description": " ".join(f"{option['description'].rstrip('.')}." for option in options)}
        merged |= {"type": "object", "properties": properties} | ({"required": always} if always else {})
        return merged | {"x-kubernetes-validations": rules}

    def _shared(self, schemas: list[Schema]) -> Schema:
        """The schema of a field that several forms may have."""
        different = [schema for place, schema in enumerate(schemas) if schema not in schemas[:place]]
        if len(different) == 1:
            return self.convert(schemas[0])
        longest = max((schema["description"] for schema in schemas), key=len)
        return _described(self._either(different), {"description": longest})


def _missing(meant: str, option: Schema, properties: Mapping[str, Schema], always: Sequence[str]) -> Iterator[Schema]:
    """The rules that a form's fields are there."""
    for name in option.get("required", ()):
        if name not in always and not meant.endswith(present(name, properties[name])):  # it is how the form is told
            purpose = option["properties"][name]["description"].rstrip(".")
            message = f"give it: {purpose[:1].lower()}{purpose[1:]}"
            yield rule(f"!({meant}) || {present(name, properties[name])}", message, name, "FieldValueRequired")


def _out_of_place(meant: str, option: Schema, properties: Mapping[str, Schema], because: str) -> Iterator[Schema]:
    """The rules that no other form's fields are there."""
    for name, inner in properties.items():
        if name not in option["properties"]:
            message = f"take it out: {because}"
            yield rule(f"!({meant}) || !{present(name, inner)}", message, name, "FieldValueForbidden")


def present(name: str, schema: Schema) -> str:
    """In CEL: the object `self` has the field. `dyn` where the field has no type, because CEL does not know it then."""
    return f"has(self.{name})" if "type" in schema else f"has(dyn(self).{name})"


def rule(condition: str, message: str, field: str, reason: str = "FieldValueInvalid") -> Schema:
    """A rule in CEL about a field of the object `self`; `field` is a path below it, such as `online.hidden`."""
    return {"rule": condition, "message": message, "fieldPath": f".{field}", "reason": reason}


def _without(schema: Schema, key: str) -> Schema:
    return {name: value for name, value in schema.items() if name != key}


def _described(found: Schema, schema: Schema) -> Schema:
    """With the description and default of `schema`, the description first, as people read it."""
    outer, inner = (" ".join(s.get("description", "").split()) for s in (schema, found))
    if outer and inner and outer.rstrip(".") not in inner:
        text = f"{outer.rstrip('.')}. {inner}"
    else:
        text = inner or outer
    if schema.get("x-unit"):
        text += f" In {schema['x-unit']}."
    if "x-values" in schema:
        values = schema["x-values"]
        text += f" {values[:1].upper()}{values[1:]}."
    text = text.strip()
    head: Schema = {"description": text} if text else {}
    if schema.get("default") is not None:
        head["default"] = schema["default"]
    return head | {key: value for key, value in found.items() if key not in head}


def _wanted(options: list[Schema]) -> str:
    """What a value of the wrong kind should have been, as a regular expression that reads like a sentence."""
    words = {"number": "a number without quotes", "integer": "a whole number without quotes", "string": "a name"}
    names = []
    for option in options:
        if option["type"] == "object":
            names.append(f"a mapping with {alternatives(list(option['properties']))}")
        else:
            names.append(words[option["type"]])
    return f"give {alternatives(names)}"
