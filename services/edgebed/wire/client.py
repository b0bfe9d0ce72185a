"""A lean HTTP/1.1 client to one peer, for the hot path.

    peer = Peer("http://127.0.0.1:8081", token=None)
    answer = await peer.post("/v1/probe", body)
    upload = await peer.upload("/v1/tasks", head, payload_bytes=1_000_000)
    upload.write(piece); ...; await upload.finish(timeout_s=1.0)

Connections are kept and used again, the latest first; more are opened when all are busy. A connection carries one request at a
time, so one that is silent holds nobody up but who asked it. Nothing is sent twice: a request on a connection that breaks
may have been handled, and only the caller knows whether it may be repeated.
"""

import asyncio
import collections
from collections.abc import Callable
from urllib.parse import urlsplit

from edgebed.wire.connection import Answer, Connection
from edgebed.wire.errors import PeerAway, PeerError, PeerSilent
from edgebed.wire.frames import varint
from edgebed.wire.messages import PROTOBUF

IDLE_S = 60.0
"""How long a connection is kept without use; shorter than servers keep it, so that none is closed under a request."""


class Peer:
    """One address. Made anywhere; used on one event loop."""

    def __init__(
        self, address: str, *, token: str | None = None, connect_timeout_s: float = 1.0, limit: int = 64
    ) -> None:
        """`address` is http://host:port. At most `limit` requests are under way at once; others wait."""
        parts = urlsplit(address)
        _, _, port = parts.netloc.rpartition(":")
        good = parts.scheme == "http" and port.isdigit() and int(port) < 65536
        if not good or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError(f"address {address!r} is not allowed; give http://HOST:PORT")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ValueError("token is not allowed; give printable ASCII")
        self.address = address.rstrip("/")
        self._host, self._port = parts.hostname or "", int(port)
        bearer = "" if token is None else f"authorization: Bearer {token}\r\n"
        self._fields = f" HTTP/1.1\r\nhost: {parts.netloc}\r\n{bearer}content-type: {PROTOBUF}\r\ncontent-length: "
        self._heads: dict[str, bytes] = {}
        self._connect_timeout_s, self._limit = connect_timeout_s, limit
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening = 0
        self._waiting: collections.deque[asyncio.Future[Connection | None]] = collections.deque()
        self._closed = False

    async def post(self, path: str, body: bytes, *, timeout_s: float = 2.0) -> bytes:
        """The body of the answer. Raises PeerError; after PeerAway and PeerSilent the request may have been handled."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        connection = self._take_idle() or await self._connection(path, deadline)
        request = b"%b%d\r\n\r\n%b" % (self._heads.get(path) or self._head(path), len(body), body)
        return await connection.wait(connection.begin(path, request), deadline)

    async def upload(self, path: str, head: bytes, payload_bytes: int, *, timeout_s: float = 1.0) -> "Upload":
        """Begins a request whose payload is written later; body: `varint(len(head)) head payload`. Raises PeerError."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        connection = self._take_idle() or await self._connection(path, deadline)
        frame = varint(len(head)) + head
        length = len(frame) + payload_bytes
        start = b"%b%d\r\n\r\n%b" % (self._heads.get(path) or self._head(path), length, frame)
        return Upload(connection, path, start, payload_bytes)

    async def open(self) -> None:
        """Has a connection ready for the next request, if none is and the limit allows it. Raises PeerError."""
        if self._idle or len(self._open) + self._opening >= self._limit:
            return
        self._released(await self._connect("", asyncio.get_running_loop().time() + self._connect_timeout_s))

    async def close(self) -> None:
        """Closes all connections; requests under way fail with PeerAway."""
        self._closed = True
        while self._wake(None):
            pass
        for connection in list(self._open):
            connection.fail(PeerAway(f"{self.address}: this client was closed"))
        while self._open:  # a transport closes in a later turn of the loop
            await asyncio.sleep(0)

    def _head(self, path: str) -> bytes:
        head = self._heads[path] = f"POST {path}{self._fields}".encode("ascii")
        return head

    def _take_idle(self) -> Connection | None:
        """A connection that is still good."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable(IDLE_S):
                return connection
        return None

    async def _connection(self, path: str, deadline: float) -> Connection:
        """A new connection, or the first that is released. Raises PeerAway, PeerSilent."""
        while True:
            if self._closed:
                raise PeerAway(f"{self.address}{path}: this client is closed")
            if len(self._open) + self._opening < self._limit:
                return await self._connect(path, deadline)
            waiting: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            try:
                async with asyncio.timeout_at(deadline):
                    connection = await waiting
            except BaseException as error:
                if waiting.done() and not waiting.cancelled() and not self._closed:
                    self._pass_on(waiting.result())  # woken and cancelled in the same turn of the loop
                if isinstance(error, TimeoutError):
                    raise PeerSilent(f"{self.address}{path}: {self._limit} requests are under way already") from None
                raise
            if connection is not None and connection.usable(IDLE_S):
                return connection

    async def _connect(self, path: str, deadline: float) -> Connection:
        loop = asyncio.get_running_loop()
        limit_s = max(0.0, min(self._connect_timeout_s, deadline - loop.time()))
        connection: Connection | None = None
        self._opening += 1
        try:
            async with asyncio.timeout(limit_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self.address, self._released, self._lost), self._host, self._port
                )
        except TimeoutError:
            raise PeerAway(f"{self.address}{path}: no connection within {limit_s:.3g} s") from None
        except OSError as error:
            raise PeerAway(f"{self.address}{path}: {error.strerror or error}") from error
        finally:
            self._opening -= 1
            if connection is None:
                self._wake(None)
        if not connection.gone:
            self._open.add(connection)
        if self._closed:
            connection.fail(PeerAway(""))
            raise PeerAway(f"{self.address}{path}: this client was closed")
        return connection

    def _released(self, connection: Connection) -> None:
        """A connection is free again."""
        if not self._wake(connection):
            self._idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake(None)

    def _pass_on(self, connection: Connection | None) -> None:
        if connection is None:
            self._wake(None)
        else:
            self._released(connection)

    def _wake(self, connection: Connection | None) -> bool:
        """Lets the first that waits go on: with this connection, or to open one."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(connection)
                return True
        return False


