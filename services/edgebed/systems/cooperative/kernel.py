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
from edgebed.systems.cooperative.rules import DropPolicy, FailureTime

_SUCCEEDED = int(TaskState.SUCCEEDED)
_DROPPED = int(TaskState.DROPPED)
_FAILED = int(TaskState.FAILED)
_ESTIMATE = DropPolicy.ESTIMATE_AT_EXECUTION.code
_ESTIMATE_BOTH = DropPolicy.ESTIMATE_AT_BOTH.code
_ABORT = DropPolicy.ABORT_AT_DEADLINE.code
_EXPIRED = DropPolicy.EXPIRED_AT_DEQUEUE.code
_AT_INSTANT = FailureTime.AT_INSTANT.code
_NONE = -1
_EXPIRY = -1


class State(NamedTuple):
    """Everything that the compiled functions read and write. E episodes, N nodes, R records, K networks."""

    drop_policy: int
    failure_time: int
    slot_s: float

    # (K, N) and (K, N, N), failure rates per second
    capacity: NDArray[np.float64]
    alpha: NDArray[np.float64]
    rate: NDArray[np.float64]
    beta: NDArray[np.float64]
    net: NDArray[np.int32]
    """(E,) network of each episode."""
    first: NDArray[np.int64]
    """(E, T + 1) first record of each slot."""

    # (R,) records
    source: NDArray[np.int32]
    destination: NDArray[np.int32]
    size: NDArray[np.float64]
    cycles: NDArray[np.float64]
    arrived: NDArray[np.float64]
    due: NDArray[np.float64]
    """Absolute deadline."""
    u_transmission: NDArray[np.float64]
    u_execution: NDArray[np.float64]
    status: NDArray[np.int8]
    sent: NDArray[np.float64]
    received: NDArray[np.float64]
    started: NDArray[np.float64]
    ended: NDArray[np.float64]
    transmission: NDArray[np.float64]
    """Tt of the decided link, seconds."""
    execution: NDArray[np.float64]
    """Tc at the destination, seconds."""
    next: NDArray[np.int32]
    """The record behind this one in its queue."""

    # (E, N + N * N) servers
    head: NDArray[np.int32]
    tail: NDArray[np.int32]
    waiting: NDArray[np.int32]
    serving: NDArray[np.int32]

    # (E, C) heaps of events
    heap_time: NDArray[np.float64]
    heap_record: NDArray[np.int32]
    heap_server: NDArray[np.int32]
    """The server that completes, or -1 for the expiry of a deadline."""
    heap_size: NDArray[np.int32]
    """(E,)"""


@njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def _before(t1, s1, r1, t2, s2, r2):  # type: ignore[no-untyped-def]
    """Order of two events: time, completions before expiries, record."""
    if t1 != t2:
        return t1 < t2
    if (s1 == _EXPIRY) != (s2 == _EXPIRY):
        return s2 == _EXPIRY
    return r1 < r2


@njit(cache=True)  # type: ignore[untyped-decorator]
def _push(s, e, time, record, server):  # type: ignore[no-untyped-def]
    times, records, servers = s.heap_time[e], s.heap_record[e], s.heap_server[e]
    i = s.heap_size[e]
    s.heap_size[e] = i + 1
    while i > 0:
        parent = (i - 1) >> 1
        if not _before(time, server, record, times[parent], servers[parent], records[parent]):
            break
        times[i], records[i], servers[i] = times[parent], records[parent], servers[parent]
        i = parent
    times[i], records[i], servers[i] = time, record, server


@njit(cache=True)  # type: ignore[untyped-decorator]
def _pop(s, e):  # type: ignore[no-untyped-def]
    """Take the first event away; the caller has read it at index 0."""
    times, records, servers = s.heap_time[e], s.heap_record[e], s.heap_server[e]
    n = s.heap_size[e] - 1
    s.heap_size[e] = n
    if n == 0:
        return
    time, record, server = times[n], records[n], servers[n]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        right = child + 1
        if right < n and _before(
            times[right], servers[right], records[right], times[child], servers[child], records[child]
        ):
            child = right
        if not _before(times[child], servers[child], records[child], time, server, record):
            break
        times[i], records[i], servers[i] = times[child], records[child], servers[child]
        i = child
    times[i], records[i], servers[i] = time, record, server


@njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def _enqueue(s, e, server, record):  # type: ignore[no-untyped-def]
    s.next[record] = _NONE
    if s.waiting[e, server] == 0:
        s.head[e, server] = record
    else:
        s.next[s.tail[e, server]] = record
    s.tail[e, server] = record
    s.waiting[e, server] += 1


@njit(cache=True)  # type: ignore[untyped-decorator]
def _remove(s, e, server, record):  # type: ignore[no-untyped-def]
    """Take a waiting record out of the middle of a queue."""
    behind = s.next[record]
    if s.head[e, server] == record:
        s.head[e, server] = behind
    else:
        previous = s.head[e, server]
        while s.next[previous] != record:
            previous = s.next[previous]
        s.next[previous] = behind
        if s.tail[e, server] == record:
            s.tail[e, server] = previous
    s.waiting[e, server] -= 1


@njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def _end(s, record, status, now):  # type: ignore[no-untyped-def]
    s.status[record] = status
    s.ended[record] = now


@njit(cache=True)  # type: ignore[untyped-decorator]
def _serve(s, e, server, now):  # type: ignore[no-untyped-def]
    """If the server is idle, start the first waiting task that the drop policy does not give up."""
    n = s.capacity.shape[1]
    executes = server < n
    while s.serving[e, server] == _NONE and s.waiting[e, server] > 0:
        record = s.head[e, server]
        s.head[e, server] = s.next[record]
        s.waiting[e, server] -= 1
        due = s.due[record]
        k = s.net[e]
        if executes:
            length = s.execution[record]
            failure_rate = s.alpha[k, server]
            u = s.u_execution[record]
            give_up = (s.drop_policy == _ESTIMATE or s.drop_policy == _ESTIMATE_BOTH) and now + length > due
        else:
            length = s.transmission[record]
            failure_rate = s.beta[k, s.source[record], s.destination[record]]
            u = s.u_transmission[record]
            give_up = s.drop_policy == _ESTIMATE_BOTH and now + length + s.execution[record] > due
        if give_up or (s.drop_policy == _EXPIRED and now > due):
            _end(s, record, _DROPPED, now)
            continue
        if executes:
            s.started[record] = now
        else:
            s.sent[record] = now
        if s.failure_time == _AT_INSTANT and u > math.exp(-length * failure_rate):
            length = -math.log(u) / failure_rate
        s.serving[e, server] = record
        _push(s, e, now + length, record, server)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _complete(s, e, server, record, now):  # type: ignore[no-untyped-def]
    n = s.capacity.shape[1]
    k = s.net[e]
    s.serving[e, server] = _NONE
    late = now > s.due[record]
    if server < n:
        fails = s.u_execution[record] > math.exp(-s.execution[record] * s.alpha[k, server])
        _end(s, record, _DROPPED if late else (_FAILED if fails else _SUCCEEDED), now)
    else:
        source, destination = s.source[record], s.destination[record]
        if s.u_transmission[record] > math.exp(-s.transmission[record] * s.beta[k, source, destination]):
            _end(s, record, _DROPPED if late else _FAILED, now)
        else:
            s.received[record] = now
            _enqueue(s, e, destination, record)
            _serve(s, e, destination, now)
    _serve(s, e, server, now)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _expire(s, e, record, now):  # type: ignore[no-untyped-def]
    """abortAtDeadline: take the task away wherever it is."""
    if s.status[record] != 0:
        return
    n = s.capacity.shape[1]
    destination = s.destination[record]
    if s.source[record] == destination or not math.isnan(s.received[record]):
        server = destination
    else:
        server = n + s.source[record] * n + destination
    if s.serving[e, server] == record:
        s.serving[e, server] = _NONE  # its completion stays in the heap and is recognised as void
        _end(s, record, _DROPPED, now)
        _serve(s, e, server, now)
    else:
        _remove(s, e, server, record)
        _end(s, record, _DROPPED, now)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _advance(s, e, until):  # type: ignore[no-untyped-def]
    while s.heap_size[e] > 0 and s.heap_time[e, 0] <= until:
        time, record, server = s.heap_time[e, 0], s.heap_record[e, 0], s.heap_server[e, 0]
        _pop(s, e)
        if server == _EXPIRY:
            _expire(s, e, record, time)
        elif s.serving[e, server] == record:
            _complete(s, e, server, record, time)


@njit(cache=True)  # type: ignore[untyped-decorator]
def advance(s, slot):  # type: ignore[no-untyped-def]
    """Bring every episode to the start of `slot`: completions and expiries up to and at that instant."""
    for e in range(s.net.shape[0]):
        _advance(s, e, slot * s.slot_s)


@njit(cache=True)  # type: ignore[untyped-decorator]
def finish(s, until):  # type: ignore[no-untyped-def]
    """Run every episode on to `until`, infinity to drain it."""
    for e in range(s.net.shape[0]):
        _advance(s, e, until)


@njit(cache=True)  # type: ignore[untyped-decorator]
def assign(s, slot, rows, episodes, destinations):  # type: ignore[no-untyped-def]
    """Put the records `rows` of this slot into the queues that were decided. Returns the first bad row or -1."""
    n = s.capacity.shape[1]
    now = slot * s.slot_s
    for x in range(rows.shape[0]):
        record, e, destination = rows[x], episodes[x], destinations[x]
        if destination < 0 or destination >= n:
            return x
        source = s.source[record]
        k = s.net[e]
        s.destination[record] = destination
        s.execution[record] = s.cycles[record] / s.capacity[k, destination]
        server = destination
        if destination != source:
            s.transmission[record] = s.size[record] / s.rate[k, source, destination]
            server = n + source * n + destination
        if s.drop_policy == _ABORT:
            _push(s, e, s.due[record], record, _EXPIRY)
        _enqueue(s, e, server, record)
        _serve(s, e, server, now)
    return -1


@njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def _backlog(s, e, server, now):  # type: ignore[no-untyped-def]
    """Seconds of work at a server: what is left of the service as planned, then the waiting ones in order."""
    n = s.capacity.shape[1]
    total = 0.0
    record = s.serving[e, server]
    if record != _NONE:
        if server < n:
            total = s.started[record] + s.execution[record] - now
        else:
            total = s.sent[record] + s.transmission[record] - now
    record = s.head[e, server]
    for _ in range(s.waiting[e, server]):
        total += s.execution[record] if server < n else s.transmission[record]
        record = s.next[record]
    return total


@njit(cache=True)  # type: ignore[untyped-decorator]
def execution_queues(s, slot, begin, end, waiting, backlog):  # type: ignore[no-untyped-def]
    """Fill waiting and backlog, shape (end - begin, N), of the execution queues of some episodes."""
    now = slot * s.slot_s
    for e in range(begin, end):
        for j in range(s.capacity.shape[1]):
            waiting[e - begin, j] = s.waiting[e, j]
            backlog[e - begin, j] = _backlog(s, e, j, now)


@njit(cache=True)  # type: ignore[untyped-decorator]
def slot_rows(s, slot, begin, end, rows, episodes):  # type: ignore[no-untyped-def]
    """Fill the records that arrive in this slot in some episodes, and their episodes; returns how many."""
    count = 0
    for e in range(begin, end):
        for record in range(s.first[e, slot], s.first[e, slot + 1]):
            rows[count] = record
            episodes[count] = e
            count += 1
    return count


@njit(cache=True)  # type: ignore[untyped-decorator]
def sending_backlogs(s, slot, episodes, source, nodes, out):  # type: ignore[no-untyped-def]
    """Fill out[x, y] with the backlog of the link from source[x] to nodes[x, y]; 0 to itself."""
    n = s.capacity.shape[1]
    now = slot * s.slot_s
    for x in range(nodes.shape[0]):
        for y in range(nodes.shape[1]):
            i, j = source[x], nodes[x, y]
            out[x, y] = 0.0 if i == j else _backlog(s, episodes[x], n + i * n + j, now)


@njit(cache=True)  # type: ignore[untyped-decorator]
def receiving_queues(s, episodes, source, out):  # type: ignore[no-untyped-def]
    """Fill out[x, j] with the tasks that wait at j for the link to source[x]."""
    n = s.capacity.shape[1]
    for x in range(source.shape[0]):
        for j in range(n):
            out[x, j] = s.waiting[episodes[x], n + j * n + source[x]]


@njit(cache=True)  # type: ignore[untyped-decorator]
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
        k = s.net[e]
        for j in range(n):
            # What is bound for j: first the waiting ones, then those on links, by time of arrival.
            free = now
            if s.serving[e, j] != _NONE:
                free = s.started[s.serving[e, j]] + s.execution[s.serving[e, j]]
            count = 0
            for i in range(-1, n):
                if i == j:
                    continue
                server = j if i < 0 else n + i * n + j
                clock = now
                record = _NONE if i < 0 else s.serving[e, server]
                ahead = s.waiting[e, server]
                if record == _NONE:
                    record = s.head[e, server]
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
                        in_transfer = position == 0 and s.serving[e, server] == record
                        begin = s.sent[record] if in_transfer else clock
                        lost = s.drop_policy == _ESTIMATE_BOTH and (
                            begin + s.transmission[record] + s.execution[record] > s.due[record]
                        )
                        lost = lost or (s.drop_policy == _EXPIRED and begin > s.due[record])
                        if lost and not in_transfer:
                            record = s.next[record]
                            continue
                        clock = begin + s.transmission[record]
                        if s.drop_policy == _ABORT:
                            clock = min(clock, s.due[record])
                        when = clock
                    # insertion keeps the order of arrival; equal times stay in the order of the links
                    place = count
                    while place > 0 and arrival[place - 1] > when:
                        arrival[place] = arrival[place - 1]
                        work[place] = work[place - 1]
                        due[place] = due[place - 1]
                        place -= 1
                    arrival[place], work[place], due[place] = when, s.execution[record], s.due[record]
                    count += 1
                    if i >= 0 and s.serving[e, server] == record:
                        record = s.head[e, server]
                    else:
                        record = s.next[record]
            for x in range(at, stop):
                record = rows[x]
                i = s.source[record]
                ready = now
                if i != j:
                    ready = now + _backlog(s, e, n + i * n + j, now) + s.size[record] / s.rate[k, i, j]
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
                finish = max(clock, ready) + s.cycles[record] / s.capacity[k, j]
                if finish < best[x]:
                    best[x] = finish
                    out[x] = j
        at = stop
