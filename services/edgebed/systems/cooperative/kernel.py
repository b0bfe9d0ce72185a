"""The node core's twin on arrays: many episodes of many networks, slot by slot.

The kernel keeps the same queues and applies the same rules as `node.NodeCore` under `virtual`, with the same
arithmetic in the same order, so that both give the same times to the last bit; a test compares them task by task.
What makes it fast: records are the columns of the log themselves, queues are linked lists over records, every server
(an execution queue or one direction of a link) has at most one completion in the episode's heap, and numba compiles
it all, once, to the disk.

Server numbers of one episode: execution of node j is j, the link from i to j is N + i * N + j.
Events at one instant go in the order completion, expiry, and among equals in the order of the records.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.rules import DropPolicy

_SUCCEEDED = int(TaskState.SUCCEEDED)
_DROPPED = int(TaskState.DROPPED)
_FAILED = int(TaskState.FAILED)
_ESTIMATE = DropPolicy.ESTIMATE_AT_EXECUTION.code
_ESTIMATE_BOTH = DropPolicy.ESTIMATE_AT_BOTH.code
_ABORT = DropPolicy.ABORT_AT_DEADLINE.code
_EXPIRED = DropPolicy.EXPIRED_AT_DEQUEUE.code
_NONE = -1
_EXPIRY = -1

RECORD = np.dtype(
    [
        ("size_bits", "f8"),
        ("cycles", "f8"),
        ("arrived_s", "f8"),
        ("due_s", "f8"),  # the absolute deadline
        ("deadline_s", "f8"),  # relative
        ("u_transmission", "f8"),
        ("u_execution", "f8"),
        ("transmission_s", "f8"),  # Tt of the decided link
        ("execution_s", "f8"),  # Tc at the destination
        ("transmission_busy_s", "f8"),  # how long it occupies the link: Tt, or until the failure instant
        ("execution_busy_s", "f8"),
        ("sent_s", "f8"),
        ("received_s", "f8"),
        ("started_s", "f8"),
        ("ended_s", "f8"),
        ("source", "i4"),
        ("destination", "i4"),
        ("next", "i4"),  # the record behind this one in its queue
        ("status", "i1"),
        ("transmission_fails", "?"),
        ("execution_fails", "?"),
    ],
    align=True,
)
"""A task: what is recorded of it, and its place in a queue. 136 bytes, so that its life touches three cache lines."""

SERVER = np.dtype([("head", "i4"), ("tail", "i4"), ("waiting", "i4"), ("serving", "i4")])
"""A FIFO queue and the record in service, or -1."""

EVENT = np.dtype([("time_s", "f8"), ("record", "i4"), ("server", "i4")])
"""A completion of `server`, or the expiry of a deadline where server is -1."""


class State(NamedTuple):
    """Everything that the compiled functions read and write. E episodes, N nodes, R records, K networks."""

    drop_policy: int
    at_instant: bool
    """A failing stage occupies its server until the failure instant only."""
    slot_s: float
    capacity: NDArray[np.float64]
    """(K, N)"""
    alpha: NDArray[np.float64]
    """(K, N) per second"""
    rate: NDArray[np.float64]
    """(K, N, N)"""
    beta: NDArray[np.float64]
    """(K, N, N) per second"""
    network: NDArray[np.int32]
    """(E,) network of each episode."""
    first: NDArray[np.int64]
    """(E, T + 1) first record of each slot."""
    records: NDArray[np.void]
    """(R,) of RECORD"""
    servers: NDArray[np.void]
    """(E, N + N * N) of SERVER"""
    events: NDArray[np.void]
    """(E, C) of EVENT, a heap per episode"""
    event_count: NDArray[np.int32]
    """(E,)"""


@njit(cache=True, inline="always")
def _before(t1, s1, r1, t2, s2, r2):  # type: ignore[no-untyped-def]
    """Order of two events: time, completions before expiries, record."""
    if t1 != t2:
        return t1 < t2
    if (s1 == _EXPIRY) != (s2 == _EXPIRY):
        return s2 == _EXPIRY
    return r1 < r2


@njit(cache=True)
def _push(heap, n, time, record, server):  # type: ignore[no-untyped-def]
    """Add an event to a heap of n."""
    i = n
    while i > 0:
        parent = (i - 1) >> 1
        above = heap[parent]
        if not _before(time, server, record, above.time_s, above.server, above.record):
            break
        heap[i] = above
        i = parent
    place = heap[i]
    place.time_s, place.record, place.server = time, record, server


@njit(cache=True)
def _pop(heap, n):  # type: ignore[no-untyped-def]
    """Take the first of n + 1 events away; the caller has read it at index 0."""
    if n == 0:
        return
    last = heap[n]
    time, record, server = last.time_s, last.record, last.server
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        right = child + 1
        if right < n:
            a, b = heap[right], heap[child]
            if _before(a.time_s, a.server, a.record, b.time_s, b.server, b.record):
                child = right
        below = heap[child]
        if not _before(below.time_s, below.server, below.record, time, server, record):
            break
        heap[i] = below
        i = child
    place = heap[i]
    place.time_s, place.record, place.server = time, record, server


@njit(cache=True, inline="always")
def _enqueue(records, server, record):  # type: ignore[no-untyped-def]
    records[record].next = _NONE
    if server.waiting == 0:
        server.head = record
    else:
        records[server.tail].next = record
    server.tail = record
    server.waiting += 1


@njit(cache=True)
def _remove(records, server, record):  # type: ignore[no-untyped-def]
    """Take a waiting record out of the middle of a queue."""
    behind = records[record].next
    if server.head == record:
        server.head = behind
    else:
        previous = server.head
        while records[previous].next != record:
            previous = records[previous].next
        records[previous].next = behind
        if server.tail == record:
            server.tail = previous
    server.waiting -= 1


@njit(cache=True, inline="always")
def _end(task, status, now):  # type: ignore[no-untyped-def]
    task.status = status
    task.ended_s = now


@njit(cache=True)
def _serve(records, server, number, executes, drop_policy, heap, count, e, now):  # type: ignore[no-untyped-def]
    """If the server is idle, start the first waiting task that the drop policy does not give up."""
    while server.serving == _NONE and server.waiting > 0:
        record = server.head
        task = records[record]
        server.head = task.next
        server.waiting -= 1
        if executes:
            busy = task.execution_busy_s
            give_up = drop_policy <= _ESTIMATE_BOTH and now + task.execution_s > task.due_s
        else:
            busy = task.transmission_busy_s
            give_up = drop_policy == _ESTIMATE_BOTH and now + task.transmission_s + task.execution_s > task.due_s
        if give_up or (drop_policy == _EXPIRED and now > task.due_s):
            _end(task, _DROPPED, now)
            continue
        if executes:
            task.started_s = now
        else:
            task.sent_s = now
        server.serving = record
        _push(heap, count[e], now + busy, record, number)
        count[e] += 1


@njit(cache=True)
def _expire(records, servers, n, drop_policy, heap, count, e, record, now):  # type: ignore[no-untyped-def]
    """abortAtDeadline: take the task away wherever it is."""
    task = records[record]
    if task.status != 0:
        return
    executes = task.source == task.destination or not math.isnan(task.received_s)
    number = task.destination if executes else n + task.source * n + task.destination
    server = servers[number]
    _end(task, _DROPPED, now)
    if server.serving == record:
        server.serving = _NONE  # its completion stays in the heap and is recognised as void
        _serve(records, server, number, executes, drop_policy, heap, count, e, now)
    else:
        _remove(records, server, record)


@njit(cache=True)
def _advance(s, e, until):  # type: ignore[no-untyped-def]
    n = s.capacity.shape[1]
    records, servers, heap, count = s.records, s.servers[e], s.events[e], s.event_count
    drop_policy = s.drop_policy
    while count[e] > 0 and heap[0].time_s <= until:
        first = heap[0]
        now, record, number = first.time_s, first.record, first.server
        count[e] -= 1
        _pop(heap, count[e])
        if number == _EXPIRY:
            _expire(records, servers, n, drop_policy, heap, count, e, record, now)
            continue
        server = servers[number]
        if server.serving != record:
            continue
        server.serving = _NONE
        task = records[record]
        executes = number < n
        if executes:
            if now > task.due_s:
                _end(task, _DROPPED, now)
            else:
                _end(task, _FAILED if task.execution_fails else _SUCCEEDED, now)
        elif task.transmission_fails:
            _end(task, _DROPPED if now > task.due_s else _FAILED, now)
        else:
            task.received_s = now
            destination = task.destination
            _enqueue(records, servers[destination], record)
            _serve(records, servers[destination], destination, True, drop_policy, heap, count, e, now)
        if server.waiting > 0:
            _serve(records, server, number, executes, drop_policy, heap, count, e, now)


@njit(cache=True)
def advance(s, slot):  # type: ignore[no-untyped-def]
    """Bring every episode to the start of `slot`: completions and expiries up to and at that instant."""
    for e in range(s.network.shape[0]):
        _advance(s, e, slot * s.slot_s)


@njit(cache=True)
def finish(s, until):  # type: ignore[no-untyped-def]
    """Run every episode on to `until`, infinity to drain it."""
    for e in range(s.network.shape[0]):
        _advance(s, e, until)


@njit(cache=True)
def assign(s, slot, rows, episodes, destinations):  # type: ignore[no-untyped-def]
    """Put the records `rows` of this slot into the queues that were decided. Returns the first bad row or -1."""
    n = s.capacity.shape[1]
    now = slot * s.slot_s
    count = s.event_count
    for x in range(rows.shape[0]):
        record, e, destination = rows[x], episodes[x], destinations[x]
        if destination < 0 or destination >= n:
            return x
        task = s.records[record]
        k = s.network[e]
        source = task.source
        task.destination = destination
        # A stage of length T with failure rate rho fails iff u > exp(-T rho), at the instant -ln(u) / rho.
        task.execution_s = task.cycles / s.capacity[k, destination]
        task.execution_fails = task.u_execution > math.exp(-task.execution_s * s.alpha[k, destination])
        task.execution_busy_s = task.execution_s
        if s.at_instant and task.execution_fails:
            task.execution_busy_s = -math.log(task.u_execution) / s.alpha[k, destination]
        number = destination
        if destination != source:
            number = n + source * n + destination
            task.transmission_s = task.size_bits / s.rate[k, source, destination]
            beta = s.beta[k, source, destination]
            task.transmission_fails = task.u_transmission > math.exp(-task.transmission_s * beta)
            task.transmission_busy_s = task.transmission_s
            if s.at_instant and task.transmission_fails:
                task.transmission_busy_s = -math.log(task.u_transmission) / beta
        heap = s.events[e]
        if s.drop_policy == _ABORT:
            _push(heap, count[e], task.due_s, record, _EXPIRY)
            count[e] += 1
        server = s.servers[e, number]
        _enqueue(s.records, server, record)
        _serve(s.records, server, number, destination == source, s.drop_policy, heap, count, e, now)
    return -1


@njit(cache=True)
def _backlog(records, server, executes, now):  # type: ignore[no-untyped-def]
    """Seconds of work at a server: what is left of the service as planned, then the waiting ones in order."""
    total = 0.0
    if server.serving != _NONE:
        task = records[server.serving]
        total = task.started_s + task.execution_s - now if executes else task.sent_s + task.transmission_s - now
    record = server.head
    for _ in range(server.waiting):
        task = records[record]
        total += task.execution_s if executes else task.transmission_s
        record = task.next
    return total


@njit(cache=True)
def execution_queues(s, slot, begin, end, waiting, backlog):  # type: ignore[no-untyped-def]
    """Fill waiting and backlog, shape (end - begin, N), of the execution queues of some episodes."""
    now = slot * s.slot_s
    for e in range(begin, end):
        for j in range(s.capacity.shape[1]):
            waiting[e - begin, j] = s.servers[e, j].waiting
            backlog[e - begin, j] = _backlog(s.records, s.servers[e, j], True, now)


@njit(cache=True)
def answers(s, slot, episodes, nodes, limit, waiting, backlog, available):  # type: ignore[no-untyped-def]
    """Fill what nodes[x, y] of each row's episode would answer, each of shape (rows, k)."""
    now = slot * s.slot_s
    for x in range(nodes.shape[0]):
        for y in range(nodes.shape[1]):
            server = s.servers[episodes[x], nodes[x, y]]
            waiting[x, y] = server.waiting
            backlog[x, y] = _backlog(s.records, server, True, now)
            available[x, y] = server.waiting < limit[nodes[x, y]]


