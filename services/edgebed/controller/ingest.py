"""Task records into the log: checked, handed to the log's writer at once, and counted for who waits for an episode.

The nodes deliver every record until it is acknowledged, so some come twice; the log takes each once. An acknowledged record may
still be in this process's memory. That is safe because an episode counts as played only after the writer was flushed: when
the controller is killed before that, the episode is played again under another number.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Self

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.database import Away
from edgebed.stores.log_writer import LogWriter
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.wire.description import HotPath
from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.messages import dump, parse
from edgebed.wire.problems import Problem
from edgebed.wire.server import HotRoutes

RECORDS = "/v1/records"
BATCH_BYTES = 4 << 20
RECORDS_PATH = HotPath(
    RECORDS, "Task records: all of them are taken, or none", pb.RecordBatch, pb.RecordReceipt, (503,)
)
QUEUE_ROWS = 2_000_000
"""Rows that may wait for the database; what comes then is refused for now, and nodes keep it."""

Row = tuple[object, ...]
_UNFINISHED, _FAILED = int(TaskState.UNFINISHED), int(TaskState.FAILED)
_NUMBERS = ("size_bits", "cycles", "deadline_s")
_INSTANTS = ("arrived_s", "decided_s", "sent_s")


class Ingest:
    """Where records come in. `take` is called on the event loop, everything else from any thread."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._watched: dict[tuple[str, int], Arrivals] = {}
        self.records = self.refused = 0
        """Records taken, and batches refused, since the process began."""

    def take(self, body: bytes, content_type: str | None) -> bytes:
        """A batch of a node. Raises Problem for one that is not allowed; then none of it is taken."""
        batch = parse(pb.RecordBatch, body, content_type)
        try:
            rows = [row_of(record) for record in batch.records]
        except ValueError as error:
            self.refused += 1
            raise Problem(422, "Not allowed", str(error)) from error
        if self._writer.queued + len(rows) > QUEUE_ROWS:
            self.refused += 1
            raise Problem(503, "Log away", f"{self._writer.queued} records wait for the database; try again later")
        try:
            self._writer.put(rows)
        except (EnvironmentFault, RuntimeError) as error:  # no room, or closing: the node keeps them
            self.refused += 1
            raise Problem(503, "Log away", f"{error}; try again later") from error
        new = self._count(batch)  # only what is kept has ended
        self.records += len(rows)
        return dump(pb.RecordReceipt(stored=new), content_type)

    def watch(self, run: str, episode: int) -> "Arrivals":
        """What comes of an episode from now on; to be closed."""
        arrivals = Arrivals(lambda: self._watched.pop((run, episode), None))
        self._watched[run, episode] = arrivals
        return arrivals

    def put(self, rows: list[Row]) -> None:
        """Records of the controller's own, of tasks whose node is lost."""
        self._writer.put(rows)

    def flush(self, timeout_s: float, away_s: float = 0.0, stop: threading.Event | None = None) -> None:
        """Waits until the log has everything; while its server is away, for up to `away_s`, or until told to stop.

        Raises EnvironmentFault when it does not in the time.
        """
        until = time.monotonic() + away_s
        while not self._writer.flush(timeout_s):
            fault = self._writer.fault
            if isinstance(fault, Away) and time.monotonic() < until and not (stop is not None and stop.is_set()):
                continue
            if fault is not None:
                raise fault
            raise EnvironmentFault(
                f"the task log did not take {self._writer.queued} records within {timeout_s:g} s; see whether its disk or "
                "server is busy, and give the same command again"
            )

    def _count(self, batch: pb.RecordBatch) -> int:
        """How many records of the batch are new, as far as it is known here; those that nobody waits for count as new."""
        new = 0
        for key, group in groupby(batch.records, lambda record: (record.task.run, record.task.episode)):
            records, arrivals = list(group), self._watched.get(key)
            new += len(records) if arrivals is None else arrivals.count(records)
        return new


