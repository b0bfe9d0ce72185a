"""What pydantic found wrong with a document, in our words: the path of the field, what is there, and what would be right."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from edgebed.experiment.errors import Problem, did_you_mean, shown
from edgebed.experiment.parts import MeasuredWorkload
from edgebed.experiment.yaml_lines import Reading, dotted

Location = tuple[str | int, ...]

_PLAIN = {
    "int_type": "give a whole number, without quotes",
    "float_type": "give a number, without quotes",
    "bool_type": "give true or false",
    "string_type": "give text",
    "tuple_type": "give a list",
    "finite_number": "give a finite number",
    "string_too_short": "give a name",
    "too_short": "give at least one entry",
}


def problems_of(error: ValidationError, root: type[BaseModel], reading: Reading) -> Iterator[Problem]:
    """Everything that is wrong with a document of the model `root`; `reading` gives the lines."""
    for item in error.errors(include_url=False):
        context = item.get("ctx", {})
        location = tuple(p for p in item["loc"] if not str(p).startswith("<")) + tuple(context.get("path", ()))
        found, remedy = _words(item, context, item["loc"], root)
        yield Problem(dotted(location), found, remedy, reading.line(location))


def fields_at(root: type[BaseModel], location: Location) -> list[str]:
    """The names of the fields that may stand below a location of a document."""
    return [field.alias or name for model in _models(root, location) for name, field in model.model_fields.items()]


def _words(
    item: ErrorDetails, context: Mapping[str, Any], location: Location, root: type[BaseModel]
) -> tuple[str, str]:
    kind, value = item["type"], item.get("input")
    not_allowed = f"{shown(value)} is not allowed"
    match kind:
        case "edgebed":
            return context["found"], context["remedy"]
        case "missing":
            return "is missing", _purpose(location, root)
        case "extra_forbidden":
            for model in _models(root, location[:-1]):
                if issubclass(model, MeasuredWorkload) and location[-1] in model.out_of_place:
                    return model.out_of_place_because, model.out_of_place_remedy
            known = fields_at(root, location[:-1])
            return "is unknown", did_you_mean(location[-1], known)
        case "enum" | "literal_error":
            options = [word.strip(" '") for word in context["expected"].replace(" or ", ",").split(",")]
            return not_allowed, did_you_mean(value, options) if isinstance(
                value, str
            ) else f"give {context['expected']}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            word, limit = {
                "greater_than": ("over", "gt"),
                "greater_than_equal": ("of at least", "ge"),
                "less_than": ("under", "lt"),
                "less_than_equal": ("of at most", "le"),
            }[kind]
            return not_allowed, f"give a number {word} {context[limit]:g}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return not_allowed, f"give a mapping with {', '.join(fields_at(root, location)) or 'fields'}"
        case "string_pattern_mismatch":
            return not_allowed, _pattern(location)
        case "string_too_long" | "too_long":
            return not_allowed, f"give at most {context['max_length']} {'characters' if kind[0] == 's' else 'entries'}"
        case _:
            return not_allowed, _PLAIN.get(kind, item["msg"][:1].lower() + item["msg"][1:])


def _pattern(location: Location) -> str:
    if location[-1] == "field":
        return "give the path of a field below spec, such as workload.sizeKB"
    if location[0] == "metadata":
        return "give lower-case letters, digits and hyphens, beginning and ending with a letter or digit"
    return "give letters, digits and . _ + -, beginning with a letter or digit"


def _purpose(location: Location, root: type[BaseModel]) -> str:
    """What a missing field would say."""
    for model in _models(root, location[:-1]):
        for name, field in model.model_fields.items():
            if (field.alias or name) == location[-1] and field.description:
                text = field.description.rstrip(".")
                return f"give it: {text[:1].lower()}{text[1:]}"
    return "give it"


def _models(annotation: Any, location: Location) -> list[type[BaseModel]]:
    """The models that the value at `location` below `annotation` may be."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        tag = next((item.tag for item in metadata if isinstance(item, Tag)), None)
        if tag is not None and location and str(location[0]).startswith("<"):
            return _models(inner, location[1:]) if location[0] == tag else []
        return _models(inner, location)
    if get_origin(annotation) in (Union, UnionType):
        return [model for option in get_args(annotation) for model in _models(option, location)]
    if get_origin(annotation) is tuple:
        return _models(get_args(annotation)[0], location[1:]) if location else []
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return []
    if not location:
        return [annotation]
    for name, field in annotation.model_fields.items():
        if (field.alias or name) == location[0]:
            return _models(field.annotation, location[1:])
    return []
