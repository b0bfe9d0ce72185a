"""The ASGI application of a server: the token, then a hot route whose request was not plain, then FastAPI.

`curl` asks for leave before it sends a long body, and other clients send it in chunks. Such requests reach hot routes
here, with the same handlers and limits, if not at the same speed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from edgebed.wire.frames import read_frame
from edgebed.wire.messages import JSON, PROTOBUF, JsonText
from edgebed.wire.problems import PROBLEM_JSON, Problem, unexpected
from edgebed.wire.routes import UploadReceiver
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
            await _send(send, 200, {"content-type": JSON if isinstance(answer, JsonText) else PROTOBUF}, answer)

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

    async def _upload(self, path: str, chunks: AsyncIterator[bytes], declared: str | None) -> bytes:
        if declared is None:  # the receiver is told the size before the payload
            raise Problem(411, "Length Required", "an upload says how long it is; send Content-Length")
        length, limits = int(declared), self._shared.limits
        if length > limits.payload_bytes + limits.upload_head_bytes:
            raise too_large(length, limits.payload_bytes + limits.upload_head_bytes)
        receiver: UploadReceiver | None = None
        kept = b""
        try:
            async for chunk in chunks:
                if receiver is None:
                    kept += chunk
                    frame = read_frame(kept, length, limits.upload_head_bytes)
                    if frame is None:
                        continue
                    head, end = frame
                    receiver, chunk = self._shared.routes.uploads[path](head, length - end), kept[end:]
                if chunk:
                    receiver.received(len(chunk))
            assert receiver is not None  # a body without one is refused by read_frame
            done, receiver = receiver, None
            return done.complete()
        except (Left, asyncio.CancelledError):
            if receiver is not None:
                receiver.lost()
            raise
        except Problem:
            raise
        except Exception as error:
            raise unexpected(error, f"POST {path}") from error


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