class Arrivals:
    """The tasks of one episode whose records have come; a context manager."""

    def __init__(self, forget: Callable[[], object]) -> None:
        self._forget = forget
        self._changed = threading.Condition()
        self._ended: dict[int, int] = {}
        self._reasons: dict[int, str] = {}
        self._latest = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()

    def count(self, records: Iterable[pb.TaskRecord]) -> int:
        """Notes records of the episode; returns how many are of tasks that were not noted before."""
        with self._changed:
            before = len(self._ended)
            for record in records:
                if record.task.number not in self._ended:
                    self._ended[record.task.number] = record.status
                    if record.reason:
                        self._reasons[record.task.number] = record.reason
            new = len(self._ended) - before
            if new:
                self._latest = time.monotonic()
                self._changed.notify_all()
            return new

    def ended(self) -> dict[str, int]:
        """Tasks by status."""
        with self._changed:
            statuses = list(self._ended.values())
        return {state.label: statuses.count(int(state)) for state in OUTCOMES}

    def reasons(self) -> dict[int, str]:
        """Why tasks failed, where that was not their luck."""
        with self._changed:
            return dict(self._reasons)

    def wait(self, total: int, timeout_s: float) -> bool:
        """Whether `total` tasks ended within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._ended) >= total, timeout_s)

    @property
    def quiet_s(self) -> float:
        """Seconds since the last task ended, as far as is known here."""
        return time.monotonic() - self._latest


OUTCOMES = (TaskState.SUCCEEDED, TaskState.DROPPED, TaskState.FAILED, TaskState.UNFINISHED)


def ingest_routes(ingest: Ingest) -> HotRoutes:
    """The hot path of the controller."""
    take: Callable[[bytes, str | None], bytes] = ingest.take
    return HotRoutes(unary={RECORDS: take}, largest={RECORDS: BATCH_BYTES})


def row_of(record: pb.TaskRecord) -> Row:
    """A record as a row of the log, in the order of `task_log.COLUMNS`. Raises ValueError for what no task has."""
    task = record.task
    if not task.run or len(task.run) > 200:
        raise ValueError(
            f"task {task.number}: run {task.run!r:.40} is not allowed; give a name of at most 200 characters"
        )
    for name in _NUMBERS:
        if not (math.isfinite(value := getattr(task, name)) and value > 0):
            raise ValueError(f"task {task.number}: {name} {value!r} is not allowed; give a finite number over 0")
    for name in _INSTANTS:
        if not math.isfinite(value := getattr(task, name)):
            raise ValueError(f"task {task.number}: {name} {value!r} is not allowed; give a finite number")
    if not (0 < task.u_transmission <= 1 and 0 < task.u_execution <= 1):
        raise ValueError(f"task {task.number}: a uniform is not over 0 and at most 1")
    if not _UNFINISHED <= record.status <= _FAILED:
        raise ValueError(f"task {task.number}: status {record.status} is unknown; give 0 to {_FAILED}")
    if task.number >= 2**31 or task.episode >= 2**31 or max(task.source, task.destination, record.place) >= 2**31:
        raise ValueError(f"task {task.number} of episode {task.episode}: a number is over 2147483647")
    if task.model_version >= 2**63:
        raise ValueError(
            f"task {task.number}: model_version {task.model_version} is not allowed; give a number below 2^63"
        )
    if len(record.reason) > 100:
        raise ValueError(f"task {task.number}: reason has {len(record.reason)} characters; give at most 100")
    probability = task.probability if task.HasField("probability") else None
    if probability is not None and not 0 <= probability <= 1:
        raise ValueError(f"task {task.number}: probability {probability!r} is not allowed; give 0 to 1")
    moved = task.destination != task.source
    return (
        task.run,
        task.episode,
        task.number,
        task.slot,
        task.source,
        task.destination,
        record.place,
        record.status,
        task.size_bits,
        task.cycles,
        task.deadline_s,
        task.arrived_s,
        task.decided_s,
        task.sent_s if moved and task.sent_s > 0 else None,
        _instant(record, "received_s"),
        _instant(record, "started_s"),
        _instant(record, "ended_s"),
        task.u_transmission,
        task.u_execution,
        probability,
        task.model_version,
        record.reason,
    )


def _instant(record: pb.TaskRecord, name: str) -> float | None:
    if not record.HasField(name):
        return None
    value = float(getattr(record, name))
    if not math.isfinite(value):
        raise ValueError(
            f"task {record.task.number}: {name} {value!r} is not allowed; give a finite number, or leave it out"
        )
    return value
