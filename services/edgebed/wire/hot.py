"""The server's protocol: one connection, on which hot requests and ordinary ones may follow each other.

The bytes of all connections of a server land in one buffer and are looked at before the next read. A hot request is
handled right there, without a task, a copy of its payload, or a scope. Everything else is passed to uvicorn's protocol,
which runs the ASGI application on the same transport. The state says what the next byte is:

    HEAD       of a request head          -> BODY, FRAME, ORDINARY, RUNNING, ODD, LINGER
    BODY       of a hot unary body        -> HEAD, RUNNING
    FRAME      of the head message of an upload -> PAYLOAD, HEAD, LINGER
    PAYLOAD    of its payload             -> HEAD
    ORDINARY   of a body for the application -> RUNNING, HEAD
    RUNNING    early: somebody works on the answer to the request before -> HEAD
    ODD        uvicorn's, to the end of the connection: one request that is not plain (see `heads`)
    LINGER     nobody's: the peer was refused, and is given time to read why

A deadline belongs to each state; a clock of the server closes what has passed its own.
"""

import asyncio
import math
from collections.abc import Awaitable
from enum import Enum
from typing import Any, cast

from edgebed.wire.heads import END
from edgebed.wire.messages import read_varint
from edgebed.wire.ordinary import Ordinary
from edgebed.wire.problems import Problem, unexpected
from edgebed.wire.routes import UploadReceiver
from edgebed.wire.shared import Kind, Request, Shared

_EARLY_BYTES = 64 * 1024
"""How much of the next requests is read while one is in work."""


class _State(Enum):
    HEAD = "head"
    BODY = "body"
    FRAME = "frame"
    PAYLOAD = "payload"
    ORDINARY = "ordinary"
    RUNNING = "running"
    ODD = "odd"
    LINGER = "linger"


_HEAD, _BODY, _FRAME, _PAYLOAD, _ORDINARY, _RUNNING, _ODD, _LINGER = _State


