"""A service's OpenAPI as a whole: the hot paths, which FastAPI does not know, and every refusal as the problem that it is.

    app = FastAPI(...)
    ...
    describe(app, HotPath("/v1/probe", "Ask before deciding", pb.Probe, pb.ProbeAnswer))

The schemas of messages are made from their descriptors, in protobuf's own JSON form. Nothing is made before somebody asks
for it, so a service that nobody looks at carries none of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from edgebed.wire.messages import JSON, PROTOBUF
from edgebed.wire.problems import PROBLEM_JSON, phrase

Schema = dict[str, Any]

TEXT: dict[int | str, Schema] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
"""Responses of a path that answers in plain text."""
EVENTS: dict[int | str, Schema] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
"""Responses of a path that answers with server-sent events."""

_REFERENCE = "#/components/schemas/"
_BINARY: Schema = {"type": "string", "format": "binary"}
_PROBLEM: Schema = {
    "type": "object",
    "description": "Problem details after RFC 9457",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "the same for all problems of a kind"},
        "status": {"type": "integer", "description": "as in the status line"},
        "detail": {"type": "string", "description": "field, value, and what would be right"},
        "problems": {
            "type": "array",
            "description": "the same for programs, where a document was refused: one for everything that is wrong with it",
            "items": {
                "type": "object",
                "properties": {
                    "line": {"type": ["integer", "null"], "description": "of the YAML that was sent, from 1"},
                    "path": {"type": "string", "description": "of the field; empty for the document as a whole"},
                    "found": {"type": "string", "description": "what is there"},
                    "remedy": {"type": "string", "description": "what would be right"},
                },
                "required": ["line", "path", "found", "remedy"],
            },
        },
    },
    "required": ["type", "title", "status"],
}
_UNSIGNED_32, _UNSIGNED_64 = {"minimum": 0, "maximum": 2**32 - 1}, {"minimum": 0, "maximum": 2**64 - 1}
_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.TYPE_INT64: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    FieldDescriptor.TYPE_UINT64: {"type": "integer", **_UNSIGNED_64},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", **_UNSIGNED_32},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
}


@dataclass(frozen=True)
class HotPath:
    """What a reader of the documentation wants to know of a hot path."""

    path: str
    summary: str
    request: type[Message] | Schema
    """A message, in protobuf or JSON; or the schema of a body that is always JSON."""
    answer: type[Message] | Schema | None = None
    """Nothing is said beyond the status where there is none; a schema is that of a body in JSON."""
    problems: tuple[int, ...] = (409,)
    """Statuses beyond those that every path has."""
    payload: bool = False
    """Whether the message is the head of an upload, followed by a payload."""


def problems(*statuses: int) -> dict[int | str, Schema]:
    """`responses=` of a path that refuses with these statuses."""
    content = {PROBLEM_JSON: {"schema": {"$ref": f"{_REFERENCE}Problem"}}}
    return {status: {"description": phrase(status), "content": content} for status in statuses}


def describe(app: FastAPI, *hot: HotPath) -> None:
    """Makes the app's OpenAPI tell of these paths, too, and of problems instead of FastAPI's own errors."""
    of_app = app.openapi

    def whole() -> Schema:
        if app.openapi_schema is None:
            document = of_app()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas["Problem"] = _PROBLEM
            for one in hot:
                document["paths"].setdefault(one.path, {})["post"] = _operation(one, schemas)
            for path in document["paths"].values():
                for operation in path.values():
                    _complete(operation)
        assert app.openapi_schema is not None  # made above
        return app.openapi_schema

    app.openapi = whole  # type: ignore[method-assign]  # FastAPI's documented way to extend its OpenAPI


def _complete(operation: Schema) -> None:
    """What the server itself may answer, and validation as a problem."""
    responses = operation["responses"]
    general = {401}
    if "requestBody" in operation:
        general |= {400, 413}
    if "422" in responses:
        general.add(422)
    responses |= {str(status): found for status, found in problems(*general).items()}
    operation["responses"] = dict(sorted(responses.items()))


def _operation(hot: HotPath, schemas: Schema) -> Schema:
    if isinstance(hot.request, Mapping):
        body: Schema = {JSON: {"schema": hot.request}}
        statuses = {422, *hot.problems}
    elif hot.payload:
        body = {"application/octet-stream": {"schema": _BINARY}}
        statuses = {411, 422, *hot.problems}
    else:
        body = {PROTOBUF: {"schema": _BINARY}, JSON: {"schema": _message(hot.request.DESCRIPTOR, schemas)}}
        statuses = {415, 422, *hot.problems}
    answers: Schema = {PROTOBUF: {"schema": _BINARY}}
    if isinstance(hot.answer, Mapping):
        answers[JSON] = {"schema": hot.answer}
    elif hot.answer is not None:
        answers[JSON] = {"schema": _message(hot.answer.DESCRIPTOR, schemas)}
    responses = {"200": {"description": "Done", "content": answers}}
    return {
        "summary": hot.summary,
        "description": _said(hot),
        "tags": ["hot path"],
        "requestBody": {"required": True, "content": body},
        "responses": {**responses, **{str(status): found for status, found in problems(*statuses).items()}},
    }


def _said(hot: HotPath) -> str:
    if isinstance(hot.request, Mapping):
        return "Handled outside of FastAPI. The body is JSON, whatever its content type says."
    name = hot.request.DESCRIPTOR.full_name
    if hot.payload:
        return f"Handled outside of FastAPI. The body is varint(length of head), head, payload; the head is a {name}."
    return f"Handled outside of FastAPI. The body is a {name}; who asks in JSON is answered in JSON."


def _message(kind: Any, schemas: Schema) -> Schema:
    """A reference to the schema of a message's descriptor, which protobuf has in two classes without a common one."""
    if kind.full_name not in schemas:
        schemas[kind.full_name] = {}  # before its fields, which may name it
        schemas[kind.full_name] = {
            "type": "object",
            "properties": {field.json_name: _field(field, schemas) for field in kind.fields},
            "additionalProperties": False,
        }
    return {"$ref": f"{_REFERENCE}{kind.full_name}"}


def _field(field: FieldDescriptor, schemas: Schema) -> Schema:
    if field.message_type is not None:
        one = _message(field.message_type, schemas)
    elif field.enum_type is not None:
        one = {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    else:
        one = _SCALARS[field.type]
    return {"type": "array", "items": one} if field.is_repeated else one
