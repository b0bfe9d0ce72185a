"""One database: its connections, whole transactions, and what to tell a person when it cannot be used.

    database = Database("sqlite:///tasks.db", "EDGEBED_TASK_LOG")
    database.write("cannot be written", lambda connection: ...)      # all of it or nothing

While another program holds what is needed it is tried again, a bounded number of times. `patient` gives a view of the same
database that also bears a server that is away, for a while. Then, and for every other reason, an EnvironmentFault names the
database, the reason and the remedy. `engines` has what differs between databases.
"""

import copy
import logging
import threading
import time
from collections.abc import Callable
from typing import Self, TypeVar

from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from edgebed.experiment.errors import EnvironmentFault, Problem, UserError
from edgebed.stores.engines import Rules, Sqlite

BUSY_S = 1.5
"""How long one attempt waits for another connection's lock."""
HOLD_S = 8.0
"""How long one waits for the place of the only one to change what others count on."""
AGAIN_S = 1.0
"""Between the attempts of who is patient."""

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class Refused(Exception):
    """The database does not take these values, or this statement, now or later."""


class Away(EnvironmentFault):
    """The server cannot be reached, or the connection broke; it may come back."""


class Database:
    """A database behind a URL. Safe to use from several threads."""

    def __init__(self, url: str, setting: str, busy_s: float = BUSY_S, password: str | None = None) -> None:
        """`setting` is where a person gave the URL; `password` replaces that in it.

        Connects when it is first used. Raises UserError for a wrong URL.
        """
        self._setting, self._patience_s, self._stop = setting, 0.0, threading.Event()
        try:
            parsed = make_url(url)
            self.dialect = parsed.get_backend_name()
            self.rules: Rules = _rules(self.dialect)
            self._engine: Engine = self.rules.engine(parsed, setting, busy_s, password)
        except ModuleNotFoundError as error:
            extra = "mysql" if error.name in ("pymysql", "cryptography") else None
            remedy = f"pip install 'edgebed[{extra}]'" if extra else _FORMS
            raise UserError(Problem(setting, f"needs {error.name}, which is not installed", remedy)) from error
        except (ArgumentError, NoSuchModuleError) as error:
            shown = url if "@" not in url else f"...@{url.rpartition('@')[2]}"  # never a password
            raise UserError(Problem(setting, f"{shown!r} is not allowed ({error})", _FORMS)) from error
        self.where = self.rules.where(parsed)

    def patient(self, limit_s: float, stop: threading.Event) -> Self:
        """The same database for who would rather wait while its server is away, up to so long, or until told to stop."""
        found = copy.copy(self)
        found._patience_s, found._stop = limit_s, stop
        return found

    def read(self, what: str, work: Callable[[Connection], Result]) -> Result:
        """One transaction that sees one state. `what` says what failed, such as `cannot be read`."""
        return self._patiently(what, work, False, False)

    def write(self, what: str, work: Callable[[Connection], Result], *, alone: bool = False) -> Result:
        """One transaction, all of it or nothing. `work` is called again when the database was busy.

        With `alone` no other transaction that asks for it runs meanwhile. Raises Refused for what it never takes.
        """
        return self._patiently(what, work, True, alone)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _patiently(self, what: str, work: Callable[[Connection], Result], writes: bool, alone: bool) -> Result:
        until, said = time.monotonic() + self._patience_s, False
        while True:
            try:
                return self._attempt(what, work, writes, alone)
            except Away as error:
                if self._stop.is_set() or time.monotonic() + AGAIN_S > until:
                    raise
                if not said:
                    _log.warning("waiting for up to %.0f s: %s", self._patience_s, error)
                said = True
                self._stop.wait(AGAIN_S)

    def _attempt(self, what: str, work: Callable[[Connection], Result], writes: bool, alone: bool) -> Result:
        for pause_s in (*self.rules.pauses_s, None):
            try:
                with self._engine.connect() as connection:
                    return self._transaction(connection.execution_options(writes=writes), work, alone)
            except (DBAPIError, self._engine.dialect.loaded_dbapi.Error, OSError, PoolTimeout) as error:
                cause = getattr(error, "orig", None) or error
                kind = "busy" if isinstance(error, PoolTimeout) else self.rules.kind(cause)
                if kind == "refused":
                    raise Refused(str(cause)) from error
                if kind != "busy":
                    self._engine.dispose()  # the next attempt begins with the database as it is then
                if pause_s is None or kind != "busy":
                    fault = Away if kind == "away" else EnvironmentFault
                    said = f"task log {self.where} {what} ({_reason(cause)}); {self.rules.remedy(cause)}"
                    raise fault(said) from error
            time.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    def _transaction(self, connection: Connection, work: Callable[[Connection], Result], alone: bool) -> Result:
        if not alone:
            with connection.begin():
                return work(connection)
        try:
            with connection.begin():
                self.rules.hold(connection, HOLD_S)
                return work(connection)
        finally:
            self._let_go(connection)

    def _let_go(self, connection: Connection) -> None:
        if connection.invalidated:  # what it held ended with it
            return
        try:
            with connection.begin():
                self.rules.release(connection)
        except Exception:
            connection.invalidate()  # what it held ends with it


_FORMS = "give sqlite:///tasks.db, or mysql+pymysql://USER@HOST:3306/DATABASE"


def _rules(dialect: str) -> Rules:
    if dialect == "sqlite":
        return Sqlite()
    if dialect in ("mysql", "mariadb"):
        from edgebed.stores.mysql import Mysql

        return Mysql()
    raise ArgumentError(f"{dialect} is not supported")


def _reason(cause: BaseException) -> str:
    """The server's words, without its number where there is one."""
    number_and_words = cause.args if len(cause.args) == 2 else ()
    return str(number_and_words[1] if number_and_words else cause)
