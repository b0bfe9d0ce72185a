"""Task log to transitions: what every node saw at every slot, rebuilt from the instants that the log records.

Nothing but the log is needed: a task waits in a queue from the instant at which it entered until the instant at which
it left, so the queue lengths at the start of slot k, t = k * slot_s, are counts of intervals that hold t:

    execution queue of j    local tasks of earlier slots that start or end after t, or never;
                            received tasks with received_s <= t that start or end after t, or never
    pair i -> j             tasks i -> j of earlier slots whose transfer starts, or that end, after t, or never

This is the state after the completions and expiries at t and before the arrivals of slot k, which is what simultaneous
decisions see. Under `decisionOrder: sequential` a node also sees, in its receiving queues, what nodes of smaller index
decided in the same slot and did not start at once. The mask bits stay those of the slot's start: `Transitions` has one
per node, while there each decision may see another.

Row T is the state in which the episode was cut off, at T * slot_s. One pass over the records per episode, so that an
episode's counts stay in the cache. Episodes know nothing of each other, so several processors share the long logs.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative.columns import check_columns, first_at, in_order
from edgebed.systems.cooperative.crowding import crowding
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.observation import ObservationSpecification
from edgebed.systems.cooperative.rules import DecisionOrder, Horizon, Rules
from edgebed.systems.transitions import Transitions

THREAD_EPISODES, THREADS = 64, 4
"""How many episodes are worth a thread of their own, and the most threads."""


class Attribution(StrEnum):
    """Which slot a task's reward belongs to (paper section IV.B: completion)."""

    COMPLETION = "completion"
    """The team's, in the slot in which the task ended; after the last slot, the last."""
    ARRIVAL = "arrival"
    """The team's, in the slot in which it was decided."""
    PER_TASK = "perTask"
    """The deciding node's own (`own_reward`); the team's reward is then its sum, as for `arrival`."""
    CROWDING = "crowding"
    """The deciding node's own, plus a coefficient times what its decision did to others (`crowding`)."""

    @property
    def own(self) -> bool:
        """Whether it is the deciding node's."""
        return self in (Attribution.PER_TASK, Attribution.CROWDING)


