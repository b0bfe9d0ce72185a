"""The ASGI application of a server: the token, then a hot route whose request was not plain, then FastAPI.

`curl` asks for leave before it sends a long body, and other clients send it in chunks. Such requests reach hot routes
here, with the same handlers and limits, if not at the same speed.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from edgebed.wire.messages import PROTOBUF, read_varint
from edgebed.wire.problems import PROBLEM_JSON, Problem, unexpected
from edgebed.wire.shared import Shared, too_large, unauthorised

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Left(Exception):
    """The client is gone."""


class Fallback:
    """An ASGI application around another."""

    def __init__(self, app: App, shared: Shared, open_paths: frozenset[str]) -> None:
        self._app, self._shared, self._open = app, shared, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path, method = scope["path"], scope["method"]
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        try:
            if path not in self._open and not self._shared.allows(headers.get(b"authorization")):
                raise unauthorised()
            if path not in self._shared.routes.unary and path not in self._shared.routes.uploads:
                await self._app(scope, _limited(receive, self._shared.limits.ordinary_bytes), send)
                return
            if method != "POST":
                raise Problem(405, "Method Not Allowed", f"{method} is not for {path}; use POST", {"Allow": "POST"})
            body = _chunks(receive)
            if path in self._shared.routes.unary:
                answer = await self._unary(path, body, headers.get(b"content-type"))
            else:
                answer = await self._upload(path, body, headers.get(b"content-length"))
        except Left:
            return
        except Problem as problem:
            found = {**{name.lower(): value for name, value in problem.headers.items()}, "content-type": PROBLEM_JSON}
            await _send(send, problem.status, found, problem.body())
        else:
            await _send(send, 200, {"content-type": PROTOBUF}, answer)

    async def _unary(self, path: str, chunks: AsyncIterator[bytes], content_type: str | None) -> bytes:
        body, largest = bytearray(), self._shared.largest(path)
        async for chunk in chunks:
            body += chunk
            if len(body) > largest:
                raise too_large(len(body), largest)
        try:
            answer = self._shared.routes.unary[path](bytes(body), content_type)
            return answer if isinstance(answer, bytes) else await answer
        except Problem:
            raise
        except Exception as error:
            raise unexpected(error, f"POST {path}") from error

    async def _upload(self, path: str, chunks: AsyncIterator[bytes], length: str | None) -> bytes:
        """The size must be known before the payload, because the receiver is told."""
        if length is None:
            raise Problem(411, "Length Required", "an upload says how long it is; send Content-Length")
        largest = self._shared.limits.payload_bytes + self._shared.limits.upload_head_bytes
        if int(length) > largest:
            raise too_large(int(length), largest)
        frame = bytearray()
        receiver, remaining = None, 0
        try:
            async for chunk in chunks:
                if receiver is None:
                    frame += chunk
                    found = self._frame(frame, int(length))
                    if found is None:
                        continue
                    head, size = found
                    receiver, remaining = self._shared.routes.uploads[path](head, size), size
                    count = len(frame) - (int(length) - size)
                else:
                    count = len(chunk)
                remaining -= count
                if count:
                    receiver.received(count)
            if receiver is None:
                raise Problem(400, "Malformed message", "the body ends before its head; send varint, head, payload")
            done, receiver = receiver, None
            return done.complete()
        except Left:
            if receiver is not None:
                receiver.lost()
            raise
        except Problem:
            raise
        except Exception as error:
            raise unexpected(error, f"POST {path}") from error

    def _frame(self, data: bytearray, length: int) -> tuple[bytes, int] | None:
        """(head message, bytes of payload) once they have arrived."""
        found = read_varint(data)
        if found is None:
            return None
        size, used = found
        if size > self._shared.limits.upload_head_bytes:
            detail = f"{size} bytes of head are announced; send at most {self._shared.limits.upload_head_bytes}"
            raise Problem(413, "Head too large", detail)
        if used + size > length:
            raise Problem(400, "Malformed message", "the body ends before its head; send varint, head, payload")
        return (bytes(data[used : used + size]), length - used - size) if len(data) >= used + size else None


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Left
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


def _limited(receive: Receive, largest: int) -> Receive:
    """A body that declares no length may not be endless."""
    seen = 0

    async def limited() -> MutableMapping[str, Any]:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > largest:
            raise HTTPException(413, f"the body has more than {largest} bytes")
        return message

    return limited


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
