"""Rows of the task log into the database, as one statement for many: the fast path of the log writer.

Whether a row is new is the database's to say, so every statement is one that leaves a row alone that is there already, and
nothing else: `INSERT IGNORE` would also pass over values that are missing or out of range.
"""

import math
from collections.abc import Sequence
from itertools import chain

from sqlalchemy.engine import Connection

from edgebed.stores.log_schema import COLUMNS, Row

_NAMES = ", ".join(COLUMNS)
_WHOLE = ("episode", "task", "slot", "source", "destination", "place", "status", "model_version")
_KINDS = [{int, type(None)} if name in _WHOLE else {int, float, type(None)} for name in COLUMNS[1:-1]]
"""Of the values between the two texts, `run` and `reason`."""


def insert(connection: Connection, dialect: str, rows: Sequence[Row]) -> int:
    """Inserts the rows that are not there; returns how many. Raises ValueError for values of other types."""
    if set(map(len, rows)) != {len(COLUMNS)}:
        raise ValueError(f"a row has {len(COLUMNS)} values")
    if dialect == "sqlite":
        return _sqlite(connection, rows)
    return _mysql(connection, rows)


def _sqlite(connection: Connection, rows: Sequence[Row]) -> int:
    places = f"({', '.join('?' * len(COLUMNS))})"
    values = ", ".join([places] * len(rows))
    statement = f"INSERT INTO tasks ({_NAMES}) VALUES {values} ON CONFLICT (run, episode, task) DO NOTHING"  # noqa: S608
    return connection.exec_driver_sql(statement, tuple(chain.from_iterable(rows))).rowcount


def _mysql(connection: Connection, rows: Sequence[Row]) -> int:
    """With the values as text in the statement: a driver escapes them one by one, which takes twice as long."""
    driver = connection.connection.driver_connection
    assert driver is not None  # it is connected
    for name, kinds, column in zip(COLUMNS[1:-1], _KINDS, list(zip(*rows, strict=True))[1:-1], strict=True):
        if not set(map(type, column)) <= kinds:
            raise ValueError(f"{name}: {next(v for v in column if type(v) not in kinds)!r:.40} is of a wrong type")
    texts: dict[str, str] = {}
    for value in {row[0] for row in rows} | {row[-1] for row in rows}:
        if type(value) is not str:
            raise ValueError(f"{value!r:.40} is no text")
        texts[value] = driver.escape(value)
    # repr is exact for floats, and as fast as it gets. Of these numbers only None, nan and inf are no SQL.
    values = ",".join(
        [
            f"({texts[row[0]]},{repr(row[1:-1])[1:-1].replace('None', 'NULL').replace('nan', 'NULL')},{texts[row[-1]]})"
            for row in rows
        ]
    )
    if "inf" in values and any(math.isinf(value) for row in rows for value in row[1:-1] if value is not None):
        raise ValueError("a value is infinite; give finite ones, or None")
    statement = f"INSERT INTO tasks ({_NAMES}) VALUES {values} ON DUPLICATE KEY UPDATE task = tasks.task"  # noqa: S608
    with driver.cursor() as cursor:
        return int(cursor.execute(statement))
