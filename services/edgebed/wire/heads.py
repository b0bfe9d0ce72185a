"""Request heads, read strictly: only what leaves no doubt about where the request ends.

A head is plain when it is HTTP/1.1 with well-formed lines, at most one Content-Length of digits, and nothing that changes the
framing (Transfer-Encoding, Expect, Upgrade). The hot protocol handles plain heads itself. All others it hands, with the whole
connection, to uvicorn's parser, which knows the rest of HTTP; so two parsers never have to agree about a doubtful head.
"""

import re
from dataclasses import dataclass

END = b"\r\n\r\n"

_LINE = re.compile(rb"([A-Z]{1,20}) (/[!-~]*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")
_DIGITS = re.compile(rb"[0-9]{1,15}")
_NOT_PLAIN = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"http2-settings", b"trailer"})
_ONCE = frozenset({b"content-length", b"content-type", b"authorization", b"host"})


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A plain head."""

    method: str
    target: str
    """Path and query as sent."""
    length: int
    """Bytes of the body; 0 where none is declared."""
    content_type: str | None
    authorization: str | None
    keep: bool
    """Whether the peer wants the connection to be kept."""


def read_head(data: bytes) -> RequestHead | None:
    """The head in `data`, which ends with `END`; None where it is not plain."""
    line, *fields = data[: -len(END)].split(b"\r\n")
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    seen: dict[bytes, bytes] = {}
    for one in fields:
        parts = _FIELD.fullmatch(one)
        if parts is None:
            return None
        name = parts[1].lower()
        if name in _NOT_PLAIN or (name in seen and name in _ONCE):
            return None
        value = parts[2].rstrip(b" \t")
        seen[name] = seen[name] + b"," + value if name in seen else value
    length = seen.get(b"content-length", b"0")
    if b"host" not in seen or not _DIGITS.fullmatch(length):
        return None
    options = [option.strip() for option in seen.get(b"connection", b"").lower().split(b",")]
    return RequestHead(
        method=found[1].decode(),
        target=found[2].decode(),
        length=int(length),
        content_type=_text(seen.get(b"content-type")),
        authorization=_text(seen.get(b"authorization")),
        keep=b"close" not in options,
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
