"""Columns of tasks in the order of a log, from rows in any order.

Episodes are numbered by their position in what was asked for; in an episode, tasks are in order of slot, source and number.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.engine import Connection

from edgebed.stores import log_schema as schema

Columns = dict[str, NDArray[Any]]
Read = Callable[[Callable[[Connection], Any]], Any]
"""Runs a piece of work in a transaction that sees one state."""

KINDS: dict[str, Any] = {
    **dict.fromkeys(schema.WHOLE, np.int32),
    "status": np.int8,
    "model_version": np.int64,
    "reason": object,
}
"""Of the columns that are not float64."""


def kind_of(name: str) -> Any:
    """How a column is held."""
    return KINDS.get(name, np.float64)


def by_episode(read: Read, run: str, episodes: Sequence[int], names: Sequence[str]) -> Columns:
    """One query an episode, and Python's values: of any database, and best for one in this process."""
    tasks = schema.tasks.c
    query = select(*(tasks[name] for name in names))

    def work(connection: Connection) -> list[list[NDArray[Any]]]:
        parts = []
        for position, episode in enumerate(episodes):
            cursor = connection.execute(query.where(tasks.run == run, tasks.episode == episode)).cursor
            assert cursor is not None  # a SELECT has one
            found = cursor.fetchall()  # as the driver gives them: a third of the time that SQLAlchemy's own rows take
            values = list(zip(*found, strict=True)) or [()] * len(names)
            columns = {
                name: np.array(column, kind_of(name))  # NULL becomes NaN
                for name, column in zip(names, values, strict=True)
            }
            order = np.lexsort((columns["task"], columns["source"], columns["slot"]))
            columns["episode"] = np.full(len(found), position, np.int32)
            parts.append([column[order] for column in columns.values()])
        return parts

    parts = read(work)
    if not parts:
        return {name: np.empty(0, kind_of(name)) for name in names}
    return {name: np.concatenate(columns) for name, columns in zip(names, zip(*parts, strict=True), strict=True)}


def in_order(columns: Mapping[str, NDArray[Any]], episodes: Sequence[int]) -> Columns:
    """Columns of all these episodes, under their numbers and in any order, as a log has them."""
    episode, slot, source, task = (columns[name] for name in ("episode", "slot", "source", "task"))
    found: Columns = dict(columns)
    if not _sorted(episode, slot, source, task):
        order = np.lexsort((task, source, slot, episode))
        found = {name: column[order] for name, column in found.items()}
        episode = found["episode"]
    wanted = np.asarray(episodes, episode.dtype)
    begin, end = np.searchsorted(episode, wanted, "left"), np.searchsorted(episode, wanted, "right")
    counts = end - begin
    if not np.array_equal(begin[1:], end[:-1]):  # asked for in another order, or twice
        rows = np.concatenate([np.arange(b, e) for b, e in zip(begin, end, strict=True)])
        found = {name: column[rows] for name, column in found.items()}
    found["episode"] = np.repeat(np.arange(len(wanted), dtype=np.int32), counts)
    return found


def _sorted(*keys: NDArray[Any]) -> bool:
    """Whether rows are in the order of the keys, the first of which counts most."""
    undecided: NDArray[np.bool_] | None = None
    for key in keys:
        before, after = key[:-1], key[1:]
        wrong, equal = before > after, before == after
        if undecided is not None:
            wrong, equal = wrong & undecided, equal & undecided
        if wrong.any():
            return False
        undecided = equal
    return True
