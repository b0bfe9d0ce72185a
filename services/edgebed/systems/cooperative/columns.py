"""The columns of a task log in the order and the types that compiled code reads, and instants as slots."""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.log import TaskLog


@dataclass(frozen=True, eq=False)
class Columns:
    """What conversions of a log read."""

    slot: NDArray[np.int32]
    source: NDArray[np.int32]
    destination: NDArray[np.int32]
    status: NDArray[np.int8]
    size_bits: NDArray[np.float64]
    cycles: NDArray[np.float64]
    deadline_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    received_s: NDArray[np.float64]
    started_s: NDArray[np.float64]
    ended_s: NDArray[np.float64]
    probability: NDArray[np.float64]
    u_execution: NDArray[np.float64]


def in_order(log: TaskLog) -> tuple[NDArray[np.int64], Columns]:
    """Episode numbers from 0 in order of appearance, and the columns by (episode, slot, source)."""
    number = np.asarray(log.episode)
    starts = np.flatnonzero(np.diff(number, prepend=number[:1] - 1))
    runs = number[starts]
    values, appearance, inverse = np.unique(runs, return_index=True, return_inverse=True)
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.argsort(appearance)] = np.arange(len(values))
    episode = np.repeat(rank[inverse], np.diff(starts, append=len(number)))
    slot, source = np.asarray(log.slot), np.asarray(log.source)
    key = (episode * (int(slot.max(initial=0)) + 1) + slot) * (int(source.max(initial=0)) + 1) + source
    order = None if (np.diff(key) >= 0).all() else np.argsort(key, kind="stable")

    def column(name: str, dtype: type) -> NDArray[np.generic]:
        array = np.asarray(getattr(log, name))
        return np.ascontiguousarray(array if order is None else array[order], dtype=dtype)

    types = {"slot": np.int32, "source": np.int32, "destination": np.int32, "status": np.int8}
    names = Columns.__dataclass_fields__
    columns = Columns(**{name: column(name, types.get(name, np.float64)) for name in names})  # type: ignore[arg-type]  # per name
    return (episode if order is None else episode[order]), columns


def check_columns(records: Columns, n: int, slots: int) -> None:
    """Raises ModelError for records that N nodes and so many slots do not have, or of an unknown status."""
    for name, limit, remedy in (
        ("slot", slots, f"episodes have slots 0 to {slots - 1}; give the log's own workload"),
        ("source", n, f"the network has nodes 0 to {n - 1}; give the log's own network"),
        ("destination", n, f"the network has nodes 0 to {n - 1}; give the log's own network"),
    ):
        column = getattr(records, name)
        bad = np.flatnonzero((column < 0) | (column >= limit))
        if len(bad):
            raise ModelError(f"log.{name}[{bad[0]}]", int(column[bad[0]]), remedy)
    known = (TaskState.UNFINISHED, TaskState.SUCCEEDED, TaskState.DROPPED, TaskState.FAILED)
    bad = np.flatnonzero((records.status < 0) | (records.status > max(known)))
    if len(bad):
        remedy = "give " + ", ".join(f"{int(state)} ({state.label})" for state in known)
        raise ModelError(f"log.status[{bad[0]}]", int(records.status[bad[0]]), remedy)


@numba.njit(cache=True, inline="always")
def first_at(instant, slot_s, slots):  # type: ignore[no-untyped-def]
    """Smallest k <= slots + 1 with k * slot_s >= instant; slots + 1 for NaN, which stands for never."""
    if not instant <= slots * slot_s:
        return slots + 1
    k = int(np.ceil(instant / slot_s))
    while k > 0 and (k - 1) * slot_s >= instant:
        k -= 1
    while k * slot_s < instant:
        k += 1
    return k
