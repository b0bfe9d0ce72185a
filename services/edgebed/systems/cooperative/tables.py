"""Between the kernel's records and everybody else's columns, in one pass each.

A record is 136 bytes, so numpy would walk through all of memory once per column; these loops do it once.
"""

import numpy as np
from numba import njit

from edgebed.systems.cooperative.lifecycle import TaskState

_UNFINISHED = int(TaskState.UNFINISHED)
_GAMMA = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True)
def load(workload, slot_s, begin, first_episode, records, first, episode, slot, source):  # type: ignore[no-untyped-def]
    """Fill records and columns from `begin` on with the tasks of a workload's episodes; returns where they end."""
    arrives, size, cycles, deadline, u_transmission, u_execution = workload
    at = begin
    for e in range(arrives.shape[0]):
        for t in range(arrives.shape[1]):
            first[first_episode + e, t] = at
            for i in range(arrives.shape[2]):
                if not arrives[e, t, i]:
                    continue
                task = records[at]
                task.size_bits, task.cycles = size[e, t, i], cycles[e, t, i]
                task.arrived_s = t * slot_s
                task.due_s = task.arrived_s + deadline[e, t, i]
                task.deadline_s = deadline[e, t, i]
                task.u_transmission, task.u_execution = u_transmission[e, t, i], u_execution[e, t, i]
                task.sent_s = task.received_s = task.started_s = task.ended_s = np.nan
                task.source, task.destination, task.status = i, -1, _UNFINISHED
                episode[at], slot[at], source[at] = first_episode + e, t, i
                at += 1
        first[first_episode + e, arrives.shape[1]] = at
    return at


@njit(cache=True)
def unload(records, destination, status, floats):  # type: ignore[no-untyped-def]
    """Fill columns with records; `floats` has a row for each of FLOATS."""
    for r in range(records.shape[0]):
        task = records[r]
        destination[r], status[r] = task.destination, task.status
        floats[0, r], floats[1, r] = task.size_bits, task.cycles
        floats[2, r], floats[3, r] = task.deadline_s, task.arrived_s
        floats[4, r], floats[5, r] = task.sent_s, task.received_s
        floats[6, r], floats[7, r] = task.started_s, task.ended_s
        floats[8, r], floats[9, r] = task.u_transmission, task.u_execution


FLOATS = (
    ("size_bits", "cycles", "deadline_s", "arrived_s")
    + ("sent_s", "received_s", "started_s", "ended_s")
    + ("u_transmission", "u_execution")
)
"""Order of the rows that `unload` fills."""


@njit(cache=True)
def slot_rows(s, slot, begin, end, rows, episodes, source, floats):  # type: ignore[no-untyped-def]
    """Fill the records that arrive in this slot in some episodes, their episodes and sources; returns how many.

    `floats` gets size, cycles and relative deadline as rows.
    """
    count = 0
    for e in range(begin, end):
        for r in range(s.first[e, slot], s.first[e, slot + 1]):
            task = s.records[r]
            rows[count], episodes[count], source[count] = r, e, task.source
            floats[0, count], floats[1, count], floats[2, count] = task.size_bits, task.cycles, task.deadline_s
            count += 1
    return count


@njit(cache=True)
def transmissions(rate, source, size, nodes, out):  # type: ignore[no-untyped-def]
    """Fill out[x, y] with Tt from source[x] to nodes[x, y]; 0 to itself."""
    for x in range(nodes.shape[0]):
        i = source[x]
        for y in range(nodes.shape[1]):
            j = nodes[x, y]
            out[x, y] = 0.0 if i == j else size[x] / rate[i, j]


@njit(cache=True)
def executions(capacity, cycles, nodes, out):  # type: ignore[no-untyped-def]
    """Fill out[x, y] with Tc at nodes[x, y]."""
    for x in range(nodes.shape[0]):
        for y in range(nodes.shape[1]):
            out[x, y] = cycles[x] / capacity[nodes[x, y]]


@njit(cache=True)
def hazards(capacity, rate, alpha, beta, scale, source, size, cycles, nodes, out):  # type: ignore[no-untyped-def]
    """Fill out[x, y] with Tc alpha + Tt beta at nodes[x, y], as `View.hazard_of`."""
    for x in range(nodes.shape[0]):
        i = source[x]
        for y in range(nodes.shape[1]):
            j = nodes[x, y]
            transmission = 0.0 if i == j else size[x] / rate[i, j]
            out[x, y] = cycles[x] / capacity[j] * (alpha[j] * scale) + transmission * (beta[i, j] * scale)


@njit(cache=True)
def uniforms(key, slot, source, out):  # type: ignore[no-untyped-def]
    """Fill out[x, y] as `randomness.decision_uniforms` does, bit by bit."""
    for x in range(source.shape[0]):
        counter = np.uint64(slot) * np.uint64(1 << 20) + np.uint64(source[x])
        row = _mix(key[x] + _GAMMA * (counter + np.uint64(1)))
        for y in range(out.shape[1]):
            out[x, y] = (_mix(row + np.uint64(y + 1) * _GAMMA) >> np.uint64(11)) * 2.0**-53


@njit(cache=True)
def _mix(z):  # type: ignore[no-untyped-def]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
