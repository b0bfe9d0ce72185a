"""The server's protocol: one connection, on which hot requests and ordinary ones may follow each other.

The bytes of all connections of a server land in one buffer and are looked at before the next read. A hot request is
handled right there, without a task, a copy of its payload, or a scope. Everything else is passed to uvicorn's protocol,
which runs the ASGI application on the same transport. The state says what the next byte belongs to:

    HEAD       a request head                        -> BODY, FRAME, ORDINARY, RUNNING, ODD, LINGER
    BODY       a hot unary body                      -> HEAD, RUNNING, LINGER
    FRAME      the head message of an upload         -> PAYLOAD, HEAD, LINGER
    PAYLOAD    its payload                           -> HEAD, LINGER
    ORDINARY   a body for the application            -> RUNNING, HEAD, LINGER
    RUNNING    a later request; it waits for the answer to the one in work -> HEAD, LINGER
    ODD        one request that is not plain (see `heads`), uvicorn's to the end of the connection -> LINGER
    LINGER     nobody; the connection ends, and the peer is given time to read why

A deadline belongs to each state; the server's clock ends what has passed its own.
"""

import asyncio
import math
from typing import cast

from edgebed.wire.exchange import Exchange, State
from edgebed.wire.frames import read_frame
from edgebed.wire.heads import END
from edgebed.wire.ordinary import Ordinary
from edgebed.wire.problems import Problem
from edgebed.wire.shared import Kind

EARLY_BYTES = 64 * 1024
"""How much of the next requests is read while one is in work."""

# Names of the module are found faster than attributes of an enumeration, and every read asks for the state.
_HEAD, _BODY, _FRAME, _PAYLOAD, _ORDINARY, _RUNNING, _ODD, _LINGER = State


