"""A client's connection: one request at a time, one answer to each.

The answer's head is compared with the one before: a peer says nearly the same each time, and only what changed is parsed. A
timer is set once for many requests: it looks at the deadline when it rings, and is set again only if one is left.
"""

import asyncio
import json
import math
import re
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

from edgebed.wire.errors import PeerAway, PeerError, PeerRefused, PeerSilent

_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2})[ -~]*")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_HEAD_BYTES = 64 * 1024
_ANSWER_BYTES = 256 << 20
_RESET = struct.pack("ii", 1, 0)

Answer = asyncio.Future[bytes]


class Connection(asyncio.Protocol):
    """Tells its pool when it is free and when it is gone."""

    def __init__(
        self, address: str, released: Callable[["Connection"], None], lost: Callable[["Connection"], None]
    ) -> None:
        self._address, self._released, self._lost = address, released, lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._answer: Answer | None = None
        """Of the request under way; None while the connection is free."""
        self._told: Callable[[PeerError], None] | None = None
        self._path = ""
        self._kept = b""
        self._last_head, self._last = b"", (0, 0, False)
        self._deadline, self._rings_at = math.inf, math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._used = 0.0

    # For the pool

    def usable(self, idle_s: float) -> bool:
        """Whether a request may be sent on it; a connection that was idle for too long is closed."""
        if self._transport.is_closing():
            return False
        if self._loop.time() - self._used > idle_s:
            self._transport.close()
            return False
        return True

    @property
    def unsent(self) -> int:
        """Bytes in the transport's buffer."""
        return self._transport.get_write_buffer_size()

    async def ask(self, path: str, request: bytes, deadline: float) -> bytes:
        """Sends a whole request; the body of its answer."""
        return await self.wait(self.begin(path, request), deadline)

    def begin(self, path: str, start: bytes, told: Callable[[PeerError], None] | None = None) -> Answer:
        """Sends the start of a request. `told` hears why it fails."""
        self._path, self._told = path, told
        answer = self._answer = self._loop.create_future()
        self._transport.write(start)
        return answer

    def write(self, data: memoryview | bytes) -> None:
        """More of the request."""
        self._transport.write(data)

    async def wait(self, answer: Answer, deadline: float) -> bytes:
        """The body of the answer, or PeerError; a request that nobody waits for any more takes its connection along."""
        if not answer.done():
            self._deadline = deadline
            if deadline < self._rings_at:
                self._set_timer(deadline)
        try:
            return await answer
        except asyncio.CancelledError:
            self.reset()
            raise

    def reset(self) -> None:
        """Closes at once, and resets: the peer need not read what is on its way."""
        if not self._transport.is_closing():
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.fail(None)

    def fail(self, error: PeerError | None) -> None:
        """Ends the request under way with an error, and the connection."""
        answer, told = self._answer, self._told
        self._answer = self._told = None
        self._transport.abort()
        if answer is not None and not answer.done():
            if error is None:
                answer.cancel()
            else:
                answer.set_exception(error)
                if told is not None:
                    answer.exception()  # who is told need not wait for it
                    told(error)

    # Told by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)
        # uvloop gathers what is below this mark until the end of the loop's turn, all connections behind one another.
        self._transport.set_write_buffer_limits(high=0)
        self._used = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by either side."""
        if self._timer is not None:
            self._timer.cancel()
        if self._answer is not None:
            why = getattr(exc, "strerror", None) or "the connection was closed before an answer came"
            self.fail(PeerAway(f"{self._address}{self._path}: {why}"))
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        """A part of an answer."""
        if self._answer is None:
            self.fail(None)  # nobody asked
            return
        if self._kept:
            data = self._kept + data
        end = data.find(_END) + len(_END)
        if end < len(_END):
            if len(data) > _HEAD_BYTES:
                self._garbled("headers without end")
            self._kept = data
            return
        head = data[:end]
        if head == self._last_head:
            status, length, close = self._last
        else:
            found = self._read(head)
            if found is None:
                return
            status, length, close = self._last = found
            self._last_head = head
        missing = end + length - len(data)
        if missing > 0:
            self._kept = data
            return
        self._kept = b""
        if missing < 0:
            self._garbled("more bytes than one answer")
            return
        self._end(status, data[end:], close)

    def _read(self, head: bytes) -> tuple[int, int, bool] | None:
        """(status, bytes of body, whether the connection ends) of an answer's head."""
        status = _STATUS.match(head)
        lengths = _LENGTH.findall(head)
        if status is None or len(lengths) != 1 or _CHUNKED.search(head) or int(lengths[0]) > _ANSWER_BYTES:
            self._garbled("no HTTP/1.1 answer with a Content-Length")
            return None
        return int(status[1]), int(lengths[0]), _CLOSE.search(head) is not None

    def _end(self, status: int, body: bytes, close: bool) -> None:
        answer, told = self._answer, self._told
        assert answer is not None  # data_received looks
        if 200 <= status < 300:
            self._answer = self._told = None
            self._deadline = math.inf
            if close or self._transport.is_closing():
                self._transport.close()
            else:
                self._used = self._loop.time()
                self._released(self)
            if not answer.done():
                answer.set_result(body)
            return
        error = PeerRefused(status, _problem(body), f"{self._address}{self._path}")
        self._answer = self._told = None
        self._deadline = math.inf
        if not answer.done():
            answer.set_exception(error)
        if told is not None:
            answer.exception()
            told(error)
        if close or told is not None:
            self._transport.abort()  # the rest of an upload is not wanted
        else:
            self._used = self._loop.time()
            self._released(self)

    def _garbled(self, what: str) -> None:
        self.fail(PeerAway(f"{self._address}{self._path}: answered with {what}; is it an edgebed service?"))

    # Deadline

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


def _problem(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {"detail": body[:200].decode("latin-1")} if body else {}
    return found if isinstance(found, dict) else {"detail": str(found)[:200]}
