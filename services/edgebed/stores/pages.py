"""Columns of a finished episode in one piece, beside its rows: a million records become arrays in a second.

A driver takes ten microseconds and more to make Python values of a row. So when an episode is finished, the columns that the
conversion reads are stored once more, as they lie in memory: little-endian, one after the other. The rows stay the truth. A
page is used only while the episode has as many rows as the page; else the rows are read. Whoever changes rows by hand
deletes the episode's pages: `DELETE FROM pages WHERE run = ...`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAGE_ROWS = 50_000
"""Of one page: less than the 16 MB that a server takes in one piece by default."""

Columns = dict[str, NDArray[Any]]


def dumped(columns: Mapping[str, NDArray[Any]], kinds: Mapping[str, Any]) -> list[tuple[int, bytes]]:
    """(rows, content) of each page; `kinds` has the type of each column, in the order in which they are stored."""
    count = len(next(iter(columns.values())))
    return [
        (
            min(PAGE_ROWS, count - begin),
            b"".join(
                np.ascontiguousarray(columns[name][begin : begin + PAGE_ROWS], _stored(kind)).tobytes()
                for name, kind in kinds.items()
            ),
        )
        for begin in range(0, count, PAGE_ROWS)
    ]


def loaded(content: bytes, count: int, kinds: Mapping[str, Any]) -> Columns | None:
    """The columns of a page, or None when it is not one of so many rows of these types."""
    if len(content) != count * sum(_stored(kind).itemsize for kind in kinds.values()):
        return None
    columns: Columns = {}
    offset = 0
    for name, kind in kinds.items():
        columns[name] = np.frombuffer(content, _stored(kind), count, offset)
        offset += columns[name].nbytes
    return columns


def joined(parts: Sequence[Columns], kinds: Mapping[str, Any]) -> Columns:
    """The columns of several pages behind one another, in the types of this machine."""
    return {
        name: np.concatenate([part[name] for part in parts]).astype(kind, copy=False) for name, kind in kinds.items()
    }


def _stored(kind: Any) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(kind).newbyteorder("<")
    return found
