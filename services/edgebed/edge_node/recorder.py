"""Task records on their way to the log: batched, kept until the log has them, on disk while it is away.

Records are sent a few times a second, off the hot path. A batch that the log did not acknowledge is sent again; the log
takes every task once, so nothing is lost and nothing is double. What exceeds the memory that an outage may take goes to
a spool file, and from there to the log when it is back, also after this process was started again.
"""

import asyncio
import contextlib
import logging
from collections import deque
from pathlib import Path

from edgebed.edge_node.spool import Spool
from edgebed.live.documents import EdgeNodeSettings
from edgebed.live.in_use import InUse
from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerError, PeerRefused
from edgebed.wire.generated import testbed_pb2 as pb

BATCH = 500
RETRY_S = 0.5
TIMEOUT_S = 5.0
IN_MEMORY = 20_000
"""Records that wait in memory before they go to the spool file."""
_LATER = frozenset({401, 408, 429})
"""Statuses below 500 after which the same batch may be taken."""

_log = logging.getLogger(__name__)


class Recorder:
    """The records of one node."""

    def __init__(
        self,
        node: int,
        log: Peer | None,
        spool: Path | None,
        *,
        in_memory: int = IN_MEMORY,
        settings: InUse[EdgeNodeSettings] | None = None,
    ) -> None:
        """Without a log, records are counted only; without a spool folder, an outage is borne in memory.

        Raises OSError when the spool file cannot be read.
        """
        self._node, self._peer = node, log
        self._settings = settings or InUse(EdgeNodeSettings)
        self._spool = None if spool is None else Spool(spool / f"node-{node}.records")
        self._in_memory, self._spool_over = in_memory, in_memory
        self._waiting: deque[pb.TaskRecord] = deque()
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
        return len(self._waiting) + len(self._sending) + self.spooled

    @property
    def spooled(self) -> int:
        """Those of them that are on the disk."""
        return 0 if self._spool is None else self._spool.records

    def start(self) -> None:
        """Begins delivering, with what is in the spool file."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._deliver(), name="recorder")
            if self.unsent:
                self._some.set()

    def put(self, record: pb.TaskRecord) -> None:
        """Keeps the record until the log has it; never waits."""
        if self._peer is None:
            self.delivered += 1
            return
        self._waiting.append(record)
        self._some.set()
        if len(self._waiting) > self._spool_over:
            self._to_disk()

    async def flush(self, timeout_s: float) -> bool:
        """Whether all records were delivered within the time."""
        if not self.unsent:
            return True
        self._empty.clear()
        self._some.set()
        self._hurry.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        return not self.unsent

    async def stop(self, timeout_s: float = 2.0) -> None:
        """Delivers what it can in the time; the rest goes to the spool file."""
        await self.flush(timeout_s)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._waiting:
            self._to_disk()
        if self._peer is not None:
            await self._peer.close()

    async def _deliver(self) -> None:
        while True:
            await self._some.wait()
            # Before Python 3.12, `wait_for` may swallow being cancelled.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    self._settings.values.record_seconds
                ):  # what ends in the meantime travels along
                    await self._hurry.wait()
            self._some.clear()
            self._hurry.clear()
            while self.unsent:
                try:
                    delivered = await self._deliver_one()
                except OSError as error:  # of the spool file
                    delivered = self._failed(error)
                if not delivered:
                    await asyncio.sleep(RETRY_S)
            self._empty.set()

    async def _deliver_one(self) -> bool:
        """One batch, the spooled ones first; whether the log has it. Raises OSError."""
        spooled = None if self._spool is None else self._spool.first()
        if spooled is not None:
            body, count = spooled
        else:
            self._sending = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            body, count = self._batch(self._sending)
        try:
            if not await self._send(body, count):
                return False
            self._sending = []
        finally:  # given up on the way, too
            self._waiting.extendleft(reversed(self._sending))
            self._sending = []
        if spooled is not None and self._spool is not None:
            self._spool.forget(body, count)
        return True

    async def _send(self, body: bytes, count: int) -> bool:
        assert self._peer is not None  # else nothing waits
        try:
            await self._peer.post("/v1/records", body, timeout_s=TIMEOUT_S)
        except PeerError as error:
            if not isinstance(error, PeerRefused) or error.status >= 500 or error.status in _LATER:
                return self._failed(error)
            self.refused += count  # it would be refused for ever; the episode's count tells that it is missing
            _log.error("the log refused records of node %s: %s", self._node, error)
        else:
            self.delivered += count
        self.reason = ""
        return True

    def _failed(self, error: Exception) -> bool:
        if not self.reason:
            _log.warning("the log is away, records of node %s are kept: %s", self._node, error)
        self.reason = str(error)
        return False

    def _to_disk(self) -> None:
        """Moves what waits in memory to the end of the spool file; where that is full, memory has to bear it."""
        if self._spool is None:
            self._spool_over = self._in_memory + len(self._waiting)
            return
        waiting = list(self._waiting)
        batches = [self._batch(waiting[at : at + BATCH]) for at in range(0, len(waiting), BATCH)]
        try:
            self._spool.append(batches)
        except OSError as error:
            self._spool_over = self._in_memory + len(waiting)  # not again with every record
            _log.error("records of node %s cannot be kept on the disk, so they stay in memory: %s", self._node, error)
        else:
            self._spool_over = self._in_memory
            self._waiting.clear()

    def _batch(self, records: list[pb.TaskRecord]) -> tuple[bytes, int]:
        return pb.RecordBatch(records=records, node=self._node).SerializeToString(), len(records)
