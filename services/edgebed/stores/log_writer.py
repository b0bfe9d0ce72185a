"""Records on their way into the database, off everybody's path.

    writer = LogWriter(store, spool=folder)
    writer.put(rows)                 # returns at once
    writer.flush(timeout_s=10)       # everything is in the database, or False

One thread writes batches. While the database is away, batches go to files of the spool folder, each written under a temporary
name, synced and renamed, and from there to the database in their order when it is back, also after this process was killed
and started again. The database takes every task once, so a batch that was written twice does no harm.
"""

import logging
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgebed.experiment.errors import EnvironmentFault
from edgebed.experiment.files import faults
from edgebed.stores.task_log import COLUMNS

BATCH = 5_000
"""Rows of one transaction."""
IN_MEMORY = 100_000
"""Rows that wait in memory while the database is away; what exceeds them goes to the spool."""
RETRY_S = 0.5

Rows = Sequence[tuple[Any, ...]]
_log = logging.getLogger(__name__)


class LogWriter:
    """Writes what is put, in its own thread. Several threads may put."""

    def __init__(self, append: Callable[[Rows], int], spool: Path) -> None:
        """`append` is `TaskLogStore.append_rows`, or anything that raises EnvironmentFault while it cannot."""
        self._append, self._spool = append, spool
        with faults(spool):
            spool.mkdir(parents=True, exist_ok=True)
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._changed = threading.Condition()
        self._busy, self._stopping, self._urgent = False, False, False
        self._files = sorted(spool.glob("*.rows"))
        self._serial = 1 + max((int(path.stem) for path in self._files), default=0)
        self.stored = self.spooled = self.batches = 0
        """Rows new to the database, rows that went through the spool, transactions."""
        self.fault: EnvironmentFault | None = None
        """Why the database is away; None while it is not."""
        self._thread = threading.Thread(target=self._work, name="log writer", daemon=True)
        self._thread.start()

    def put(self, rows: Rows) -> None:
        """Keeps the rows until the database has them; never waits for it."""
        with self._changed:
            self._waiting.extend(rows)
            self._changed.notify_all()

    @property
    def queued(self) -> int:
        """Rows in memory, and files in the spool."""
        with self._changed:
            return len(self._waiting) + len(self._files)

    def flush(self, timeout_s: float) -> bool:
        """Waits until the database has everything that was put; False when the time was not enough."""
        until = time.monotonic() + timeout_s
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            while self._waiting or self._busy or self._files:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def close(self, timeout_s: float = 5.0) -> None:
        """Writes what it can in the time; the rest goes to the spool."""
        self.flush(timeout_s)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self._waiting:
            self._to_spool()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._files or self._stopping):
                    self._changed.wait()
                if self._stopping:
                    return
                self._busy = True
            done = self._one_batch()
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                if not done and not self._stopping:
                    self._urgent = False
                    self._changed.wait_for(lambda: self._stopping or self._urgent, RETRY_S)

    def _one_batch(self) -> bool:
        """Whether a batch is in the database now; the spooled ones go first."""
        file = self._files[0] if self._files else None
        if file is not None:
            rows = _read(file)
        else:
            with self._changed:
                rows = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            self.stored += self._append(rows)
        except EnvironmentFault as error:
            if self.fault is None:
                _log.warning("records are kept: %s", error)
            self.fault = error
            if file is None:
                with self._changed:
                    self._waiting.extendleft(reversed(rows))
            if len(self._waiting) > IN_MEMORY:
                self._to_spool()
            return False
        self.fault = None
        self.batches += 1
        if file is not None:
            file.unlink(missing_ok=True)
            with self._changed:
                self._files.pop(0)
        return True

    def _to_spool(self) -> None:
        """Moves what waits in memory to a new file."""
        with self._changed:
            rows = list(self._waiting)
        path = self._spool / f"{self._serial:012d}.rows"
        temporary = path.with_suffix(".tmp")
        try:
            with temporary.open("wb") as file:
                pickle.dump((COLUMNS, rows), file, protocol=5)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except OSError as error:
            _log.error("records stay in memory: %s cannot be written (%s)", path, error)
            temporary.unlink(missing_ok=True)
            return
        self._serial += 1
        self.spooled += len(rows)
        with self._changed:
            for _ in rows:
                self._waiting.popleft()
            self._files.append(path)


def _read(path: Path) -> Rows:
    """The rows of a spool file, which this program wrote."""
    with path.open("rb") as file:
        columns, rows = pickle.load(file)  # noqa: S301  # our own folder
    if tuple(columns) != COLUMNS:
        raise EnvironmentFault(f"{path} was written by another version of edgebed; start that version once to empty it")
    return list(rows)
