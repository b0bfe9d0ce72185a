"""A client's connection: one request at a time, one answer to each.

The answer's head is compared with the one before: a peer says nearly the same each time, and only what changed is parsed. A
timer is set once for many requests: it looks at the deadline when it rings, and is set again only if one is left.
"""

import asyncio
import math
import re
import socket
import struct
from collections.abc import Callable
from typing import cast

from edgebed.wire.errors import PeerAway, PeerError, PeerRefused, PeerSilent, problem_in

_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*(?=\r\n)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_HEAD_BYTES = 64 * 1024
_ANSWER_BYTES = 64 << 20
_RESET = struct.pack("ii", 1, 0)  # of SO_LINGER: close at once, with a reset

Answer = asyncio.Future[bytes]


class Connection(asyncio.Protocol):
    """Tells its pool when it is free and when it is gone."""

    def __init__(
        self, address: str, released: Callable[["Connection"], None], lost: Callable[["Connection"], None]
    ) -> None:
        self._address, self._released, self._lost = address, released, lost
        self._loop = asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, None)  # there before anything else is called
        self.gone = False
        self.streaming = False
        """Whether the request under way is not completely written; an answer that comes before that is a refusal."""
        self._answer: Answer | None = None
        """Of the request under way; None while the connection is free."""
        self._told: Callable[[PeerError], None] | None = None
        self._path = ""
        self._kept = bytearray()
        self._needed = 0
        """Bytes of the whole answer, once its head is known."""
        self._last_head, self._last = b"", (0, 0, False)
        self._deadline, self._rings_at = math.inf, math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._free_since = self._loop.time()

    # For the pool

    def usable(self, idle_s: float) -> bool:
        """Whether a request may be sent on it. One that was idle for too long is closed."""
        if self._transport.is_closing():
            return False
        if self._loop.time() - self._free_since > idle_s:
            self._transport.close()
            return False
        return True

    # For a request

    @property
    def unsent(self) -> int:
        """Bytes in the transport's buffer."""
        return self._transport.get_write_buffer_size()

    def begin(self, path: str, start: bytes, told: Callable[[PeerError], None] | None = None) -> Answer:
        """Sends a request, or the start of one. `told` hears why it fails."""
        answer = self._answer = self._loop.create_future()
        self._path, self._told = path, told
        if self._transport.is_closing():
            self.fail(self._away("the connection was closed"))
        else:
            self._transport.write(start)
        return answer

    def write(self, data: memoryview | bytes) -> None:
        """More of the request."""
        self._transport.write(data)

    async def wait(self, answer: Answer, deadline: float) -> bytes:
        """The body of the answer, or PeerError. A request that nobody waits for any more takes its connection along."""
        if not answer.done():
            self._deadline = deadline
            if deadline < self._rings_at:
                self._set_timer(deadline)
        try:
            return await answer
        except asyncio.CancelledError:
            if self._answer is answer:
                self.fail(self._away("given up"))
            raise

    def reset(self) -> None:
        """Ends the request under way with a reset: what the peer has not read is lost."""
        if not self._transport.is_closing():
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.fail(self._away("cut here"))

    def fail(self, error: PeerError) -> None:
        """Ends the request under way, if there is one, and the connection."""
        self._transport.abort()
        self._settle(error)

    # Told by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)
        # uvloop gathers what is below this mark until the end of the loop's turn, all connections behind one another.
        self._transport.set_write_buffer_limits(high=0)

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by either side."""
        self.gone = True
        if self._timer is not None:
            self._timer.cancel()
        self._settle(self._away(getattr(exc, "strerror", None) or "the connection was closed before the answer"))
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        """A part of an answer."""
        if self._answer is None:
            self._transport.abort()  # nobody asked
            return
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return
            data = bytes(self._kept)
        end = data.find(_END) + len(_END)
        if end < len(_END):
            if len(data) > _HEAD_BYTES:
                self._garbled("headers without end")
            elif not self._kept:
                self._kept += data
            return
        head = data[:end]
        found = self._last if head == self._last_head else self._read(head)
        if found is None:
            self._garbled("no HTTP/1.1 answer with a Content-Length")
            return
        self._last_head, self._last = head, found
        status, length, close = found
        self._needed = end + length
        if len(data) < self._needed:
            if not self._kept:
                self._kept += data
        elif len(data) > self._needed:
            self._garbled("more than one answer")
        else:
            self._kept.clear()
            self._needed = 0
            self._end(status, data[end:], close)

    # Inside

    @staticmethod
    def _read(head: bytes) -> tuple[int, int, bool] | None:
        """(status, bytes of body, whether the connection ends) of an answer's head; None where it says no length."""
        status = _STATUS.match(head)
        lengths = _LENGTH.findall(head)
        if status is None or len(lengths) > 1 or _CHUNKED.search(head):
            return None
        if not lengths:
            if status[1] not in (b"204", b"304"):
                return None
            lengths = [b"0"]
        if int(lengths[0]) > _ANSWER_BYTES:
            return None
        return int(status[1]), int(lengths[0]), _CLOSE.search(head) is not None

    def _end(self, status: int, body: bytes, close: bool) -> None:
        answer = self._answer
        assert answer is not None  # data_received looks
        accepted = 200 <= status < 300
        if self.streaming:  # what is still to come would be taken for the next request
            close = True
            if accepted:
                self._garbled("an answer before the end of the request")
                return
        if accepted:
            self._answer = self._told = None
            if not answer.done():
                answer.set_result(body)
        elif (problem := problem_in(body)) is not None:
            self._settle(PeerRefused(status, problem, f"{self._address}{self._path}"))
        else:
            # Whoever has got the address in a service's absence must not keep who looks for it.
            self._garbled(f"status {status} without a reason")
            return
        self._deadline = math.inf
        if close:
            self._transport.abort()
        else:
            self._free_since = self._loop.time()
            self._released(self)

    def _settle(self, error: PeerError) -> None:
        """The request under way has failed."""
        answer, told, streaming = self._answer, self._told, self.streaming
        self._answer = self._told = None
        self.streaming = False
        if answer is None or answer.done():
            return
        answer.set_exception(error)
        if told is not None:
            answer.exception()  # it is not lost if nobody waits for the answer
            if streaming:
                told(error)

    def _away(self, why: str) -> PeerAway:
        return PeerAway(f"{self._address}{self._path}: {why}")

    def _garbled(self, what: str) -> None:
        self.fail(self._away(f"answered with {what}; is it an edgebed service?"))

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = at
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer, self._rings_at = None, math.inf
        if self._answer is None or self._deadline == math.inf:
            return
        if self._loop.time() < self._deadline:
            self._set_timer(self._deadline)
        else:
            self.fail(PeerSilent(f"{self._address}{self._path}: no answer within the time"))
