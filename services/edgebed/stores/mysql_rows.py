"""Tasks of the log into and out of MySQL by its binary protocol.

In: one statement for many rows, with their values as parameters; rows that are there already stay as they are. Values are
checked here for their types, because the server would round 1.5 to 2 without a word; for everything else by the server, in
strict mode. Out: the numbers of many episodes as arrays.
"""

import math
import operator
import struct
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymysql.constants import FIELD_TYPE
from sqlalchemy.engine import Connection

from edgebed.stores import mysql_binary
from edgebed.stores.columns import Columns, Read, in_order, kind_of
from edgebed.stores.log_schema import COLUMNS, Row, tasks

TURN_ROWS, STATEMENT_ROWS = 512, 128
"""Rows that are made at once, and of the longest statement; the others have half as many, and so on down to one.

With longer ones the server's values no longer fit into a processor's cache.
"""
NEVER = -sys.float_info.max
"""How NULL travels, because rows of one length are read at once; no task has it as a time or a probability."""
READERS, READER_EPISODES = 4, 64
"""Connections that read many episodes at once, and how many are worth one."""
RANGES = 100
"""Ranges of episodes in one query."""

_NUMBERS = COLUMNS[1:-1]  # between the two texts, run and reason
_SENT = {
    "INTEGER": ("<i4", FIELD_TYPE.LONG),
    "SMALLINT": ("<i2", FIELD_TYPE.SHORT),
    "BIGINT": ("<i8", FIELD_TYPE.LONGLONG),
}
_KINDS = {name: _SENT.get(str(tasks.c[name].type), ("<f8", FIELD_TYPE.DOUBLE)) for name in _NUMBERS}
_LAYOUT = np.dtype([(name, kind) for name, (kind, _) in _KINDS.items()])
_WIDTHS = [_LAYOUT[name].itemsize for name in _NUMBERS]
_TYPES = b"".join(
    struct.pack("<H", kind)
    for kind in (FIELD_TYPE.VAR_STRING, *(kind for _, kind in _KINDS.values()), FIELD_TYPE.VAR_STRING)
)


def insert(connection: Connection, rows: Sequence[Row]) -> int:
    """Adds the rows that are not there; returns how many. Raises ValueError or OverflowError for what is no task.

    While the server works on some, the next are made.
    """
    statements: dict[int, int] = connection.info.setdefault("edgebed_inserts", {})
    new, sent = 0, 0
    with _driver(connection) as driver:
        for begin in range(0, len(rows), TURN_ROWS):
            try:
                turn = list(_statements(rows[begin : begin + TURN_ROWS]))
            finally:  # whatever they are, the answers would be taken for those to something else
                new, sent = new + mysql_binary.answers(driver, sent), 0
            for count in {count for count, _, _ in turn} - set(statements):
                statements[count] = mysql_binary.prepare(driver, _insert(count))
            for count, nulls, values in turn:
                mysql_binary.send(driver, statements[count], nulls, _TYPES * count, values)
                sent += 1
        return new + mysql_binary.answers(driver, sent)