class Upload:
    """A request whose payload is written piece by piece. Its owner ends it with `finish` or with `cut`."""

    def __init__(self, connection: Connection, path: str, start: bytes, payload_bytes: int) -> None:
        self._connection, self._remaining = connection, payload_bytes
        self.on_lost: Callable[[PeerError], None] | None = None
        """Called at most once, while payload is left to be written: the connection broke, or the peer refused the rest."""
        self.error: PeerError | None = None
        """What `on_lost` was told."""
        connection.streaming = payload_bytes > 0
        self._answer: Answer = connection.begin(path, start, self._told)

    @property
    def unsent(self) -> int:
        """Bytes that wait in this process because the connection does not take them yet."""
        return 0 if self._answer.done() else self._connection.unsent

    def write(self, data: memoryview | bytes) -> None:
        """Hands a piece of the payload to the transport and returns. It may not be copied, so it must not change."""
        if len(data) > self._remaining:
            raise ValueError(f"{len(data)} bytes are more than the {self._remaining} that are left of the payload")
        self._remaining -= len(data)
        if self._answer.done():  # lost; who wrote was told, or will be by `finish`
            return
        self._connection.write(data)
        if not self._remaining:
            self._connection.streaming = False

    async def finish(self, timeout_s: float) -> bytes:
        """The body of the answer. Raises PeerError; the connection is kept for the next request if it is still good."""
        if self._remaining and not self._answer.done():
            raise ValueError(f"{self._remaining} bytes of the payload have not been written")
        return await self._connection.wait(self._answer, asyncio.get_running_loop().time() + timeout_s)

    def cut(self) -> None:
        """Resets the connection in the middle; what the receiver has not read is lost, as on a link that fails."""
        self.on_lost = None
        if not self._answer.done():
            self._connection.reset()

    def _told(self, error: PeerError) -> None:
        self.error = error
        if self.on_lost is not None:
            self.on_lost(error)
