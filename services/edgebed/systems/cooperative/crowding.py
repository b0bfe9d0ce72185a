"""What a decision does to others: one execution queue, replayed with a task and without it.

A task that is sent to node j delays those that enter j's queue behind it, and may make them late. Which ones is no matter
of statistics: a queue is FIFO, its entries and their lengths are in the log, so the queue is replayed once with the task
and once without, all other decisions left as they were, until both replays have the server free at the same instant. The
difference in outcomes is the decision's *crowding*, 0 or (nearly always) negative.

    crowding(log, ...)   (R,)    of what was decided: reward attribution `crowding` adds eta times it to the own outcome
    worth(log, ...)      (R, N)  own outcome plus eta times the crowding, expected over failures, of every candidate

Outcomes count +1 and -1, so a task behind that is lost costs 2. `worth` also says what the candidates that were not chosen
would have brought; with it a policy learns from all of them at every decision.

Left out: what a task does to those behind it on its link (a node sends one task per slot, and seldom twice in a row to
the same node), and what the horizon cuts off.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative.candidate_log import Decisions
from edgebed.systems.cooperative.columns import Columns
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.rules import DropPolicy, FailureTime, Rules

_ESTIMATE_BOTH = DropPolicy.ESTIMATE_AT_BOTH.code
_ABORT = DropPolicy.ABORT_AT_DEADLINE.code
_EXPIRED = DropPolicy.EXPIRED_AT_DEQUEUE.code


def crowding(
    episode: NDArray[np.int64], columns: Columns, network: Network, rules: Rules, slot_s: float
) -> NDArray[np.float32]:
    """(R,) by how much each decision of `columns.in_order` changed the outcomes of those behind it in its execution queue."""
    queues = _Queues.of(episode, columns, network, rules, slot_s)
    fates = np.where(queues.fails, 0.0, 1.0)
    out = np.zeros(len(episode), dtype=np.float32)
    compiled: Any = _crowding
    compiled(*queues.arrays(), fates, rules.drop_policy.code, out)
    return out


def worth(
    decided: Decisions,
    network: Network,
    rules: Rules,
    slot_s: float,
    wanted: NDArray[np.bool_],
    eta: float,
) -> NDArray[np.float32]:
    """(R, N) what each candidate that is `wanted`, (R, N), would have brought: its own task's outcome and the crowding.

    Own outcomes and those of the tasks behind are expectations over failures; whether they are in time is not.
    """
    queues = _Queues.of(decided.episode, decided.columns, network, rules, slot_s)
    scale = rules.failure_rate_scale(slot_s)
    alpha, beta = network.execution_failure_rate * scale, network.link_failure_rate * scale
    known = decided.known
    rate = network.link_rate_bits_per_s.copy()
    np.fill_diagonal(rate, np.inf)
    transmission = known.size_bits[:, None] / rate[known.source]
    execution = known.cycles[:, None] / network.capacity_hz
    sent = np.exp(-transmission * beta[known.source])
    chance = np.exp(-execution * alpha)
    fates = np.take_along_axis(chance, decided.destination[:, None], axis=1)[:, 0]
    out = np.zeros(wanted.shape, dtype=np.float32)
    compiled: Any = _worth
    compiled(
        *queues.arrays(),
        fates,
        rules.drop_policy.code,
        queues.arrived,
        known.sending_backlog_s,
        transmission,
        execution,
        sent,
        chance,
        wanted,
        eta,
        out,
    )
    return out


@dataclass(frozen=True, eq=False)
class _Queues:
    """What entered which execution queue: Q entries, by episode and node, in the order of entry."""

    first: NDArray[np.int64]
    """(E * N + 1,) first entry of each queue."""
    record: NDArray[np.int64]
    """(Q,) of the decisions."""
    place: NDArray[np.int64]
    """(R,) entry of each record, -1 where it never entered."""
    queue: NDArray[np.int64]
    """(R,) first queue of the record's episode."""
    enter: NDArray[np.float64]
    """(Q,)"""
    arrived: NDArray[np.float64]
    """(R,)"""
    due: NDArray[np.float64]
    """(R,)"""
    length: NDArray[np.float64]
    """(R,) Tc at the destination."""
    busy: NDArray[np.float64]
    """(R,) for how long it occupies the server there."""
    destination: NDArray[np.int64]
    """(R,)"""
    fails: NDArray[np.bool_]
    """(R,) whether its execution there fails."""

    @classmethod
    def of(
        cls, episode: NDArray[np.int64], columns: Columns, network: Network, rules: Rules, slot_s: float
    ) -> "_Queues":
        n = network.nodes
        destination = columns.destination.astype(np.int64)
        arrived = np.asarray(columns.slot * slot_s, dtype=np.float64)
        entered = np.where(columns.source == columns.destination, arrived, columns.received_s)
        queue = episode * n
        inside = np.flatnonzero(~np.isnan(entered))
        number = queue[inside] + destination[inside]
        # At one instant receptions come before decisions.
        local = (columns.source == columns.destination)[inside]
        order = np.lexsort((local, entered[inside], number))
        record = inside[order]
        place = np.full(len(entered), -1, dtype=np.int64)
        place[record] = np.arange(len(record))
        queues = (int(episode[-1]) + 1) * n if len(entered) else 0
        length = columns.cycles / network.capacity_hz[columns.destination]
        alpha = network.execution_failure_rate[columns.destination] * rules.failure_rate_scale(slot_s)
        fails = columns.u_execution > np.exp(-length * alpha)
        busy = length
        if rules.failure_time is FailureTime.AT_INSTANT:
            with np.errstate(divide="ignore", invalid="ignore"):
                busy = np.where(fails, -np.log(columns.u_execution) / alpha, length)
        return cls(
            first=np.searchsorted(number[order], np.arange(queues + 1)),
            record=record,
            place=place,
            queue=queue,
            enter=entered[record],
            arrived=arrived,
            due=arrived + columns.deadline_s,
            length=length,
            busy=busy,
            destination=destination,
            fails=fails,
        )

    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """For the compiled functions, in their order."""
        return (
            *(self.first, self.record, self.place, self.queue, self.enter),
            *(self.due, self.length, self.busy, self.destination),
        )