def columns(read: Read, run: str, episodes: Sequence[int], names: Sequence[str]) -> Columns:
    """Columns of numbers of the tasks of episodes, as `columns.by_episode` has them."""
    every = tuple(dict.fromkeys((*names, "episode", "slot", "source", "task")))
    wanted = sorted(set(episodes))
    readers = min(READERS, 1 + len(wanted) // READER_EPISODES)
    shares = [wanted[len(wanted) * k // readers : len(wanted) * (k + 1) // readers] for k in range(readers)]

    def share(some: Sequence[int]) -> list[Columns]:
        ranges = _ranges(some)
        asked = [ranges[begin : begin + RANGES] for begin in range(0, len(ranges), RANGES)]
        found: list[Columns] = read(lambda c: [piece for these in asked for piece in _fetch(c, run, these, every)])
        return found

    with ThreadPoolExecutor(readers) as threads:
        pieces = [piece for found in threads.map(share, shares) for piece in found]
    found = {
        name: np.concatenate([np.empty(0, kind_of(name)), *(piece[name] for piece in pieces)], dtype=kind_of(name))
        for name in every
    }
    for name in every:
        if tasks.c[name].nullable:
            found[name][found[name] == NEVER] = np.nan
    return in_order(found, episodes)


def _statements(rows: Sequence[Row]) -> Iterator[tuple[int, bytes, bytes]]:
    """How many rows each statement has, which of its values are NULL, and the others behind one another."""
    if set(map(len, rows)) != {len(COLUMNS)}:
        raise ValueError(f"a row has {len(COLUMNS)} values")
    given = list(zip(*rows, strict=True))
    total = len(rows)
    numbers, nulls = np.empty(total, _LAYOUT), np.zeros((total, len(COLUMNS)), np.bool_)
    for position, (name, values) in enumerate(zip(_NUMBERS, given[1:-1], strict=True), 1):
        if _LAYOUT[name].kind == "i":
            numbers[name] = _whole(name, values, _LAYOUT[name])
        else:
            numbers[name] = column = _floats(name, values)
            nulls[:, position] = np.isnan(column)
    run, run_there = _texts("run", given[0])
    reason, reason_there = _texts("reason", given[-1])
    content = np.hstack([run, numbers.view(np.uint8).reshape(total, -1), reason])
    there = np.hstack([run_there, np.repeat(~nulls[:, 1:-1], _WIDTHS, axis=1), reason_there])
    begin = 0
    while begin < total:
        count = min(STATEMENT_ROWS, 1 << (total - begin).bit_length() - 1)
        these = slice(begin, begin + count)
        yield count, np.packbits(nulls[these], bitorder="little").tobytes(), content[these][there[these]].tobytes()
        begin += count


def _whole(name: str, values: Sequence[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    if set(map(type, values)) != {int}:
        try:
            values = [operator.index(value) for value in values]
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from error
    column = np.array(values, np.int64)
    limits = np.iinfo(kind)
    if (outside := (column < limits.min) | (column > limits.max)).any():
        raise ValueError(f"{name} {column[outside][0]} is out of range")
    return column


def _floats(name: str, values: Sequence[Any]) -> NDArray[np.float64]:
    if not set(map(type, values)) <= {float, int, type(None)}:
        for value in values:
            if not isinstance(value, float | int | np.number | None):
                raise ValueError(f"{name} {value!r:.40} is no number")
    column = np.array(values, np.float64)  # None becomes NaN
    if not (ordinary := np.isnan(column) | (np.abs(column) < math.inf) & (column != NEVER)).all():
        raise ValueError(f"{name} {column[~ordinary][0]} cannot be stored; give a finite number, or None")
    return column


def _texts(name: str, values: Sequence[Any]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Texts as they travel, each behind its length, and which of these bytes are there; few of them differ."""
    numbers: dict[Any, int] = {}
    for value in dict.fromkeys(values):
        numbers[value] = len(numbers) if type(value) is str else _no_text(name, value)
    words = [_with_length(word.encode()) for word in numbers]
    lengths = np.array([len(word) for word in words])
    width = int(lengths.max())
    table = np.frombuffer(b"".join(word.ljust(width, b"\0") for word in words), np.uint8).reshape(-1, width)
    there = np.arange(width) < lengths[:, None]
    if len(words) == 1:
        return np.repeat(table, len(values), axis=0), np.repeat(there, len(values), axis=0)
    places = [numbers[value] for value in values]
    return table[places], there[places]


def _no_text(name: str, value: Any) -> int:
    raise ValueError(f"{name} {value!r:.40} is no text")


def _with_length(word: bytes) -> bytes:
    if len(word) < 251:
        return bytes([len(word)]) + word
    return b"\xfc" + struct.pack("<H", len(word)) + word if len(word) < 1 << 16 else _too_long(word)


def _too_long(word: bytes) -> bytes:
    raise ValueError(f"{word[:40]!r}... is too long")


def _insert(rows: int) -> str:
    places = f"({', '.join('?' * len(COLUMNS))})"
    # Not INSERT IGNORE, which would also pass over values that are missing or out of range. A row that is there stays, and is
    # not counted as changed.
    unless_there = "ON DUPLICATE KEY UPDATE task = tasks.task"
    return f"INSERT INTO tasks ({', '.join(COLUMNS)}) VALUES {', '.join([places] * rows)} {unless_there}"  # noqa: S608


def _fetch(connection: Connection, run: str, ranges: Sequence[tuple[int, int]], names: Sequence[str]) -> list[Columns]:
    """Rows of ranges of episodes by the table's key, so that they come in its order, in which they lie."""
    asked = ", ".join(f"COALESCE({name}, {NEVER!r})" if tasks.c[name].nullable else name for name in names)
    among = " OR ".join(f"episode BETWEEN {first} AND {last}" for first, last in ranges)
    with _driver(connection) as driver:
        sql = f"SELECT {asked} FROM tasks FORCE INDEX (PRIMARY) WHERE run = {driver.escape(run)} AND ({among})"  # noqa: S608
        return mysql_binary.fetch(driver, sql, names)


def _ranges(episodes: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each row of numbers without a gap; they are in order."""
    if not episodes:
        return []
    gaps = [k for k, (one, other) in enumerate(pairwise(episodes), 1) if other != one + 1]
    return [(episodes[begin], episodes[end - 1]) for begin, end in pairwise([0, *gaps, len(episodes)])]


@contextmanager
def _driver(connection: Connection) -> Iterator[Any]:
    """PyMySQL's own connection. What breaks it is told to SQLAlchemy, which would otherwise try to roll back on it."""
    driver: Any = connection.connection.driver_connection
    try:
        yield driver
    except BaseException as error:
        if not driver.open and not connection.invalidated:
            connection.invalidate(error)
        raise
