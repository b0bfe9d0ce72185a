"""MySQL, or MariaDB, as the database of the task log: `mysql+pymysql://USER@HOST:3306/DATABASE`.

Every wait has a limit: pymysql's own default is to wait for ever, also in the handshake of a server that is frozen.
"""

from collections.abc import Sequence
from typing import Any

import pymysql
from sqlalchemy.engine import URL, Connection, Engine, create_engine
from sqlalchemy.exc import ArgumentError
from sqlalchemy.util import immutabledict

from edgebed.experiment.errors import EnvironmentFault, Problem, UserError
from edgebed.stores import mysql_rows
from edgebed.stores.columns import Columns, Read
from edgebed.stores.engines import Kind, Rules
from edgebed.stores.log_schema import Row

CONNECT_S = 5.0
ANSWER_S = 10.0
"""Longest wait for the server to take or send the next piece; a batch takes a hundredth of that."""
LONGEST_S = 2 * ANSWER_S + CONNECT_S
"""How long a frozen server can hold a call up: a connection is looked at, then another one is made."""
POOL, MORE = 4, 4
"""Connections that are kept, and further ones for a moment."""
RECYCLE_S = 1800
"""A connection older than that is replaced, before a server or a firewall drops it."""
OPTIONS = ("charset", "ssl_ca", "ssl_cert", "ssl_key", "ssl_disabled")
"""What a URL may say after its ?."""

_BUSY = (1205, 1213, 3572)
"""Lock wait timeout, deadlock, and lock not available."""
_AWAY = (0, 1040, 1053, 1077, 1079, 1080, 1158, 1159, 1160, 1161, 1203, 2002, 2003, 2006, 2013, 2014, 2055, 4031)
_REFUSED = (1048, 1264, 1265, 1292, 1366, 1406, 1690, 3819, 4025)
"""Of values, and of nothing else, for such records are set aside: NULL, type, range, length, a CHECK that does not hold."""
_REMEDIES = {
    1044: "grant its user all rights on the database",
    1045: "mend its user, or EDGEBED_TASK_LOG_PASSWORD",
    1698: "mend its user, or EDGEBED_TASK_LOG_PASSWORD",
    1049: "make the database, or mend its name in EDGEBED_TASK_LOG",
    1142: "grant its user all rights on the database",
    1021: "free some space on the server's disk",
    1114: "free some space on the server's disk",
    28: "free some space on the server's disk",
    1290: "let it be written (it is read-only)",
    1792: "let it be written (it is read-only)",
    1836: "let it be written (it is read-only)",
    1153: "set the server's max_allowed_packet to 16M or more",
    1040: "raise the server's max_connections",
    2003: "start the server, or mend its host and port in EDGEBED_TASK_LOG",
}


class Mysql(Rules):
    """A server."""

    pauses_s = (0.05, 0.2, 0.5, 1.0)

    def engine(self, url: URL, setting: str, busy_s: float, password: str | None) -> Engine:
        """As in `Rules`."""
        if url.get_driver_name() != "pymysql":
            raise ArgumentError("give mysql+pymysql://USER@HOST:PORT/DATABASE")
        if not url.database or not url.host:
            raise ArgumentError("it names no host or no database")
        if unknown := set(url.query) - {*OPTIONS, "local_infile"}:
            raise ArgumentError(f"{', '.join(sorted(unknown))} is unknown; known are {', '.join(OPTIONS)}")
        arguments: dict[str, Any] = {
            "host": url.host,
            "port": url.port or 3306,
            "user": url.username,
            "password": url.password if password is None else password,
            "database": url.database,
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_S,
            "read_timeout": ANSWER_S,
            "write_timeout": ANSWER_S,
            # A value out of range is an error, whatever the server's own mode.
            "sql_mode": "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
            "init_command": f"SET time_zone = '+00:00', innodb_lock_wait_timeout = {max(1, round(busy_s))}",
            **{name: value for name, value in url.query.items() if name.startswith("ssl")},
        }
        # Our own `connect`: SQLAlchemy would ask for the count of matched rows, but whether a row is new shows only in the
        # count of changed ones.
        return create_engine(
            url._replace(password=None),
            creator=lambda: _connected(setting, arguments),
            pool_size=POOL,
            max_overflow=MORE,
            pool_timeout=CONNECT_S,
            pool_recycle=RECYCLE_S,
            pool_pre_ping=True,
        )

    def where(self, url: URL) -> str:
        """User, host and database."""
        return url._replace(password=None, query=immutabledict()).render_as_string()

    def kind(self, error: BaseException) -> Kind:
        """By the server's number."""
        number = _number(error)
        if number is None:  # of the driver itself, or of the socket
            return "away" if isinstance(error, OSError) else "unfit"
        if number in _BUSY:
            return "busy"
        if number in _AWAY:
            return "away"
        return "refused" if number in _REFUSED else "unfit"

    def remedy(self, error: BaseException) -> str:
        """As in `Rules`."""
        found = _REMEDIES.get(_number(error) or 0, "see whether the server runs well, and its log")
        return f"{found}, then go on with the same command"

    def insert(self, connection: Connection, rows: Sequence[Row]) -> int:
        """As in `Rules`."""
        return mysql_rows.insert(connection, rows)

    def columns(self, read: Read, run: str, episodes: Sequence[int], names: Sequence[str]) -> Columns:
        """As in `Rules`."""
        return mysql_rows.columns(read, run, episodes, names)

    def describe(self, connection: Connection) -> str:
        """As in `Rules`; a server does not say how much room it has."""
        version = str(connection.exec_driver_sql("SELECT VERSION()").scalar())
        return version if "MariaDB" in version else f"MySQL {version}"

    def hold(self, connection: Connection, wait_s: float) -> None:
        """By a lock of the server's, which ends with the connection."""
        statement = "SELECT GET_LOCK(CONCAT('edgebed.', LEFT(DATABASE(), 50)), %s)"
        if connection.exec_driver_sql(statement, (max(1, round(wait_s)),)).scalar() != 1:
            raise EnvironmentFault(
                f"another edgebed has held the database for {wait_s:g} s; end it, then go on with the same command"
            )

    def release(self, connection: Connection) -> None:
        """As in `Rules`."""
        connection.exec_driver_sql("SELECT RELEASE_LOCK(CONCAT('edgebed.', LEFT(DATABASE(), 50)))")


def _connected(setting: str, arguments: dict[str, Any]) -> Any:
    try:
        return pymysql.connect(**arguments)
    except RuntimeError as error:  # MySQL's own way of logging in needs a package that MariaDB's does not
        remedy = "pip install 'edgebed[mysql]'"
        raise UserError(Problem(setting, f"cannot be used ({error})", remedy)) from error


def _number(error: BaseException) -> int | None:
    """The number of an error of the server or the driver; None where it has none."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, int) else None
