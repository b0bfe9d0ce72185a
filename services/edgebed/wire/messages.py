"""Messages as bytes: protobuf between programs, JSON for people.

A body is protobuf (`application/x-protobuf`, or no content type) or `application/json` in protobuf's own JSON form. Who asks
in JSON is answered in JSON: `dump(answer, content_type)`.
"""

from typing import TypeVar

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import DecodeError, Message

from edgebed.wire.problems import Problem

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

_PROTOBUF_TYPES = frozenset({PROTOBUF, "application/protobuf", "application/octet-stream"})
_MESSAGE = TypeVar("_MESSAGE", bound=Message)


class JsonText(bytes):
    """The body of an answer that is JSON; all others are protobuf."""


def parse(kind: type[_MESSAGE], body: bytes, content_type: str | None) -> _MESSAGE:
    """The message in a body. Raises Problem: 400 for what is no message, 415 for another content type, 422 for a value."""
    if content_type is not None and content_type != PROTOBUF:
        media = content_type.partition(";")[0].strip().lower()
        if media == JSON:
            return _parse_json(kind, body)
        if media not in _PROTOBUF_TYPES:
            raise Problem(415, "Unknown content type", f"{content_type!r} is unknown; send {PROTOBUF} or {JSON}")
    message = kind()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        found = f"{len(body)} bytes are no {kind.DESCRIPTOR.name} ({error})"
        raise Problem(400, "Malformed message", f"{found}; send one as in proto/edgebed/v1") from error
    return message


def _parse_json(kind: type[_MESSAGE], body: bytes) -> _MESSAGE:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Problem(400, "Malformed message", f"the body is no UTF-8 ({error}); send JSON in UTF-8") from error
    try:
        return Parse(text, kind(), max_recursion_depth=20)
    except ParseError as error:
        wrong = "Failed to load JSON" in str(error)
        status, title = (400, "Malformed message") if wrong else (422, "Not allowed")
        raise Problem(status, title, f"{error}; send a {kind.DESCRIPTOR.name} as in proto/edgebed/v1") from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Problem(422, "Not allowed", f"{error}; send a {kind.DESCRIPTOR.name} as in proto/edgebed/v1") from error


def dump(message: Message, content_type: str | None) -> bytes:
    """The body of an answer to a request with this content type."""
    if content_type is not None and content_type.partition(";")[0].strip().lower() == JSON:
        return JsonText(MessageToJson(message, always_print_fields_with_no_presence=True, indent=None).encode())
    return message.SerializeToString()
