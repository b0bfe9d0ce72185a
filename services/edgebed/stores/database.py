"""One database: its connections, whole transactions, and what to tell a person when it cannot be used.

    database = Database("sqlite:///tasks.db")
    database.write("cannot be written", lambda connection: ...)      # all of it or nothing

SQLite in WAL mode has one writer and any number of readers. A transaction that will write takes the writer's place when it
begins, so it waits once, there, and never has to be undone half-way because somebody else wrote first. While another
program holds the database it is tried again, a bounded number of times; then, and for every other reason, an
EnvironmentFault names the database, the reason and the remedy.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Select, create_engine, event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from edgebed.experiment.errors import EnvironmentFault, Problem, UserError

BUSY_S = 1.5
"""How long one attempt waits for another connection's lock."""
PAUSES_S = (0.05, 0.2)
"""Between the attempts, which are one more."""
PAGE_BYTES = 16384
"""Of a new SQLite file: with long rows, half the work of its default of 4096."""
WAL_BYTES = 4 << 20
"""Of the write-ahead log beside the file, before it is copied into it."""

REFUSED = (IntegrityError, DataError, InterfaceError, ProgrammingError)
"""What a database says of values or of a statement, not of itself."""

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

Result = TypeVar("Result")


class Database:
    """A database behind a URL. Safe to use from several threads."""

    def __init__(self, url: str, setting: str, busy_s: float = BUSY_S) -> None:
        """`setting` is where a person gave the URL. Connects when it is first used. Raises UserError for a wrong URL."""
        try:
            parsed = make_url(url)
            self.dialect = parsed.get_backend_name()
            options: dict[str, Any] = {}
            if self.dialect == "sqlite":
                if not parsed.database or parsed.database == ":memory:":
                    raise ArgumentError("it names no file")  # each thread would have a database of its own
                options["connect_args"] = {"timeout": busy_s, "check_same_thread": False}
            self._engine: Engine = create_engine(parsed, **options)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            shown = url if "@" not in url else f"...@{url.rpartition('@')[2]}"  # never a password
            remedy = "give a URL such as sqlite:///tasks.db"
            raise UserError(Problem(setting, f"{shown!r} is not allowed ({error})", remedy)) from error
        self.where = parsed.render_as_string(hide_password=True)
        if self.dialect == "sqlite":
            file = Path(str(parsed.database))
            self.where = str(file)
            if not file.parent.is_dir():
                remedy = f"make the folder {file.parent}, or set {setting} to another"
                raise EnvironmentFault(f"{file} cannot be opened (its folder is not there); {remedy}")
            event.listen(self._engine, "connect", _settings)
            event.listen(self._engine, "begin", _begin)

    def read(self, what: str, work: Callable[[Connection], Result]) -> Result:
        """One transaction that sees one state. `what` says what failed, such as `cannot be read`."""
        return self._attempt(what, work, False)

    def write(self, what: str, work: Callable[[Connection], Result]) -> Result:
        """One transaction, all of it or nothing. `work` is called again when the database was busy."""
        return self._attempt(what, work, True)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _attempt(self, what: str, work: Callable[[Connection], Result], writes: bool) -> Result:
        for pause_s in (*PAUSES_S, None):
            try:
                with self._engine.connect() as connection, connection.execution_options(writes=writes).begin():
                    return work(connection)
            except REFUSED:
                raise
            except (DBAPIError, self._engine.dialect.loaded_dbapi.Error, PoolTimeout) as error:
                cause = getattr(error, "orig", None) or error
                name = str(getattr(cause, "sqlite_errorname", ""))
                busy = name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
                if not busy:
                    self._engine.dispose()  # the next attempt begins with the file as it is then
                if pause_s is None or not busy:
                    raise EnvironmentFault(f"task log {self.where} {what} ({cause}); {_remedy(name)}") from error
            time.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")


def fetch(connection: Connection, query: Select[Any]) -> list[tuple[Any, ...]]:
    """All rows as the driver gives them: for many rows, a third of the time that SQLAlchemy's own take."""
    cursor = connection.execute(query).cursor
    assert cursor is not None  # a SELECT has one
    return list(cursor.fetchall())


def _settings(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions; `_begin` does
    checkpoint = f"wal_autocheckpoint={WAL_BYTES // PAGE_BYTES}"
    for pragma in (f"page_size={PAGE_BYTES}", "journal_mode=WAL", "synchronous=NORMAL", checkpoint):
        # A commit does not wait for the disk: the log outlives a killed process, not the machine's last half second.
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _remedy(name: str) -> str:
    found = (remedy for begin, remedy in _REMEDIES.items() if name.startswith(begin))
    return f"{next(found, 'check that it is there and may be written')}, then go on with the same command"