def convert(
    log: TaskLog,
    network: Network,
    observation: ObservationSpecification,
    rules: Rules,
    *,
    slot_s: float,
    slots: int,
    mask_coefficient: float,
    attribution: Attribution = Attribution.COMPLETION,
    eta: float = 1.0,
) -> Transitions:
    """The transitions of a log of one network, with one episode for each that the log names, in order of appearance.

    A task that the horizon left unfinished counts -1 in the last slot under `cutDrop` and 0 under `cutIgnore`.
    `eta` is the coefficient of `crowding`. Raises ModelError for records that the network or the slots do not have.
    """
    n = network.nodes
    if observation.nodes != n:
        raise ModelError("observation.nodes", observation.nodes, f"the network has {n} nodes")
    episode, records = in_order(log)
    check_columns(records, n, slots)
    episodes = int(episode[-1]) + 1 if len(episode) else 0
    first = np.searchsorted(episode, np.arange(episodes + 1))
    dynamic = np.zeros((episodes, slots + 1, n, observation.dynamic_size), dtype=np.float32)
    available = np.empty((episodes, slots + 1, n), dtype=np.bool_)
    action = np.full((episodes, slots, n), n, dtype=np.int16)
    probability = np.ones((episodes, slots, n), dtype=np.float32)
    team_reward = np.zeros((episodes, slots), dtype=np.float32)
    own_reward = np.zeros((episodes, slots, n), dtype=np.float32)
    limits, lengths = mask_coefficient * network.cores / 4, _lengths(observation, n * slots)

    def fill(begin: int, end: int) -> None:
        _convert(
            first[begin : end + 1],
            records.slot,
            records.source,
            records.destination,
            records.status,
            records.size_bits,
            records.cycles,
            records.deadline_s,
            records.sent_s,
            records.received_s,
            records.started_s,
            records.ended_s,
            records.probability,
            # A specification may have whole numbers, for which numba would compile all of it again.
            float(slot_s),
            limits,
            lengths,
            float(observation.size_bits),
            float(observation.cycles),
            float(observation.deadline_s),
            rules.decision_order is DecisionOrder.SEQUENTIAL,
            0.0 if rules.horizon is Horizon.CUT_IGNORE else -1.0,
            attribution is Attribution.COMPLETION,
            dynamic[begin:end],
            available[begin:end],
            action[begin:end],
            probability[begin:end],
            team_reward[begin:end],
            own_reward[begin:end],
        )

    threads = min(THREADS, os.cpu_count() or 1, 1 + episodes // THREAD_EPISODES)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda ends: fill(*ends), pairwise(np.linspace(0, episodes, threads + 1, dtype=int).tolist())))
    if attribution is Attribution.CROWDING:
        others = crowding(episode, records, network, rules, slot_s)
        own_reward[episode, records.slot, records.source] += np.float32(eta) * others
    return Transitions(
        static=observation.static(network),
        dynamic=dynamic,
        available=available,
        has_task=action != n,
        action=action,
        probability=probability,
        team_reward=team_reward,
        own_reward=own_reward,
    )


def _lengths(observation: ObservationSpecification, longest: int) -> NDArray[np.float32]:
    """Queue length -> what `ObservationSpecification.dynamic` makes of it."""
    return np.minimum(np.arange(longest + 1) / observation.queue_length, 1.0).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _convert(  # type: ignore[no-untyped-def]
    first,
    slot,
    source,
    destination,
    status,
    size,
    cycles,
    deadline,
    sent,
    received,
    started,
    ended,
    chance,
    slot_s,
    limit,
    length,
    size_unit,
    cycles_unit,
    deadline_unit,
    sequential,
    unfinished_reward,
    at_completion,
    dynamic,
    available,
    action,
    probability,
    team_reward,
    own_reward,
):
    """Fills the last six arrays."""
    episodes, slots, n = action.shape
    # Changes of the counts: executing[k, j], and sending[k, j, i] for the pair i -> j; one spare row for "never".
    executing = np.zeros((slots + 2, n), dtype=np.int32)
    sending = np.zeros((slots + 2, n, n), dtype=np.int32)
    # Sequential only: seen[k, j, i] is 1 when the task that i sent to j in slot k did not start at once.
    seen = np.zeros((slots if sequential else 0, n, n), dtype=np.int32)
    waiting = np.empty(n, dtype=np.int32)
    pairs = np.empty((n, n), dtype=np.int32)
    for e in range(episodes):
        executing[:] = 0
        sending[:] = 0
        seen[:] = 0
        for r in range(first[e], first[e + 1]):
            k, i, j = slot[r], source[r], destination[r]
            end = ended[r]
            leave = first_at(started[r] if started[r] == started[r] else end, slot_s, slots)
            enter = k + 1  # a task of slot k is not there yet when slot k is observed
            if i != j:
                out = first_at(sent[r] if sent[r] == sent[r] else end, slot_s, slots)
                if out > enter:
                    sending[enter, j, i] += 1
                    sending[out, j, i] -= 1
                if sequential and out > k:
                    seen[k, j, i] = 1
                enter = max(enter, first_at(received[r], slot_s, slots))
            if leave > enter:
                executing[enter, j] += 1
                executing[leave, j] -= 1
            dynamic[e, k, i, n] = size[r] / size_unit
            dynamic[e, k, i, n + 1] = cycles[r] / cycles_unit
            dynamic[e, k, i, n + 2] = deadline[r] / deadline_unit
            action[e, k, i] = j
            probability[e, k, i] = chance[r]
            reward = 1.0 if status[r] == 1 else -1.0
            at = k
            if status[r] == 0:
                reward = unfinished_reward
                if at_completion:
                    at = slots - 1
            elif at_completion:
                at = first_at(end, slot_s, slots)
                # The slot that holds `end` is the last that begins at or before it.
                if at > slots or at * slot_s > end:
                    at -= 1
                at = min(at, slots - 1)
            own_reward[e, k, i] = reward
            team_reward[e, at] += reward
        waiting[:] = 0
        pairs[:] = 0
        for k in range(slots + 1):
            for j in range(n):
                waiting[j] += executing[k, j]
                available[e, k, j] = waiting[j] < limit[j]
                row = dynamic[e, k, j]
                row[0] = length[waiting[j]]
                column = 1
                for i in range(n):
                    pairs[j, i] += sending[k, j, i]
                    if i != j:
                        count = pairs[j, i]
                        if sequential and k < slots and i < j:
                            count += seen[k, j, i]
                        row[column] = length[count]
                        column += 1
