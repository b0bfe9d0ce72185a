"""What all connections of one server share: routes, limits, the token, one buffer, the time, and heads that are known.

Peers say the same head again and again, so a head that was accepted is remembered with what it asks for. Only accepted
heads are: what an attacker tries is forgotten at once.
"""

import asyncio
import hmac
import http
from collections.abc import Coroutine
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum
from typing import TYPE_CHECKING, Any

from edgebed.wire.heads import RequestHead, read_head
from edgebed.wire.messages import JSON, PROTOBUF, JsonText
from edgebed.wire.problems import CONTENT_TYPE, Problem, phrase
from edgebed.wire.routes import HotRoutes, Limits, Unary, Upload

if TYPE_CHECKING:
    from edgebed.wire.hot import HotProtocol

BUFFER_BYTES = 128 * 1024
"""Half of what a core keeps close: larger reads were slower, smaller ones are more."""
TICK_S = 0.25
_KNOWN_HEADS = 1024


class Kind(Enum):
    """Who handles a request."""

    UNARY = "unary"
    UPLOAD = "upload"
    ORDINARY = "ordinary"
    ODD = "odd"
    REFUSED = "refused"


def _no_unary(body: bytes, content_type: str | None) -> bytes:
    raise NotImplementedError


def _no_upload(head: bytes, size: int) -> Any:
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Request:
    """What a head asks for."""

    kind: Kind
    where: str = "a connection"
    length: int = 0
    keep: bool = True
    content_type: str | None = None
    unary: Unary = _no_unary
    upload: Upload = _no_upload
    problem: Problem | None = None


NO_REQUEST = Request(Kind.REFUSED)
"""What a connection asks for before it has asked."""


class Shared:
    """State of one server."""

    def __init__(self, routes: HotRoutes, token: str | None, limits: Limits) -> None:
        self.routes, self.limits = routes, limits
        self._token = None if token is None else token.encode()
        self.buffer = memoryview(bytearray(BUFFER_BYTES))
        self.heads: dict[bytes, Request] = {}
        self.connections: set[HotProtocol] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.stopping = False
        self.now = 0.0
        """Time of the event loop at the next tick: a deadline need not be more exact, and is never early."""
        self._ok, self._date = b"", b""
        self.config: Any = None
        self.server_state: Any = None
        self.app_state: dict[str, Any] = {}

    def attach(self, config: Any, server_state: Any, app_state: dict[str, Any]) -> None:
        """What uvicorn gives with every connection."""
        self.config, self.server_state, self.app_state = config, server_state, app_state

    def tick(self, now: float, unix: float) -> None:
        """A few times a second: the time, the date of answers, and connections whose time is up."""
        late = now > self.now + 4 * TICK_S
        self.now = now + TICK_S
        date = formatdate(unix, usegmt=True).encode()
        self._date = b"date: %b\r\n" % date
        self._ok = b"HTTP/1.1 200 OK\r\n%bcontent-type: %b\r\ncontent-length: " % (self._date, PROTOBUF.encode())
        if self.server_state is not None:
            self.server_state.default_headers = [(b"date", date)]
        if late:  # this process was stopped for a while; what arrived meanwhile has not been read yet
            return
        for connection in [one for one in self.connections if one.deadline < now]:
            connection.expire()

    def own(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs it as a task of this server."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def allows(self, authorization: str | None) -> bool:
        """Whether a request with this Authorization may be handled. Takes the same time for all wrong ones."""
        if self._token is None:
            return True
        scheme, _, given = (authorization or "").partition(" ")
        return hmac.compare_digest(given.encode("latin-1", "replace"), self._token) and scheme.lower() == "bearer"

    def read(self, data: bytes) -> Request:
        """What an unknown head asks for."""
        head = read_head(data)
        if head is None:
            return Request(Kind.ODD)
        request = self._request(head)
        if request.kind in (Kind.UNARY, Kind.UPLOAD, Kind.ORDINARY):
            if len(self.heads) >= _KNOWN_HEADS:
                self.heads.clear()
            self.heads[data] = request
        return request

    def _request(self, head: RequestHead) -> Request:
        where = f"{head.method} {head.target.partition('?')[0]}"
        hot = head.method == "POST"
        unary, upload = self.routes.unary.get(head.target), self.routes.uploads.get(head.target)
        if hot and (unary or upload) and not self.allows(head.authorization):
            return Request(Kind.REFUSED, where, keep=False, problem=unauthorised())
        if hot and unary is not None:
            largest = self.largest(head.target)
            kind, length = Kind.UNARY, head.length
        elif hot and upload is not None:
            largest = self.limits.payload_bytes + self.limits.upload_head_bytes
            kind, length = Kind.UPLOAD, head.length
        else:
            largest = self.limits.ordinary_bytes
            kind, length = Kind.ORDINARY, head.length
        if length > largest:
            return Request(Kind.REFUSED, where, keep=False, problem=too_large(length, largest))
        return Request(kind, where, length, head.keep, head.content_type, unary or _no_unary, upload or _no_upload)

    def largest(self, path: str) -> int:
        """Bytes that a unary body may have."""
        return self.routes.largest.get(path, self.limits.unary_bytes)

    def acceptance(self, body: bytes, keep: bool) -> bytes:
        """A whole answer that says yes."""
        if keep and type(body) is bytes:
            return b"%b%d\r\n\r\n%b" % (self._ok, len(body), body)
        ok = self._ok.replace(PROTOBUF.encode(), JSON.encode()) if isinstance(body, JsonText) else self._ok
        return b"%b%d\r\n%b\r\n%b" % (ok, len(body), b"" if keep else b"connection: close\r\n", body)

    def refusal(self, problem: Problem, *, close: bool) -> bytes:
        """A whole answer that says no."""
        body = problem.body()
        extra = "".join(f"{name.lower()}: {value}\r\n" for name, value in problem.headers.items()).encode("latin-1")
        ending = b"connection: close\r\n" if close else b""
        line = f"HTTP/1.1 {problem.status} {phrase(problem.status)}\r\n".encode()
        return b"".join(
            [line, self._date, CONTENT_TYPE, extra, ending, b"content-length: %d\r\n\r\n" % len(body), body]
        )


def unauthorised() -> Problem:
    """401."""
    detail = "the token is missing or wrong; send Authorization: Bearer with the token of this testbed"
    return Problem(http.HTTPStatus.UNAUTHORIZED, "Not authorised", detail, {"WWW-Authenticate": "Bearer"})


def too_large(length: int, largest: int) -> Problem:
    """413."""
    return Problem(413, "Body too large", f"{length} bytes are announced; send at most {largest}")