@numba.njit(cache=True, inline="always")
def _serve(policy, free, enter, length, busy, due):  # type: ignore[no-untyped-def]
    """When the server is free again, and whether the task is in time, by the drop policy."""
    start = max(free, enter)
    if policy <= _ESTIMATE_BOTH:
        if start + length > due:
            return free, False
        return start + busy, True
    if policy == _ABORT:
        if start > due:
            return free, False
        return min(start + busy, due), start + busy <= due
    if policy == _EXPIRED and start > due:
        return free, False
    return start + busy, start + busy <= due


@numba.njit(cache=True)
def _free_before(first, record, enter, length, busy, due, policy):  # type: ignore[no-untyped-def]
    """(Q,) when the server is free of all that entered before."""
    out = np.empty(record.shape[0])
    for queue in range(first.shape[0] - 1):
        free = -np.inf
        for q in range(first[queue], first[queue + 1]):
            out[q] = free
            r = record[q]
            free, _ = _serve(policy, free, enter[q], length[r], busy[r], due[r])
    return out


@numba.njit(cache=True)
def _change(policy, q, end, with_it, without, record, enter, length, busy, due, fates):  # type: ignore[no-untyped-def]
    """Outcomes with less outcomes without, of entries q to end, from two instants at which the server is free."""
    total = 0.0
    while q < end and with_it != without and (with_it > enter[q] or without > enter[q]):
        r = record[q]
        with_it, one = _serve(policy, with_it, enter[q], length[r], busy[r], due[r])
        without, other = _serve(policy, without, enter[q], length[r], busy[r], due[r])
        if one != other:
            total += 2 * fates[r] if one else -2 * fates[r]
        q += 1
    return total


@numba.njit(cache=True)
def _crowding(  # type: ignore[no-untyped-def]
    first, record, place, queue, enter, due, length, busy, destination, fates, policy, out
):
    free = _free_before(first, record, enter, length, busy, due, policy)
    for r in range(place.shape[0]):
        q = place[r]
        if q >= 0:
            with_it, _ = _serve(policy, free[q], enter[q], length[r], busy[r], due[r])
            end = first[queue[r] + destination[r] + 1]
            out[r] = _change(policy, q + 1, end, with_it, free[q], record, enter, length, busy, due, fates)


@numba.njit(cache=True)
def _worth(  # type: ignore[no-untyped-def]
    first,
    record,
    place,
    queue,
    enter,
    due,
    length,
    busy,
    destination,
    fates,
    policy,
    arrived,
    sending,
    transmission,
    execution,
    sent,
    chance,
    wanted,
    eta,
    out,
):
    free = _free_before(first, record, enter, length, busy, due, policy)
    rows, n = wanted.shape
    for r in range(rows):
        for j in range(n):
            if not wanted[r, j]:
                continue
            tt, tc = transmission[r, j], execution[r, j]
            starts = arrived[r] + sending[r, j]
            out[r, j] = -1.0
            if tt > 0.0 and (
                (policy == _ESTIMATE_BOTH and starts + tt + tc > due[r]) or (policy == _EXPIRED and starts > due[r])
            ):
                continue
            begin, end = first[queue[r] + j], first[queue[r] + j + 1]
            if j == destination[r] and place[r] >= 0:  # it is among the entries
                q = place[r]
                without = free[q]
                with_it, in_time = _serve(policy, without, enter[q], tc, busy[r], due[r])
                q += 1
            else:
                at = starts + tt
                low, high = begin, end
                while low < high:
                    middle = (low + high) >> 1
                    if enter[middle] <= at:
                        low = middle + 1
                    else:
                        high = middle
                q = low
                if q < end:
                    without = free[q]
                else:
                    without = -np.inf
                    if q > begin:
                        x = record[q - 1]
                        without, _ = _serve(policy, free[q - 1], enter[q - 1], length[x], busy[x], due[x])
                with_it, in_time = _serve(policy, without, at, tc, tc, due[r])
            change = 0.0
            if eta != 0.0:
                change = _change(policy, q, end, with_it, without, record, enter, length, busy, due, fates)
            own = 2.0 * sent[r, j] * chance[r, j] - 1.0 if in_time else -1.0
            out[r, j] = own + eta * sent[r, j] * change
