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
from edgebed.wire.messages import PROTOBUF, varint

IDLE_S = 60.0
"""How long a connection is kept without use; shorter than servers keep it, so that none is closed under a request."""


class Peer:
    """One address. Made anywhere; used on one event loop."""

    def __init__(
        self, address: str, *, token: str | None = None, connect_timeout_s: float = 1.0, limit: int = 64
    ) -> None:
        """`address` is http://host:port. At most `limit` requests are under way at once; others wait."""
        parts = urlsplit(address)
        if parts.scheme != "http" or parts.hostname is None or parts.path not in ("", "/") or parts.query:
            raise ValueError(f"address {address!r} is not allowed; give http://HOST:PORT")
        self.address = address.rstrip("/")
        self._host, self._port = parts.hostname, parts.port or 80
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
        return await connection.ask(path, request, deadline)

    async def upload(self, path: str, head: bytes, payload_bytes: int, *, timeout_s: float = 1.0) -> "Upload":
        """Begins a request whose body is `varint(len(head)) head payload`; the payload is written later. Raises PeerError."""
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
        for connection in list(self._open):
            connection.fail(PeerAway(f"{self.address}: the connection was closed here"))
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
        await asyncio.sleep(0)  # the transports close in the next turn of the loop

    def _head(self, path: str) -> bytes:
        head = self._heads[path] = f"POST {path}{self._fields}".encode("latin-1")
        return head

    def _take_idle(self) -> Connection | None:
        """A connection that is still good."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable(IDLE_S):
                return connection
        return None

    async def _connection(self, path: str, deadline: float) -> Connection:
        loop = asyncio.get_running_loop()
        while True:
            if self._closed:
                raise PeerAway(f"{self.address}: this client is closed")
            if len(self._open) + self._opening < self._limit:
                return await self._connect(path, deadline)
            waiting: asyncio.Future[Connection | None] = loop.create_future()
            self._waiting.append(waiting)
            try:
                async with asyncio.timeout_at(deadline):
                    found = await waiting
            except TimeoutError:
                raise PeerSilent(f"{self.address}{path}: {self._limit} requests are under way already") from None
            finally:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)
            if found is not None:
                return found

    async def _connect(self, path: str, deadline: float) -> Connection:
        loop = asyncio.get_running_loop()
        limit_s = min(self._connect_timeout_s, deadline - loop.time())
        self._opening += 1
        try:
            async with asyncio.timeout(limit_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self.address, self._released, self._lost), self._host, self._port
                )
        except TimeoutError:
            self._wake(None)
            raise PeerAway(f"{self.address}{path}: no connection within {limit_s:.3g} s") from None
        except OSError as error:
            self._wake(None)
            raise PeerAway(f"{self.address}{path}: {error.strerror or error}") from error
        finally:
            self._opening -= 1
        self._open.add(connection)
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

    def _wake(self, connection: Connection | None) -> bool:
        """Lets the first that waits go on: with this connection, or to open one."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(connection)
                return True
        return False


class Upload:
    """A request whose body is written piece by piece. Owned by who asked for it: ends with `finish` or with `cut`."""

    def __init__(self, connection: Connection, path: str, start: bytes, payload_bytes: int) -> None:
        self._connection, self._remaining = connection, payload_bytes
        self.on_lost: Callable[[PeerError], None] | None = None
        """Called at most once, before `finish`: the connection broke, or the peer answered with an error before the end."""
        self.error: PeerError | None = None
        """Why it was lost."""
        self._finishing = False
        self._answer: Answer = connection.begin(path, start, self._told)

    @property
    def unsent(self) -> int:
        """Bytes that wait in this process because the connection does not take them yet."""
        return self._connection.unsent

    def write(self, data: memoryview | bytes) -> None:
        """Hands a piece of the payload to the transport; nothing is copied as long as it goes, so it must not change."""
        if len(data) > self._remaining:
            raise ValueError(f"{len(data)} bytes are more than the {self._remaining} that are left of the payload")
        self._remaining -= len(data)
        if self.error is None:
            self._connection.write(data)

    async def finish(self, timeout_s: float) -> bytes:
        """The body of the answer. Raises PeerError."""
        if self._remaining:
            raise ValueError(f"{self._remaining} bytes of the payload have not been written")
        if self.error is not None:
            raise self.error
        self._finishing = True
        return await self._connection.wait(self._answer, asyncio.get_running_loop().time() + timeout_s)

    def cut(self) -> None:
        """Resets the connection in the middle; what the receiver has not read is lost, as on a link that fails."""
        self._finishing = True
        self._connection.reset()

    def _told(self, error: PeerError) -> None:
        self.error = error
        if not self._finishing and self.on_lost is not None:
            self.on_lost(error)