class HotProtocol(Exchange):
    """One connection of a server."""

    # Told by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer has connected."""
        self._transport = cast(asyncio.Transport, transport)
        shared = self._shared
        self.deadline = shared.now + shared.limits.head_s
        full = len(shared.connections) >= shared.limits.connections
        shared.connections.add(self)
        if full or shared.stopping:
            said = (
                "this service is stopping" if shared.stopping else "this service has as many connections as it can bear"
            )
            self._refuse(Problem(503, "Too busy", f"{said}; try again later"), close=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by either side."""
        self._shared.connections.discard(self)
        self._state, self.deadline = _LINGER, math.inf
        self._lose()
        if self._ordinary is not None:
            self._ordinary.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes are there."""
        if self._state is _PAYLOAD and nbytes < self._remaining:
            self._remaining -= nbytes
            self._go_on(nbytes)
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
            self._wait_for_next()
            self._next()
        elif self._state in (_RUNNING, _ODD):
            self.deadline = math.inf

    # Told by the server

    def expire(self) -> None:
        """The deadline has passed."""
        if not self._writable or self._state in (_LINGER, _PAYLOAD):
            self.abort()
        elif self._state is _HEAD and not self._kept:
            self._transport.close()
        elif self._state is _ODD and self._ordinary is not None and self._ordinary.running:
            self.deadline = math.inf  # it has arrived; the answer is the application's to give
        else:
            self._refuse(Problem(408, "Too slow", "the request did not arrive in time; send it at once"), close=True)

    def shutdown(self) -> None:
        """No further requests: ends now, or with the answer to the one in progress."""
        self._last = True
        if self._state is _HEAD and not self._kept:
            self._transport.close()
        elif self._ordinary is not None and self._state in (_ODD, _RUNNING, _ORDINARY):
            self._ordinary.shutdown()

    def abort(self) -> None:
        """Ends at once."""
        self._state = _LINGER
        self._lose()
        self._transport.abort()

    # Told by uvicorn's part

    def answered(self) -> None:
        """The application has answered an ordinary request."""
        self._answered = True
        if self._state is _RUNNING and not self._transport.is_closing():
            self._wait_for_next()
            self._next()

    def malformed(self) -> None:
        """uvicorn's parser cannot read the request either."""
        self._refuse(Problem(400, "Malformed request", "this is no HTTP/1.1 request"), close=True)

    # What the bytes belong to

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
                data = self._take_payload(data)
            elif state is _ORDINARY:
                data = self._take_ordinary(data)
            elif state is _RUNNING:
                self._keep(data)
                return
            elif state is _ODD:
                assert self._ordinary is not None  # made when the state was entered
                self._ordinary.data_received(data)
                return
            else:
                return

    def _take_head(self, data: bytes) -> bytes:
        shared, limits = self._shared, self._shared.limits
        if not self._writable:  # a peer that does not read its answers gets no more of them
            self._keep(data)
            return b""
        begun = bool(self._kept)
        if begun:
            data = bytes(self._kept) + data
            self._kept.clear()
        end = data.find(END) + len(END)
        if end < len(END):
            if not data[:1].isupper():
                return self._hand_over(data)
            if len(data) <= limits.head_bytes:
                self._kept += data
                if not begun:
                    self.deadline = shared.now + limits.head_s
                return b""
        if max(end, len(data) if end < len(END) else 0) > limits.head_bytes:
            detail = f"the headers have more than {limits.head_bytes} bytes; send fewer"
            self._refuse(Problem(431, "Headers too large", detail), close=True)
            return b""
        head = data[:end]
        request = self._request = shared.heads.get(head) or shared.read(head)
        kind = request.kind
        if kind is Kind.UNARY:
            self._state = _BODY
            if len(data) - end < request.length:
                self.deadline = shared.now + limits.body_s
            elif not request.length:
                self._call(b"")
        elif kind is Kind.UPLOAD:
            self._state = _FRAME
            self.deadline = shared.now + limits.body_s
            if not request.length:
                self._refuse(Problem(400, "Malformed message", "the body is empty; send varint, head, payload"))
        elif kind is Kind.ODD:
            return self._hand_over(data)
        elif kind is Kind.REFUSED:
            assert request.problem is not None  # that is what it means
            self._refuse(request.problem, close=True)
            return b""
        else:
            self._answered, self._remaining, self._progress = False, request.length, 0
            self._state = _ORDINARY if request.length else _RUNNING
            self.deadline = shared.now + limits.idle_s if request.length else math.inf
            self._inner().data_received(head)
        return data[end:]

    def _take_body(self, data: bytes) -> bytes:
        missing = self._request.length - len(self._kept)
        if len(data) < missing:
            self._kept += data
            return b""
        body = data[:missing]
        if self._kept:
            body = bytes(self._kept) + body
            self._kept.clear()
        self._call(body)
        return data[missing:]

    def _take_frame(self, data: bytes) -> bytes:
        request = self._request
        data = bytes(self._kept) + data
        self._kept.clear()
        try:
            frame = read_frame(data, request.length, self._shared.limits.upload_head_bytes)
            if frame is None:
                self._kept += data
                return b""
            head, end = frame
            self._receiver = request.upload(head, request.length - end)
        except Exception as error:
            whole = len(data) >= request.length  # else the rest of the payload would be taken for a request
            self._refuse(self._problem(error), close=not whole)
            return data[request.length :] if whole else b""
        self._remaining, self._progress = request.length - end, 0
        self._state = _PAYLOAD
        self.deadline = self._shared.now + self._shared.limits.idle_s
        if not self._remaining:
            self._complete()
        return data[end:]

    def _take_payload(self, data: bytes) -> bytes:
        count = min(len(data), self._remaining)
        self._remaining -= count
        self._go_on(count)
        if self._count(count) and not self._remaining:
            self._complete()
        return data[count:]

    def _take_ordinary(self, data: bytes) -> bytes:
        assert self._ordinary is not None  # made when the state was entered
        part = data[: self._remaining]
        self._remaining -= len(part)
        self._go_on(len(part))
        if not self._remaining:
            self._state = _RUNNING
            self.deadline = math.inf
        self._ordinary.data_received(part)
        if self._answered and self._state is _RUNNING and not self._transport.is_closing():
            self._wait_for_next()
        return data[len(part) :]

    def _go_on(self, count: int) -> None:
        """Moves the deadline, once enough has arrived that nobody could call it slow."""
        self._progress += count
        if self._progress >= self._shared.limits.idle_bytes:
            self._progress = 0
            self.deadline = self._shared.now + self._shared.limits.idle_s

    # What waits, and what is handed on

    def _keep(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > EARLY_BYTES and self._reading:
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
        self.deadline = self._shared.now + self._shared.limits.odd_s
        self._inner().last = True
        return data
