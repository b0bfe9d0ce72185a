"""What differs between the databases of the task log: how to connect, and what their errors mean.

An error is one of four. `busy`: somebody else holds a lock, try again soon. `refused`: it is about values or a statement, and
will be the same next time. `away`: the server cannot be reached, or the connection broke. `unfit`: everything else, such as
a full disk.
"""

import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, create_engine
from sqlalchemy.exc import ArgumentError

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.columns import Columns, Read, by_episode
from edgebed.stores.log_schema import COLUMNS, Row

Kind = Literal["busy", "refused", "away", "unfit"]

PAGE_BYTES = 16384
"""Of a new SQLite file: with long rows, half the work of its default of 4096."""
WAL_BYTES = 4 << 20
"""Of the write-ahead log beside the file, before it is copied into it."""
STATEMENT_ROWS = 200
"""Rows of one INSERT. Python's lock is let go once a statement, so a busy event loop beside the writer costs it little."""


class Rules(ABC):
    """Of one kind of database."""

    pauses_s: tuple[float, ...]
    """Between attempts while it is busy, which are one more."""

    @abstractmethod
    def engine(self, url: URL, setting: str, busy_s: float, password: str | None) -> Engine:
        """Connects when it is first used. Raises ArgumentError for a URL that is not allowed, EnvironmentFault."""

    @abstractmethod
    def where(self, url: URL) -> str:
        """The database for messages; never a password."""

    @abstractmethod
    def kind(self, error: BaseException) -> Kind:
        """What an error means; `error` is the driver's."""

    @abstractmethod
    def remedy(self, error: BaseException) -> str:
        """What to do about it."""

    @abstractmethod
    def insert(self, connection: Connection, rows: Sequence[Row]) -> int:
        """Adds tasks that are not there yet; returns how many. Raises ValueError or OverflowError for what is no task.

        The rows that are there stay as they are. Whether one is new is the database's to say, and so are its errors: a
        statement that ignores errors would also pass over values that are missing or out of range.
        """

    def columns(self, read: Read, run: str, episodes: Sequence[int], names: Sequence[str]) -> Columns:
        """Columns of numbers of the tasks of episodes, as `columns.by_episode` has them."""
        return by_episode(read, run, episodes, names)

    @abstractmethod
    def describe(self, connection: Connection) -> str:
        """Product, version, and how much room it has where that is known."""

    def hold(self, connection: Connection, wait_s: float) -> None:  # noqa: B027  # SQLite's writers hold the file anyway
        """Keeps all others from what is held like this, until `release`."""

    def release(self, connection: Connection) -> None:  # noqa: B027
        """See `hold`; after the transaction."""


_REMEDIES = {
    "SQLITE_BUSY": "end the program that holds it",
    "SQLITE_LOCKED": "end the program that holds it",
    "SQLITE_FULL": "free some space on its disk",
    "SQLITE_IOERR": "free some space on its disk, or mend the disk",
    "SQLITE_CANTOPEN": "make it and its folder writable",
    "SQLITE_PERM": "make it and its folder writable",
    "SQLITE_READONLY": "make it and its folder writable",
    "SQLITE_NOTADB": "give the path of a task log, or of a file that is not there yet",
    "SQLITE_CORRUPT": "put a copy of it back, or give another path",
}
"""By the beginning of SQLite's name of the error."""


class Sqlite(Rules):
    """A file, in WAL mode.

    It has one writer and any number of readers. A transaction that will write takes the writer's place when it begins, so it
    waits once, there, and never has to be undone half-way because somebody else wrote first.
    """

    pauses_s = (0.05, 0.2)

    def engine(self, url: URL, setting: str, busy_s: float, password: str | None) -> Engine:
        """As in `Rules`."""
        if not url.database or url.database == ":memory:":
            raise ArgumentError("it names no file")  # each thread would have a database of its own
        engine = create_engine(url, connect_args={"timeout": busy_s, "check_same_thread": False})
        file = Path(url.database)
        if not file.parent.is_dir():
            remedy = f"make the folder {file.parent}, or set {setting} to another"
            raise EnvironmentFault(f"{file} cannot be opened (its folder is not there); {remedy}")
        event.listen(engine, "connect", _settings)
        event.listen(engine, "begin", _begin)
        return engine

    def where(self, url: URL) -> str:
        """The file."""
        return str(url.database)

    def kind(self, error: BaseException) -> Kind:
        """By SQLite's name of the error, or by the exception that the driver chose."""
        if isinstance(error, _REFUSED_BY_SQLITE):
            return "refused"
        return "busy" if _name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) else "unfit"

    def remedy(self, error: BaseException) -> str:
        """As in `Rules`."""
        found = (remedy for begin, remedy in _REMEDIES.items() if _name(error).startswith(begin))
        return f"{next(found, 'check that it is there and may be written')}, then go on with the same command"

    def insert(self, connection: Connection, rows: Sequence[Row]) -> int:
        """As in `Rules`."""
        new = 0
        for begin in range(0, len(rows), STATEMENT_ROWS):
            some = rows[begin : begin + STATEMENT_ROWS]
            if set(map(len, some)) != {len(COLUMNS)}:
                raise ValueError(f"a row has {len(COLUMNS)} values")
            places = f"({', '.join('?' * len(COLUMNS))})"
            values = ", ".join([places] * len(some))
            unless_there = "ON CONFLICT (run, episode, task) DO NOTHING"
            statement = f"INSERT INTO tasks ({', '.join(COLUMNS)}) VALUES {values} {unless_there}"  # noqa: S608  # our names
            new += connection.exec_driver_sql(statement, tuple(chain.from_iterable(some))).rowcount
        return new

    def describe(self, connection: Connection) -> str:
        """As in `Rules`."""
        file = Path(str(connection.engine.url.database))
        return f"SQLite {sqlite3.sqlite_version}, {shutil.disk_usage(file.parent).free / 1e9:.1f} GB free"


_REFUSED_BY_SQLITE = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


def _name(error: BaseException) -> str:
    return str(getattr(error, "sqlite_errorname", ""))


def _settings(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions; `_begin` does
    checkpoint = f"wal_autocheckpoint={WAL_BYTES // PAGE_BYTES}"
    for pragma in (f"page_size={PAGE_BYTES}", "journal_mode=WAL", "synchronous=NORMAL", checkpoint):
        # A commit does not wait for the disk: the log outlives a killed process, not the machine's last half second.
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