@njit(cache=True)
def sending_backlogs(s, slot, episodes, source, nodes, out):  # type: ignore[no-untyped-def]
    """Fill out[x, y] with the backlog of the link from source[x] to nodes[x, y]; 0 to itself."""
    n = s.capacity.shape[1]
    now = slot * s.slot_s
    for x in range(nodes.shape[0]):
        for y in range(nodes.shape[1]):
            i, j = source[x], nodes[x, y]
            out[x, y] = 0.0 if i == j else _backlog(s.records, s.servers[episodes[x], n + i * n + j], False, now)


@njit(cache=True)
def receiving_queues(s, episodes, source, out):  # type: ignore[no-untyped-def]
    """Fill out[x, j] with the tasks that wait at j for the link to source[x]."""
    n = s.capacity.shape[1]
    for x in range(source.shape[0]):
        for j in range(n):
            out[x, j] = s.servers[episodes[x], n + j * n + source[x]].waiting


@njit(cache=True)
def least_completion(s, slot, rows, episodes, out):  # type: ignore[no-untyped-def]
    """The node at which each record would finish first, by replaying all that is bound for every node.

    Bound for j are its execution queue and the tasks on links to it, in the order and at the times they will arrive if
    nothing fails; those that the drop policy will give up take no time (MODEL: least completion).
    """
    n = s.capacity.shape[1]
    now = slot * s.slot_s
    room = 64
    arrival = np.empty(room)
    work = np.empty(room)
    due = np.empty(room)
    best = np.full(rows.shape[0], np.inf)
    at = 0
    while at < rows.shape[0]:
        e = episodes[at]
        stop = at
        while stop < rows.shape[0] and episodes[stop] == e:
            stop += 1
        k = s.network[e]
        for j in range(n):
            # What is bound for j: first the waiting ones, then those on links, by time of arrival.
            free = now
            if s.servers[e, j].serving != _NONE:
                free = s.records[s.servers[e, j].serving].started_s + s.records[s.servers[e, j].serving].execution_s
            count = 0
            for i in range(-1, n):
                if i == j:
                    continue
                server = j if i < 0 else n + i * n + j
                clock = now
                record = _NONE if i < 0 else s.servers[e, server].serving
                ahead = s.servers[e, server].waiting
                if record == _NONE:
                    record = s.servers[e, server].head
                else:
                    ahead += 1
                for position in range(ahead):
                    if count == room:
                        room *= 2
                        arrival = np.concatenate((arrival, np.empty(count)))
                        work = np.concatenate((work, np.empty(count)))
                        due = np.concatenate((due, np.empty(count)))
                    when = -np.inf
                    if i >= 0:
                        in_transfer = position == 0 and s.servers[e, server].serving == record
                        begin = s.records[record].sent_s if in_transfer else clock
                        lost = s.drop_policy == _ESTIMATE_BOTH and (
                            begin + s.records[record].transmission_s + s.records[record].execution_s
                            > s.records[record].due_s
                        )
                        lost = lost or (s.drop_policy == _EXPIRED and begin > s.records[record].due_s)
                        if lost and not in_transfer:
                            record = s.records[record].next
                            continue
                        clock = begin + s.records[record].transmission_s
                        if s.drop_policy == _ABORT:
                            clock = min(clock, s.records[record].due_s)
                        when = clock
                    # insertion keeps the order of arrival; equal times stay in the order of the links
                    place = count
                    while place > 0 and arrival[place - 1] > when:
                        arrival[place] = arrival[place - 1]
                        work[place] = work[place - 1]
                        due[place] = due[place - 1]
                        place -= 1
                    arrival[place], work[place], due[place] = (
                        when,
                        s.records[record].execution_s,
                        s.records[record].due_s,
                    )
                    count += 1
                    if i >= 0 and s.servers[e, server].serving == record:
                        record = s.servers[e, server].head
                    else:
                        record = s.records[record].next
            for x in range(at, stop):
                record = rows[x]
                i = s.records[record].source
                ready = now
                if i != j:
                    ready = (
                        now
                        + _backlog(s.records, s.servers[e, n + i * n + j], False, now)
                        + s.records[record].size_bits / s.rate[k, i, j]
                    )
                clock = free
                for b in range(count):
                    if arrival[b] > ready:
                        break
                    begin = max(clock, arrival[b])
                    if s.drop_policy == _ESTIMATE or s.drop_policy == _ESTIMATE_BOTH:
                        if begin + work[b] > due[b]:
                            continue
                    elif s.drop_policy == _EXPIRED or s.drop_policy == _ABORT:
                        if begin > due[b]:
                            continue
                    clock = begin + work[b]
                    if s.drop_policy == _ABORT:
                        clock = min(clock, due[b])
                finish = max(clock, ready) + s.records[record].cycles / s.capacity[k, j]
                if finish < best[x]:
                    best[x] = finish
                    out[x] = j
        at = stop
