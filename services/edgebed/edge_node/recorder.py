"""Task records on their way to the log: batched, kept until the log has them, on disk while it is away.

Records are sent a few times a second, off the hot path. A batch that the log did not acknowledge is sent again; the log
takes every task once, so nothing is lost and nothing is double. What exceeds the memory that an outage may take goes to
a spool file, and from there to the log when it is back, also after this process was started again.
"""

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerError, PeerRefused
from edgebed.wire.generated import testbed_pb2 as pb

BATCH = 500
INTERVAL_S = 0.1
RETRY_S = 0.5
TIMEOUT_S = 5.0
IN_MEMORY = 20_000
"""Records that wait in memory before they go to the spool file."""

_log = logging.getLogger(__name__)


class Recorder:
    """The records of one node."""

    def __init__(self, node: int, log: Peer | None, spool: Path | None) -> None:
        """Without a log, records are counted only; without a spool folder, an outage is borne in memory."""
        self._node, self._peer = node, log
        self._file = None if spool is None else spool / f"node-{node}.records"
        self._waiting: deque[pb.TaskRecord] = deque()
        self._spooled = 0 if self._file is None or not self._file.exists() else len(list(_frames(self._file)))
        self._sending: list[pb.TaskRecord] = []
        self._some, self._hurry = asyncio.Event(), asyncio.Event()
        self._empty = asyncio.Event()
        self.delivered = self.refused = 0
        self.reason = ""
        """Why the last delivery failed; empty when it did not."""
        self._task: asyncio.Task[None] | None = None

    @property
    def unsent(self) -> int:
        """Records that the log has not acknowledged."""
        return len(self._waiting) + len(self._sending) + self._spooled

    def start(self) -> None:
        """Begins delivering."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._deliver(), name="recorder")

    def put(self, record: pb.TaskRecord) -> None:
        """Keeps the record until the log has it; never waits."""
        if self._peer is None:
            self.delivered += 1
            return
        self._waiting.append(record)
        self._some.set()
        if self._file is not None and len(self._waiting) > IN_MEMORY:
            self._spool()

    async def flush(self, timeout_s: float) -> bool:
        """Whether all records were delivered within the time."""
        if not self.unsent:
            return True
        self._empty.clear()
        self._some.set()
        self._hurry.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        return not self.unsent

    async def stop(self, timeout_s: float = 2.0) -> None:
        """Delivers what it can in the time; the rest goes to the spool file."""
        await self.flush(timeout_s)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._file is not None and self._waiting:
            self._spool()

    async def _deliver(self) -> None:
        while True:
            await self._some.wait()
            with contextlib.suppress(TimeoutError):  # what ends in the meantime travels along
                await asyncio.wait_for(self._hurry.wait(), INTERVAL_S)
            self._some.clear()
            self._hurry.clear()
            while self.unsent:
                if not await self._deliver_one():
                    await asyncio.sleep(RETRY_S)
            self._empty.set()

    async def _deliver_one(self) -> bool:
        """One batch, the spooled ones first; whether the log has it."""
        assert self._peer is not None  # else nothing waits
        spooled = None if not self._spooled or self._file is None else next(_frames(self._file), None)
        if spooled is None:
            self._spooled = 0
            self._sending = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            body = pb.RecordBatch(records=self._sending, node=self._node).SerializeToString()
        else:
            body = spooled
        count = len(self._sending)
        try:
            await self._peer.post("/v1/records", body, timeout_s=TIMEOUT_S)
        except PeerError as error:
            if not isinstance(error, PeerRefused) or error.status >= 500 or error.status in (401, 429):
                self._waiting.extendleft(reversed(self._sending))
                self._sending = []
                return self._failed(error)
            self.refused += count  # it would be refused for ever; the episode's count tells that it is missing
            _log.error("the log refused records of node %s: %s", self._node, error)
        self.reason = ""
        if spooled is not None:
            self._forget_first()
        self.delivered += count
        self._sending = []
        return True

    def _failed(self, error: Exception) -> bool:
        if not self.reason:
            _log.warning("the log is away, records of node %s are kept: %s", self._node, error)
        self.reason = str(error)
        return False

    def _spool(self) -> None:
        """Moves what waits in memory to the end of the spool file."""
        assert self._file is not None  # the callers look
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab") as file:
            while self._waiting:
                records = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                body = pb.RecordBatch(records=records, node=self._node).SerializeToString()
                file.write(len(body).to_bytes(4, "little") + body)
                self._spooled += 1
            file.flush()
            os.fsync(file.fileno())

    def _forget_first(self) -> None:
        """The log has the first frame of the spool file."""
        assert self._file is not None  # it was read from there
        rest = list(_frames(self._file))[1:]
        if rest:
            temporary = self._file.with_suffix(".tmp")
            with temporary.open("wb") as file:
                for body in rest:
                    file.write(len(body).to_bytes(4, "little") + body)
            temporary.rename(self._file)
        else:
            self._file.unlink(missing_ok=True)
        self._spooled = len(rest)


def _frames(path: Path) -> Iterator[bytes]:
    """The whole frames of a spool file; one that was cut off by a crash is left out."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    at = 0
    while at + 4 <= len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        if at + 4 + length > len(content):
            return
        yield content[at + 4 : at + 4 + length]
        at += 4 + length
