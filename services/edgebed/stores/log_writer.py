"""Records on their way into the database, off everybody's path.

    writer = LogWriter(store.append_rows, spool=folder)
    writer.put(rows)                 # returns at once
    writer.flush(timeout_s=10)       # whether everything is in the database

One thread writes batches. While the database is away, rows go to files of the spool folder after each attempt, and from there
to the database in their order when it is back, also after this process was killed and started again. The database takes
every task once, so a batch that was written twice does no harm. Memory is bounded: when neither the database nor the spool
takes more, `put` refuses, and the sender keeps what it has. A row that no database will ever take is set aside, counted
and logged, and holds up nothing.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.log_schema import Row
from edgebed.stores.spool import Spool
from edgebed.systems.cooperative.errors import ModelError

BATCH = 5_000
"""Rows of one transaction, and of one spool file."""
INTERVAL_S = 0.1
"""How long rows wait for others to share a transaction with."""
IN_MEMORY = 200_000
"""Rows in memory above which `put` refuses."""
RETRY_S = 0.5
"""Between attempts while the database is away."""

Rows = Sequence[Row]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogCounts:
    """What became of the rows that were put, for metrics."""

    queued: int
    """Rows that are not in the database yet, in memory or spooled."""
    stored: int
    """Rows new to the database."""
    repeated: int
    """Rows that it had already."""
    spooled: int
    """Rows that went to the spool."""
    refused: int
    """Rows that no database will take; they lie in the spool's refused.jsonl."""
    batches: int
    """Transactions."""


