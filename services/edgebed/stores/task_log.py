"""The task log in a database: every task of every run, once, with all that is known of it.

    store = TaskLogStore("sqlite:///tasks.db")
    store.append(records)                       # idempotent by (run, episode, task): the first one stays
    log = store.read("run-1", [0, 1, 2])        # the columns that conversion and statistics read
    store.counts("run-1", 0)                    # {"succeeded": 71, "dropped": 9, "failed": 20, "unfinished": 0}

An episode is registered before it is played and finished when its tasks are accounted for; so a controller that was killed
knows which ones to play again, under a new number. `log_schema` has the tables.
"""

import copy
import json
import math
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.engine import Connection

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores import log_schema as schema
from edgebed.stores import migrations, retention
from edgebed.stores.columns import by_episode
from edgebed.stores.database import BUSY_S, Database, Refused
from edgebed.stores.log_schema import COLUMNS, STATUSES, LogRecord, Row
from edgebed.stores.retention import RESTING_S, Forgotten
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import Network

__all__ = ["COLUMNS", "EpisodeRow", "Forgotten", "LogRecord", "LoggedTasks", "TaskLogStore"]

SETTING = "EDGEBED_TASK_LOG"

_LOG = tuple(field.name for field in fields(TaskLog))
_BESIDE = ("place", "decided_s", "model_version", "reason")


@dataclass(frozen=True)
class EpisodeRow:
    """An episode as it was registered."""

    run: str
    episode: int
    phase: str
    """What it was played for: the key of a stage."""
    position: int
    """Its number in the phase."""
    about: Mapping[str, Any]
    result: Mapping[str, Any] | None
    """None until it was finished."""


@dataclass(frozen=True, eq=False)
class LoggedTasks:
    """A log with what the database knows besides; every column has shape (R,), in the order of the log."""

    log: TaskLog
    number: NDArray[np.int32]
    """Of the task in its episode, as it travelled."""
    place: NDArray[np.int32]
    """Node that ended it."""
    decided_s: NDArray[np.float64]
    """When its source had decided; NaN where it never did."""
    model_version: NDArray[np.int64]
    reason: NDArray[np.object_]
    """Why it failed beyond its own luck; empty otherwise."""


