"""Task log to what the candidate actor would have known at each decision, rebuilt from the instants that the log records.

As in `conversion`, nothing but the log is needed. At the start of slot k, t = k * slot_s, in seconds of work,

    execution queue of j    Tc of every task that has entered and not begun; started + Tc - t of the one in service
    link i -> j             Tt of every task that waits for it; sent + Tt - t of the one in transfer

and j's bit says available where fewer than coefficient * cores / 4 tasks have entered and not begun. Under `decisionOrder:
sequential` a decision also sees the tasks that nodes of smaller index kept in the same slot.

The log of any policy will do: what a decision knew does not depend on who made it.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative.candidate import Known
from edgebed.systems.cooperative.columns import Columns, check_columns, first_at, in_order
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.rules import DecisionOrder, Rules


@dataclass(frozen=True, eq=False)
class Decisions:
    """R decisions of one network, in the order of episode, slot and source."""

    known: Known
    """With everyone's seconds of work."""
    episode: NDArray[np.int64]
    """(R,) from 0, in order of appearance."""
    slot: NDArray[np.int32]
    """(R,)"""
    destination: NDArray[np.int64]
    """(R,) what was decided."""
    columns: Columns
    """The log in this order."""


def decisions(
    log: TaskLog, network: Network, rules: Rules, *, slot_s: float, slots: int, mask_coefficient: float
) -> Decisions:
    """What was known at every decision of a log. Raises ModelError for records that the network or slots do not have."""
    episode, columns = in_order(log)
    check_columns(columns, network.nodes, slots)
    n, rows = network.nodes, len(episode)
    episodes = int(episode[-1]) + 1 if rows else 0
    available = np.empty((rows, n), dtype=np.bool_)
    backlog, sending = np.empty((rows, n)), np.empty((rows, n))
    _rebuild(
        np.searchsorted(episode, np.arange(episodes + 1)),
        columns.slot,
        columns.source,
        columns.destination,
        columns.cycles / network.capacity_hz[columns.destination],
        columns.size_bits / network.link_rate_bits_per_s[columns.source, columns.destination],
        columns.sent_s,
        columns.received_s,
        columns.started_s,
        columns.ended_s,
        float(slot_s),  # which may be a whole number, for which numba would compile it again
        slots,
        mask_coefficient * network.cores / 4,
        rules.decision_order is DecisionOrder.SEQUENTIAL,
        available,
        backlog,
        sending,
    )
    known = Known(
        source=columns.source.astype(np.int64),
        size_bits=columns.size_bits,
        cycles=columns.cycles,
        deadline_s=columns.deadline_s,
        sending_backlog_s=sending,
        available=available,
        backlog_s=backlog,
        told=None,
    )
    return Decisions(known, episode, columns.slot, columns.destination.astype(np.int64), columns)


@numba.njit(cache=True)
def _rebuild(  # type: ignore[no-untyped-def]
    first,
    slot,
    source,
    destination,
    execution,
    transmission,
    sent,
    received,
    started,
    ended,
    slot_s,
    slots,
    limit,
    sequential,
    available,
    backlog,
    sending,
):
    """Fills the last three arrays."""
    n = limit.shape[0]
    work = np.empty((slots, n))
    waiting = np.empty((slots, n), dtype=np.int32)
    kept_work = np.empty(n)
    kept_waiting = np.empty(n, dtype=np.int32)
    for e in range(first.shape[0] - 1):
        work[:] = 0.0
        waiting[:] = 0
        sending[first[e] : first[e + 1]] = 0.0
        # The record of node i in slot k, so that what waits on its links is added where it is looked at.
        row = np.full((slots, n), -1, dtype=np.int64)
        for r in range(first[e], first[e + 1]):
            row[slot[r], source[r]] = r
        for r in range(first[e], first[e + 1]):
            k, i, j = slot[r], source[r], destination[r]
            enter = k + 1
            gone = first_at(ended[r], slot_s, slots)
            if i != j:
                # On the link until it is received or has ended, in transfer from `sent` on.
                arrive = first_at(received[r], slot_s, slots)
                leave = min(arrive, gone)
                for at in range(enter, min(leave, slots)):
                    x = row[at, i]
                    if x >= 0:
                        t = at * slot_s
                        sending[x, j] += sent[r] + transmission[r] - t if sent[r] <= t else transmission[r]
                enter = max(enter, arrive)
            for at in range(enter, min(gone, slots)):
                t = at * slot_s
                if started[r] <= t:
                    work[at, j] += started[r] + execution[r] - t
                else:
                    work[at, j] += execution[r]
                    waiting[at, j] += 1
        kept_slot = -1
        for r in range(first[e], first[e + 1]):
            k = slot[r]
            if k != kept_slot:
                kept_slot = k
                kept_work[:] = 0.0
                kept_waiting[:] = 0
            for j in range(n):
                backlog[r, j] = work[k, j] + kept_work[j]
                available[r, j] = waiting[k, j] + kept_waiting[j] < limit[j]
            i, t = source[r], k * slot_s
            if sequential and destination[r] == i and not ended[r] <= t:
                kept_work[i] += execution[r]
                if not started[r] <= t:
                    kept_waiting[i] += 1