class LogWriter:
    """Writes what is put, in its own thread. Several threads may put."""

    def __init__(self, append: Callable[[Rows], int], spool: Path, limit: int = IN_MEMORY) -> None:
        """`append` is `TaskLogStore.append_rows`, or the like: EnvironmentFault while it cannot, ModelError if it never will.

        At most `limit` rows are kept in memory. Raises EnvironmentFault when the spool folder cannot be used.
        """
        self._append, self._limit = append, limit
        self._spool = Spool(spool)
        self._taken = self._spool.rows  # in all; what is not queued any more has been dealt with, in this order
        self._waiting: deque[Row] = deque()
        self._in_hand: Rows = ()
        self._changed = threading.Condition()
        self._hurry, self._stopping = False, False
        self._broken: BaseException | None = None
        self.fault: EnvironmentFault | None = None
        """Why the database is away; None while it is not."""
        self.spool_fault: EnvironmentFault | None = None
        """Why the spool took nothing the last time; None when it did."""
        self.stored = self.repeated = self.spooled = self.refused = self.batches = 0
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def put(self, rows: Rows) -> None:
        """Keeps the rows until the database has them; never waits for it.

        Raises EnvironmentFault, and keeps none of them, when the database is away, the spool takes no more, and memory is full.
        """
        with self._changed:
            self._check()
            if len(self._waiting) + len(self._in_hand) + len(rows) > self._limit:
                raise self._too_much()
            self._waiting.extend(rows)
            self._taken += len(rows)
            self._changed.notify_all()

    @property
    def queued(self) -> int:
        """Rows that are not in the database yet, in memory or spooled."""
        with self._changed:
            return self._queued()

    def counts(self) -> LogCounts:
        """All counters at one instant."""
        with self._changed:
            return LogCounts(self._queued(), self.stored, self.repeated, self.spooled, self.refused, self.batches)

    def flush(self, timeout_s: float) -> bool:
        """Waits until the database has everything that was put before; False when the time was not enough."""
        with self._changed:
            self._hurry, wanted = True, self._taken
            self._changed.notify_all()
            over = lambda: self._broken or self._stopping or self._taken - self._queued() >= wanted  # noqa: E731
            done = self._changed.wait_for(over, timeout_s)
            self._hurry = False
            self._check()
            return bool(done)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Writes what it can in the time, the rest goes to the spool; whether the database has everything.

        Raises EnvironmentFault when rows are lost, because the spool does not take them either.
        """
        with self._changed:
            if self._stopping:
                return not self._queued()
        try:
            flushed = self.flush(timeout_s)
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
            self._thread.join()  # every wait of an append has a limit
            self._to_spool()
            self._spool.close()
        with self._changed:
            if lost := len(self._waiting):
                raise EnvironmentFault(f"{lost} records of the task log are lost: {self.spool_fault}")
        return flushed

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                if not self._deliver():
                    self._to_spool()
                    with self._changed:
                        self._hurry = False  # a flush asks for one attempt at once, not for one after the other
                        self._changed.wait_for(lambda: self._stopping or self._hurry, RETRY_S)
        except BaseException as error:  # a mistake of ours: whoever puts or waits must hear of it
            _log.exception("the log writer ended")
            with self._changed:
                self._broken = error
                self._put_back()
                self._changed.notify_all()

    def _wait_for_work(self) -> bool:
        """Whether there is some; False when it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._queued())
            if not self._spool.rows:
                soon = lambda: self._stopping or self._hurry or len(self._waiting) >= BATCH  # noqa: E731
                self._changed.wait_for(soon, INTERVAL_S)
            return not self._stopping

    def _deliver(self) -> bool:
        """One batch to the database, those in the spool first; False when it is away."""
        try:
            rows = self._spool.oldest()
            if rows is not None:
                self._store(rows)
                self._spool.drop()
            else:
                with self._changed:
                    self._in_hand = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                self._store(self._in_hand)
        except EnvironmentFault as error:
            with self._changed:
                if self.fault is None:
                    _log.warning("records are kept until the task log is back: %s", error)
                self.fault = error
                self._put_back()
            return False
        with self._changed:
            if self.fault is not None:
                _log.warning("the task log is back")
            self.fault, self._in_hand = None, ()
            self._changed.notify_all()
        if rows is not None and len(self._waiting) >= self._limit // 2:
            self._to_spool()  # behind those that are older; fewer may wait in memory, which saves the way through the disk
        return True

    def _put_back(self) -> None:
        self._waiting.extendleft(reversed(self._in_hand))
        self._in_hand = ()

    def _store(self, rows: Rows) -> None:
        """The rows to the database; those that it will never take are set aside, found by halving."""
        if not rows:
            return
        try:
            new = self._append(rows)
        except ModelError as error:
            if len(rows) == 1:
                _log.error("a record is set aside: %s", error)
                self._spool.refuse(rows[0], str(error))
                self.refused += 1
                return
            middle = len(rows) // 2
            self._store(rows[:middle])
            self._store(rows[middle:])
            return
        with self._changed:
            self.stored += new
            self.repeated += len(rows) - new
            self.batches += 1

    def _to_spool(self) -> None:
        """Moves what waits in memory to the spool, as far as it takes it."""
        while self._waiting:
            with self._changed:
                rows = list(islice(self._waiting, BATCH))
            try:
                self._write_spool(rows)
            except EnvironmentFault as error:
                with self._changed:
                    if self.spool_fault is None:
                        _log.error("records stay in memory: %s", error)
                    self.spool_fault = error
                return
            with self._changed:
                self.spool_fault = None
                for _ in rows:
                    self._waiting.popleft()
                self._changed.notify_all()

    def _write_spool(self, rows: Rows) -> None:
        try:
            self._spool.write(rows)
        except (ValueError, TypeError, OverflowError) as error:
            if len(rows) == 1:
                self._spool.refuse(rows[0], str(error))
                self.refused += 1
                return
            middle = len(rows) // 2
            self._write_spool(rows[:middle])
            self._write_spool(rows[middle:])
            return
        self.spooled += len(rows)

    def _too_much(self) -> EnvironmentFault:
        reasons = [str(fault) for fault in (self.fault, self.spool_fault) if fault is not None]
        return EnvironmentFault(
            "; and ".join(reasons) or "the task log is too slow for its records; send them again later"
        )

    def _queued(self) -> int:
        return len(self._waiting) + len(self._in_hand) + self._spool.rows

    def _check(self) -> None:
        if self._broken is not None:
            raise RuntimeError("the log writer ended; see its log") from self._broken
        if self._stopping:
            raise RuntimeError("the log writer is closed")
