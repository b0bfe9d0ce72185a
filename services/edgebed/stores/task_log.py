"""The task log in a database: every task of every run, once, with all that is known of it.

    store = TaskLogStore("sqlite:///tasks.db")
    store.append(records)                       # idempotent by (run, episode, task)
    log = store.read("run-1", [0, 1, 2])        # the columns that conversion and statistics read

Instants are seconds from the start of the task's episode, NULL where the task never got there. The view `task_times` has the
durations that the paper logs (waiting and time of transmission and execution). An episode is registered before it is
played and finished when its tasks are accounted for; so a controller that was killed knows which ones to play again.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import (
    Column,
    Double,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from edgebed.experiment.errors import EnvironmentFault, Problem, UserError
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.log import TaskLog

SCHEMA_VERSION = 1
BUSY_S = 5.0
"""How long one statement waits for another connection's lock."""
RETRIES = 3

_metadata = MetaData()
_KEY: Any = {"nullable": False, "primary_key": True, "autoincrement": False}

_tasks = Table(
    "tasks",
    _metadata,
    Column("run", String(200), **_KEY),
    Column("episode", Integer, **_KEY),
    Column("task", Integer, **_KEY),
    Column("slot", Integer, nullable=False),
    Column("source", Integer, nullable=False),
    Column("destination", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("size_bits", Double, nullable=False),
    Column("cycles", Double, nullable=False),
    Column("deadline_s", Double, nullable=False),
    Column("arrived_s", Double, nullable=False),
    Column("decided_s", Double),
    Column("sent_s", Double),
    Column("received_s", Double),
    Column("started_s", Double),
    Column("ended_s", Double),
    Column("u_transmission", Double, nullable=False),
    Column("u_execution", Double, nullable=False),
    Column("probability", Double),
    Column("model_version", Integer, nullable=False),
    Column("reason", String(100), nullable=False),
)
_episodes = Table(
    "episodes",
    _metadata,
    Column("run", String(200), **_KEY),
    Column("episode", Integer, **_KEY),
    Column("phase", String(200), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("about", Text, nullable=False),
    Column("result", Text),
)
_schema = Table("schema_version", _metadata, Column("version", Integer, nullable=False))

_VIEW = """CREATE VIEW task_times AS SELECT run, episode, task, slot, source, destination,
 CASE status WHEN 1 THEN 'succeeded' WHEN 2 THEN 'dropped' WHEN 3 THEN 'failed' ELSE 'unfinished' END AS status,
 sent_s - arrived_s AS transmission_wait_s, received_s - sent_s AS transmission_s,
 started_s - COALESCE(received_s, arrived_s) AS execution_wait_s, ended_s - started_s AS execution_s,
 ended_s - arrived_s AS delay_s FROM tasks"""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One task as it is logged; instants in seconds from the episode's start, None where it never got there."""

    run: str
    episode: int
    task: int
    slot: int
    source: int
    destination: int
    place: int
    """Node that ended it."""
    status: int
    """A `TaskState`."""
    size_bits: float
    cycles: float
    deadline_s: float
    arrived_s: float
    decided_s: float | None
    sent_s: float | None
    received_s: float | None
    started_s: float | None
    ended_s: float | None
    u_transmission: float
    u_execution: float
    probability: float | None
    model_version: int
    reason: str = ""
    """Why it failed beyond its own luck, such as `nodeLost`."""


COLUMNS = tuple(field.name for field in fields(LogRecord))


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


Result = TypeVar("Result")


class TaskLogStore:
    """A task log behind a database URL. Safe to use from several threads; each call is one transaction."""

    def __init__(self, url: str) -> None:
        """Opens the database and makes what is missing. Raises UserError for a wrong URL, EnvironmentFault otherwise."""
        try:
            self._url = make_url(url)
            options: dict[str, Any] = {}
            if self._url.get_backend_name() == "sqlite":
                options["connect_args"] = {"timeout": BUSY_S, "check_same_thread": False}
            self._engine: Engine = create_engine(self._url, **options)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            remedy = "give a URL such as sqlite:///tasks.db"
            raise UserError(Problem("EDGEBED_TASK_LOG", f"{url!r} is not allowed ({error})", remedy)) from error
        self.where = self._url.render_as_string(hide_password=True)
        if self._url.get_backend_name() == "sqlite":
            event.listen(self._engine, "connect", _sqlite_settings)
        self._attempt("cannot be opened", self._create)
        names = ", ".join(COLUMNS)
        places = ", ".join("?" for _ in COLUMNS)
        self._insert = f"INSERT OR IGNORE INTO tasks ({names}) VALUES ({places})"  # noqa: S608  # our own names

    def append(self, records: Sequence[LogRecord]) -> int:
        """Adds the records that are not there yet; returns how many. All of them or none."""
        return self.append_rows([astuple(record) for record in records])

    def append_rows(self, rows: Sequence[tuple[Any, ...]]) -> int:
        """The same for tuples in the order of `COLUMNS`: the fast path of the log writer."""
        if not rows:
            return 0

        def work(connection: Connection) -> int:
            raw = connection.connection.cursor()
            try:
                raw.executemany(self._insert, rows)
                return int(raw.rowcount)
            finally:
                raw.close()

        return self._attempt("cannot be written", work)

    def read(self, run: str, episodes: Sequence[int]) -> TaskLog:
        """The tasks of some episodes in order of episode, slot and source; episodes are numbered from 0 as given."""
        names = [field.name for field in fields(TaskLog)]
        columns = [_tasks.c[name] for name in names]

        def work(connection: Connection) -> list[Any]:
            found: list[Any] = []
            for position, episode in enumerate(episodes):
                query = (
                    select(*columns)
                    .where(_tasks.c.run == run, _tasks.c.episode == episode)
                    .order_by(_tasks.c.slot, _tasks.c.source)
                )
                found += [(position, *row[1:]) for row in connection.execute(query)]
            return found

        rows = self._attempt("cannot be read", work)
        whole = {"episode", "task", "slot", "source", "destination"}
        arrays: dict[str, Any] = {}
        for index, name in enumerate(names):
            kind = np.int32 if name in whole else np.int8 if name == "status" else np.float64
            values = [row[index] for row in rows]
            arrays[name] = np.array(
                [np.nan if v is None else v for v in values] if kind is np.float64 else values, kind
            )
        # Tasks are numbered in order of slot and source whatever number they travelled under.
        _, starts, counts = np.unique(arrays["episode"], return_index=True, return_counts=True)
        order = np.arange(len(rows)) - np.repeat(starts, counts)
        arrays["task"] = order.astype(np.int32)
        return TaskLog(**arrays)

    def counts(self, run: str, episode: int) -> dict[str, int]:
        """Tasks of an episode in the log, by status."""

        def work(connection: Connection) -> dict[str, int]:
            query = (
                select(_tasks.c.status, func.count())
                .where(_tasks.c.run == run, _tasks.c.episode == episode)
                .group_by(_tasks.c.status)
            )
            return {TaskState(status).label: int(count) for status, count in connection.execute(query)}

        return self._attempt("cannot be read", work)

    def tasks_of(self, run: str, episode: int) -> set[int]:
        """Numbers of the tasks of an episode in the log."""

        def work(connection: Connection) -> set[int]:
            query = select(_tasks.c.task).where(_tasks.c.run == run, _tasks.c.episode == episode)
            return {int(number) for (number,) in connection.execute(query)}

        return self._attempt("cannot be read", work)

    def reasons(self, run: str, episodes: Iterable[int]) -> dict[str, int]:
        """How many tasks failed for a reason that is not their luck."""
        wanted = list(episodes)

        def work(connection: Connection) -> dict[str, int]:
            query = (
                select(_tasks.c.reason, func.count())
                .where(_tasks.c.run == run, _tasks.c.episode.in_(wanted), _tasks.c.reason != "")
                .group_by(_tasks.c.reason)
            )
            return {str(reason): int(count) for reason, count in connection.execute(query)}

        return self._attempt("cannot be read", work)

    def register(self, run: str, phase: str, position: int, about: Mapping[str, Any]) -> int:
        """A new episode of a phase; returns its number in the run. Tasks of an unfinished attempt keep their number."""

        def work(connection: Connection) -> int:
            latest = connection.execute(select(func.max(_episodes.c.episode)).where(_episodes.c.run == run)).scalar()
            number = 0 if latest is None else int(latest) + 1
            row = {"run": run, "episode": number, "phase": phase, "position": position}
            connection.execute(insert(_episodes).values(**row, about=json.dumps(about, sort_keys=True)))
            return number

        return self._attempt("cannot be written", work)

    def finish(self, run: str, episode: int, result: Mapping[str, Any]) -> None:
        """The episode's tasks are accounted for."""
        change = (
            update(_episodes)
            .where(_episodes.c.run == run, _episodes.c.episode == episode)
            .values(result=json.dumps(result, sort_keys=True))
        )
        self._attempt("cannot be written", lambda connection: connection.execute(change).close())

    def episodes(self, run: str, phase: str) -> dict[int, EpisodeRow]:
        """The finished episodes of a phase by position; of several attempts, the first that was finished."""

        def work(connection: Connection) -> list[Any]:
            query = (
                select(_episodes)
                .where(_episodes.c.run == run, _episodes.c.phase == phase, _episodes.c.result.is_not(None))
                .order_by(_episodes.c.episode.desc())
            )
            return list(connection.execute(query))

        rows = self._attempt("cannot be read", work)
        return {
            row.position: EpisodeRow(
                row.run, row.episode, row.phase, row.position, json.loads(row.about), json.loads(row.result)
            )
            for row in rows
        }

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _create(self, connection: Connection) -> None:
        _metadata.create_all(connection)
        if "task_times" not in inspect(connection).get_view_names():
            connection.execute(text(_VIEW))
        found = connection.execute(select(_schema.c.version)).scalar()
        if found is None:
            connection.execute(insert(_schema).values(version=SCHEMA_VERSION))
        elif found != SCHEMA_VERSION:
            remedy = "give another database, or the version of edgebed that made it"
            raise UserError(Problem("EDGEBED_TASK_LOG", f"{self.where} has schema version {found}", remedy))

    def _attempt(self, what: str, work: Callable[[Connection], Result]) -> Result:
        """One transaction, tried again while another connection holds the database."""
        for attempt in range(RETRIES):
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                reason = str(error.orig)
                if not (isinstance(error, OperationalError) and "locked" in reason) or attempt + 1 == RETRIES:
                    raise _fault(self.where, what, reason) from error
            except Exception as error:
                if type(error).__module__.partition(".")[0] != "sqlite3":  # the raw cursor's own errors
                    raise
                if "locked" not in str(error) or attempt + 1 == RETRIES:
                    raise _fault(self.where, what, str(error)) from error
            time.sleep(0.05 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")


def _sqlite_settings(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    # A reader never blocks the writer, and a commit costs no wait for the disk; the log is safe against a killed process.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _fault(where: str, what: str, reason: str) -> EnvironmentFault:
    remedy = (
        "free some space"
        if "full" in reason or "disk I/O" in reason
        else "end the program that holds it"
        if "locked" in reason
        else "check that it is there and may be written"
    )
    return EnvironmentFault(f"task log {where} {what} ({reason}); {remedy}, and give the same command again")