class HotProtocol(asyncio.BufferedProtocol):
    """One connection of a server."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._state = _HEAD
        self.deadline = math.inf
        self._request: Request = cast(Request, None)
        self._kept = bytearray()
        """What has arrived of a head, a body, or of requests that have to wait."""
        self._remaining = 0
        """Bytes of the body that have not arrived (PAYLOAD, ORDINARY)."""
        self._receiver: UploadReceiver | None = None
        self._ordinary: Ordinary | None = None
        self._answered = False
        """Whether the application has answered the ordinary request."""
        self._reading, self._writable, self._last = True, True, False

    # Told by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer has connected."""
        self._transport = cast(asyncio.Transport, transport)
        shared = self._shared
        self.deadline = shared.now + shared.limits.head_s
        full = len(shared.connections) >= shared.limits.connections
        shared.connections.add(self)
        if full or shared.stopping:
            detail = "this service has all the connections that it can bear; try again later"
            self._refuse(Problem(503, "Too busy", detail), close=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by either side."""
        self._shared.connections.discard(self)
        self._lose()
        if self._ordinary is not None:
            self._ordinary.connection_lost(exc)
        self._state, self.deadline = _LINGER, math.inf

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes are there."""
        if self._state is _PAYLOAD and nbytes < self._remaining:
            self._remaining -= nbytes
            self.deadline = self._shared.now + self._shared.limits.idle_s
            self._count(nbytes)
        elif self._state is not _LINGER:
            self._take(bytes(self._shared.buffer[:nbytes]))

    def pause_writing(self) -> None:
        """The peer does not take its answers."""
        self._writable = False
        self.deadline = min(self.deadline, self._shared.now + self._shared.limits.stall_s)
        if self._ordinary is not None:
            self._ordinary.pause_writing()

    def resume_writing(self) -> None:
        """The peer has taken them."""
        self._writable = True
        if self._ordinary is not None:
            self._ordinary.resume_writing()
        if self._state is _HEAD:
            self._next()
        elif self._state in (_RUNNING, _ODD):
            self.deadline = math.inf

    # Told by the server

    def expire(self) -> None:
        """The deadline of this state has passed."""
        if not self._writable or self._state in (_LINGER, _PAYLOAD):
            self.abort()
        elif self._state is _HEAD and not self._kept:
            self._transport.close()
        else:
            self._refuse(Problem(408, "Too slow", "the request did not arrive in time; send it at once"), close=True)

    def shutdown(self) -> None:
        """No further requests: closes now, or after the answer to the one in progress."""
        self._last = True
        if self._state is _HEAD and not self._kept:
            self._transport.close()
        elif self._ordinary is not None and self._state in (_ODD, _RUNNING, _ORDINARY):
            self._ordinary.shutdown()

    def abort(self) -> None:
        """Closes at once."""
        self._lose()
        self._state = _LINGER
        self._transport.abort()

    # What the bytes mean

    def _take(self, data: bytes) -> None:
        while data:
            state = self._state
            if state is _HEAD:
                data = self._take_head(data)
            elif state is _BODY:
                data = self._take_body(data)
            elif state is _FRAME:
                data = self._take_frame(data)
            elif state is _PAYLOAD:
                count = min(len(data), self._remaining)
                self._remaining -= count
                data = data[count:]
                if self._count(count) and not self._remaining:
                    self._complete()
            elif state is _ORDINARY:
                data = self._take_ordinary(data)
            elif state is _RUNNING:
                self._keep(data)
                return
            elif state is _ODD:
                assert self._ordinary is not None
                self._ordinary.data_received(data)
                return
            else:
                return

    def _take_head(self, data: bytes) -> bytes:
        shared, fresh = self._shared, not self._kept
        if not self._writable:  # a peer that does not read its answers gets no more of them
            self._keep(data)
            return b""
        if not fresh:
            data = bytes(self._kept) + data
            self._kept.clear()
        end = data.find(END) + len(END)
        if end < len(END):
            if not data[:1].isupper():
                return self._hand_over(data)
            if len(data) > shared.limits.head_bytes:
                self._refuse(
                    Problem(431, "Headers too large", f"send at most {shared.limits.head_bytes} bytes"), close=True
                )
                return b""
            self._kept += data
            if fresh:
                self.deadline = shared.now + shared.limits.head_s
            return b""
        head = data[:end]
        request = shared.heads.get(head) or shared.read(head)
        self._request = request
        kind = request.kind
        if kind is Kind.UNARY:
            if len(data) - end >= request.length:
                body_end = end + request.length
                self._call(data[end:body_end])
                return data[body_end:]
            self._state = _BODY
            self.deadline = shared.now + shared.limits.body_s
        elif kind is Kind.UPLOAD:
            self._state = _FRAME
            self.deadline = shared.now + shared.limits.body_s
        elif kind is Kind.ODD:
            return self._hand_over(data)
        elif kind is Kind.REFUSED:
            assert request.problem is not None
            self._refuse(request.problem, close=True)
            return b""
        else:
            ordinary = self._inner()
            self._answered = False
            self._remaining = request.length
            self._state = _ORDINARY if request.length else _RUNNING
            self.deadline = shared.now + shared.limits.idle_s if request.length else math.inf
            ordinary.data_received(head)
        return data[end:]

    def _take_body(self, data: bytes) -> bytes:
        missing = self._request.length - len(self._kept)
        self._kept += data[:missing]
        if len(data) >= missing:
            body = bytes(self._kept)
            self._kept.clear()
            self._call(body)
        return data[missing:]

    def _take_frame(self, data: bytes) -> bytes:
        """Varint and head message of an upload; then the receiver counts what follows."""
        request, limits = self._request, self._shared.limits
        data = bytes(self._kept) + data
        self._kept.clear()
        try:
            found = read_varint(data)
            size, used = found or (0, 0)
            if size > limits.upload_head_bytes:
                detail = f"{size} bytes of head are announced; send at most {limits.upload_head_bytes}"
                raise Problem(413, "Head too large", detail)
            end = used + size
            if (end if found else len(data) + 1) > request.length:
                raise Problem(400, "Malformed message", "the body ends before its head; send varint, head, payload")
            if found is None or len(data) < end:
                self._kept += data
                return b""
            receiver = request.upload(data[used:end], request.length - end)
        except Exception as error:
            whole = len(data) >= request.length
            self._refuse(self._problem(error), close=not whole)
            return data[request.length :] if whole else b""
        self._receiver, self._remaining = receiver, request.length - end
        self._state = _PAYLOAD
        self.deadline = self._shared.now + limits.idle_s
        if not self._remaining:
            self._complete()
        return data[end:]

    def _take_ordinary(self, data: bytes) -> bytes:
        assert self._ordinary is not None
        part, rest = data[: self._remaining], data[self._remaining :]
        self._remaining -= len(part)
        self.deadline = self._shared.now + self._shared.limits.idle_s
        if not self._remaining:
            self._state = _RUNNING
            self.deadline = math.inf
        self._ordinary.data_received(part)
        if not self._remaining and self._answered and self._state is _RUNNING:
            self._done(next_too=False)
        return rest

    # Answers

    def _call(self, body: bytes) -> None:
        request = self._request
        try:
            answer = request.unary(body, request.content_type)
        except Exception as error:
            self._refuse(self._problem(error))
            return
        if isinstance(answer, bytes):
            self._answer(answer)
        else:
            self._state, self.deadline = _RUNNING, math.inf
            self._shared.own(self._await(answer))

    async def _await(self, answer: Awaitable[bytes]) -> None:
        try:
            body = await answer
        except Exception as error:
            problem = self._problem(error)
            if self._state is _RUNNING:  # else the peer has left
                self._refuse(problem)
        else:
            if self._state is _RUNNING:
                self._answer(body)
        if self._state is _HEAD:
            self._next()

    def _count(self, count: int) -> bool:
        """Whether the receiver goes on."""
        assert self._receiver is not None
        try:
            self._receiver.received(count)
        except Exception as error:
            self._receiver = None
            self._refuse(self._problem(error), close=True)
            return False
        return True

    def _complete(self) -> None:
        receiver, self._receiver = self._receiver, None
        assert receiver is not None
        try:
            answer = receiver.complete()
        except Exception as error:
            self._refuse(self._problem(error))
        else:
            self._answer(answer)

    def _answer(self, body: bytes) -> None:
        shared = self._shared
        if self._request.keep and not self._last:
            self._transport.write(b"%b%d\r\n\r\n%b" % (shared.ok, len(body), body))
            self._state = _HEAD
            self.deadline = shared.now + shared.limits.keep_alive_s
        else:
            self._transport.write(b"%b%d\r\nconnection: close\r\n\r\n%b" % (shared.ok, len(body), body))
            self._end()

    def _refuse(self, problem: Problem, *, close: bool = False) -> None:
        """Says no. With `close`, what the peer still sends is not a request any more."""
        close = close or self._last or (self._request is not None and not self._request.keep)
        self._transport.write(self._shared.refusal(problem, close=close))
        self._kept.clear()
        if close:
            self._end()
        else:
            self._state = _HEAD
            self.deadline = self._shared.now + self._shared.limits.keep_alive_s

    def _end(self) -> None:
        """Closes our side; a close of both while the peer sends would reset the connection under our answer."""
        self._state = _LINGER
        self._kept.clear()
        self.deadline = self._shared.now + self._shared.limits.linger_s
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _problem(self, error: Exception) -> Problem:
        return error if isinstance(error, Problem) else unexpected(error, self._request.where)

    # What waits, and what is handed on

    def _keep(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > _EARLY_BYTES and self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _next(self) -> None:
        """Goes on with what arrived early."""
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        if self._kept:
            data = bytes(self._kept)
            self._kept.clear()
            self._take(data)

    def _inner(self) -> Ordinary:
        if self._ordinary is None:
            self._ordinary = Ordinary(self._shared, self.answered, self.malformed)
            self._ordinary.connection_made(self._transport)
        return self._ordinary

    def _hand_over(self, data: bytes) -> bytes:
        self._state = _ODD
        self.deadline = self._shared.now + self._shared.limits.body_s
        self._inner().last = True
        return data

    def answered(self) -> None:
        """The application has answered an ordinary request."""
        self._answered = True
        if self._state is _RUNNING:
            self._done(next_too=True)

    def malformed(self) -> None:
        """uvicorn's parser cannot read the request either."""
        self._refuse(Problem(400, "Malformed request", "this is no HTTP/1.1 request"), close=True)

    def _done(self, *, next_too: bool) -> None:
        if self._transport.is_closing():
            return
        if self._last or not self._request.keep:
            self._end()
            return
        self._state = _HEAD
        self.deadline = self._shared.now + self._shared.limits.keep_alive_s
        if next_too:
            self._next()

    def _lose(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            try:
                receiver.lost()
            except Exception as error:
                unexpected(error, self._request.where)


def make_protocol(shared: Shared) -> Any:
    """A factory with the signature of uvicorn's `Config(http=...)`."""

    def protocol(config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> HotProtocol:
        shared.attach(config, server_state, app_state)
        return HotProtocol(shared)

    return protocol