class TaskLogStore:
    """A task log behind a database URL. Safe to use from several threads; each call is one transaction."""

    def __init__(self, url: str, busy_s: float = BUSY_S, password: str | None = None) -> None:
        """Opens the database and makes what is missing. `password` replaces that in the URL.

        Raises UserError for a wrong URL or a later schema, EnvironmentFault when the database cannot be used.
        """
        self._database = Database(url, SETTING, busy_s, password)
        self.where = self._database.where
        """The file, or the URL without its password."""
        try:
            if not self._database.read("cannot be opened", migrations.is_current):
                self._database.write("cannot be opened", self._bring_up_to_date, alone=True)
        except BaseException:
            self.close()
            raise

    def patient(self, limit_s: float, stop: threading.Event) -> Self:
        """The same log for who would rather wait while its server is away, up to so long, or until told to stop.

        A file does not go away for a while, so nothing is waited for there.
        """
        found = copy.copy(self)
        found._database = self._database.patient(limit_s, stop)
        return found

    def append(self, records: Sequence[LogRecord]) -> int:
        """Adds the records that are not there yet; returns how many. All of them or none; raises as `append_rows`."""
        return self.append_rows([astuple(record) for record in records])

    def append_rows(self, rows: Sequence[Row]) -> int:
        """The same for tuples in the order of `COLUMNS`: the fast path of the log writer.

        Raises EnvironmentFault when the database cannot take them now, ModelError when it never will.
        """
        if not rows:
            return 0
        try:
            return self._database.write("cannot be written", lambda c: self._database.rules.insert(c, rows))
        except (Refused, OverflowError, ValueError) as error:
            remedy = "give every record the columns of LogRecord with their types"
            raise ModelError("records", str(error), remedy) from error

    def read(self, run: str, episodes: Sequence[int]) -> TaskLog:
        """The tasks of some episodes in order of episode, slot and source; episodes are numbered from 0 as given."""
        return _log(self._database.rules.columns(self._read, run, episodes, _LOG))

    def read_all(self, run: str, episodes: Sequence[int]) -> LoggedTasks:
        """The same with everything else that is known of the tasks."""
        found = by_episode(self._read, run, episodes, (*_LOG, *_BESIDE))
        return LoggedTasks(_log(found), found["task"], **{name: found[name] for name in _BESIDE})

    def counts(self, run: str, episode: int) -> dict[str, int]:
        """Tasks of an episode in the log by status, of every status: their sum must be what was created."""
        tasks = schema.tasks.c
        query = select(tasks.status, func.count()).where(tasks.run == run, tasks.episode == episode)

        def work(connection: Connection) -> dict[str, int]:
            found = {TaskState(status): int(n) for status, n in connection.execute(query.group_by(tasks.status))}
            return {status.label: found.get(status, 0) for status in STATUSES}

        return self._database.read("cannot be read", work)

    def tasks_of(self, run: str, episode: int) -> set[int]:
        """Numbers of the tasks of an episode in the log."""
        tasks = schema.tasks.c
        query = select(tasks.task).where(tasks.run == run, tasks.episode == episode)
        return self._database.read("cannot be read", lambda connection: set(connection.execute(query).scalars()))

    def reasons(self, run: str, episodes: Iterable[int]) -> dict[str, int]:
        """How many tasks failed for a reason that is not their luck."""
        tasks = schema.tasks.c
        query = select(tasks.reason, func.count()).where(tasks.run == run, tasks.reason != "").group_by(tasks.reason)
        wanted = list(episodes)

        def work(connection: Connection) -> dict[str, int]:
            counts: dict[str, int] = {}
            for episode in wanted:  # one by one: a list in the statement has a limit
                for reason, count in connection.execute(query.where(tasks.episode == episode)):
                    counts[reason] = counts.get(reason, 0) + int(count)
            return counts

        return self._database.read("cannot be read", work)

    def register(self, run: str, phase: str, position: int, about: Mapping[str, Any]) -> int:
        """A new episode of a phase; returns its number in the run. Tasks of an unfinished attempt keep their number."""
        episodes = schema.episodes
        latest = select(func.max(episodes.c.episode)).where(episodes.c.run == run)
        row: dict[str, Any] = {
            "run": run,
            "phase": phase,
            "position": position,
            "about": json.dumps(about, sort_keys=True),
        }
        row["registered_at"] = int(time.time())

        def work(connection: Connection) -> int:
            found = connection.execute(latest).scalar()
            number = 0 if found is None else int(found) + 1
            connection.execute(insert(episodes).values(**row, episode=number))
            return number

        return self._database.write("cannot be written", work, alone=True)

    def finish(self, run: str, episode: int, result: Mapping[str, Any]) -> None:
        """The episode's tasks are accounted for. Raises ModelError for one that was not registered."""
        episodes = schema.episodes.c
        this = (episodes.run == run, episodes.episode == episode)
        change = update(schema.episodes).where(*this).values(result=json.dumps(result, sort_keys=True))

        def work(connection: Connection) -> bool:
            if connection.execute(select(episodes.run).where(*this)).first() is None:
                return False
            connection.execute(change)
            return True

        if not self._database.write("cannot be written", work):
            raise ModelError("episode", episode, f"register it first; run {run} has no such episode")

    def episodes(self, run: str, phase: str) -> dict[int, EpisodeRow]:
        """The finished episodes of a phase by position; of several attempts, the first that was finished."""
        episodes = schema.episodes
        wanted = (episodes.c.run == run, episodes.c.phase == phase, episodes.c.result.is_not(None))
        query = select(episodes).where(*wanted).order_by(episodes.c.episode.desc())
        rows = self._database.read("cannot be read", lambda connection: connection.execute(query).all())
        return {
            row.position: EpisodeRow(
                row.run, row.episode, row.phase, row.position, json.loads(row.about), json.loads(row.result)
            )
            for row in rows
        }

    def write_network(self, run: str, replicate: int, network: Network) -> None:
        """The nodes and links of a replicate, in place of what was there."""
        key = {"run": run, "replicate": replicate}
        every = range(network.nodes)
        nodes = [
            {
                **key,
                "node": i,
                "capacity_hz": float(network.capacity_hz[i]),
                "cores": float(network.cores[i]),
                "arrival_probability": float(network.arrival_probability[i]),
                "execution_failure_rate": float(network.execution_failure_rate[i]),
            }
            for i in every
        ]
        links = [
            {
                **key,
                "sender": i,
                "receiver": j,
                "link_rate_bits_per_s": float(network.link_rate_bits_per_s[i, j]),
                "link_failure_rate": float(network.link_failure_rate[i, j]),
            }
            for i in every
            for j in every
            if i != j
        ]

        def work(connection: Connection) -> None:
            for table, rows in ((schema.nodes, nodes), (schema.links, links)):
                connection.execute(delete(table).where(table.c.run == run, table.c.replicate == replicate))
                if rows:
                    connection.execute(insert(table), rows)

        self._database.write("cannot be written", work)

    def forget(self, run: str, *, dry_run: bool = False, resting_s: float = RESTING_S) -> Forgotten:
        """Deletes all of a run in bounded pieces, or with `dry_run` only counts it.

        Raises UserError for a run that began an episode less than `resting_s` seconds ago: it may still be going on.
        """
        return retention.forget(self._database, run, resting_s, dry_run)

    def forget_older_than(self, days: float, *, dry_run: bool = False) -> list[Forgotten]:
        """Deletes the runs whose last episode began so many days ago, at least one; the oldest first."""
        age_s = max(days * retention.DAY_S, RESTING_S)
        return [self.forget(run, dry_run=dry_run) for run in retention.older_than(self._database, age_s)]

    def probe(self) -> str:
        """Writes a task, reads it, and deletes it; what was found. Raises UserError or EnvironmentFault with the remedy."""
        run, row = f".probe-{uuid.uuid4().hex}", LogRecord(
            *(".probe", 0, 0, 0, 0, 0, 0, 1), *(math.pi,) * 12, model_version=0
        )  # fmt: skip
        begin = time.perf_counter()
        try:
            self.append([replace(row, run=run)])
            found = self.read(run, [0]).size_bits.tolist()
        finally:
            self.forget(run)
        took_ms = (time.perf_counter() - begin) * 1e3
        if found != [math.pi]:
            raise EnvironmentFault(f"task log {self.where} gives back {found} for {math.pi}; use another server")
        about = self._database.read("cannot be read", self._database.rules.describe)
        return f"{about}; a task written, read and deleted in {took_ms:.0f} ms"

    def close(self) -> None:
        """Closes all connections."""
        self._database.close()

    def _bring_up_to_date(self, connection: Connection) -> None:
        migrations.bring_up_to_date(connection, self.where, SETTING)

    def _read(self, work: Callable[[Connection], Any]) -> Any:
        return self._database.read("cannot be read", work)


def _log(columns: Mapping[str, NDArray[Any]]) -> TaskLog:
    """The columns of a log, in which tasks are numbered by slot and source, whatever number they travelled under."""
    episode = columns["episode"]
    first = np.flatnonzero(np.diff(episode, prepend=-1))
    position = np.arange(len(episode)) - np.repeat(first, np.diff(first, append=len(episode)))
    return TaskLog(**{name: columns[name] for name in _LOG if name != "task"}, task=position.astype(np.int32))
