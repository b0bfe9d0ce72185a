"""The conversion as one would write it first: plain Python loops over records and slots; slow, and easy to believe."""

import math

import numpy as np

from edgebed.systems.cooperative.conversion import Attribution
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.observation import ObservationSpecification
from edgebed.systems.cooperative.rules import DecisionOrder, DropPolicy, FailureTime, Horizon, Rules
from edgebed.systems.transitions import Transitions


def plain_convert(
    log: TaskLog,
    network: Network,
    observation: ObservationSpecification,
    rules: Rules,
    *,
    slot_s: float,
    slots: int,
    mask_coefficient: float,
    attribution: Attribution,
) -> Transitions:
    """What `conversion.convert` promises, for a log in order whose episodes are numbered from 0; eta is 1."""
    n, episodes = network.nodes, int(log.episode[-1]) + 1
    sequential = rules.decision_order is DecisionOrder.SEQUENTIAL
    waiting = np.zeros((episodes, slots + 1, n), dtype=np.int64)
    receiving = np.zeros((episodes, slots + 1, n, n), dtype=np.int64)
    task = np.zeros((episodes, slots + 1, n, 3))
    action = np.full((episodes, slots, n), n, dtype=np.int16)
    probability = np.ones((episodes, slots, n), dtype=np.float32)
    team_reward = np.zeros((episodes, slots), dtype=np.float32)
    own_reward = np.zeros((episodes, slots, n), dtype=np.float32)

    def known(instant: float, otherwise: float) -> float:
        return otherwise if math.isnan(instant) else instant

    for r in range(len(log)):
        e, slot, i, j = int(log.episode[r]), int(log.slot[r]), int(log.source[r]), int(log.destination[r])
        status, ended = int(log.status[r]), known(float(log.ended_s[r]), math.inf)
        leave = known(float(log.started_s[r]), ended)
        enter = 0.0 if i == j else known(float(log.received_s[r]), math.inf)
        out = known(float(log.sent_s[r]), ended)
        if i != j and sequential and slot * slot_s < out and i < j:
            receiving[e, slot, j, i] += 1
        for k in range(slot + 1, slots + 1):
            if k * slot_s >= leave and k * slot_s >= out:
                break
            if enter <= k * slot_s < leave:
                waiting[e, k, j] += 1
            if i != j and k * slot_s < out:
                receiving[e, k, j, i] += 1
        task[e, slot, i] = log.size_bits[r], log.cycles[r], log.deadline_s[r]
        action[e, slot, i] = j
        probability[e, slot, i] = log.probability[r]
        at = slot
        if status == 0:
            reward = 0 if rules.horizon is Horizon.CUT_IGNORE else -1
        else:
            reward = 1 if status == 1 else -1
        if attribution is Attribution.COMPLETION:
            while at + 1 < slots and (at + 1) * slot_s <= ended:
                at += 1
        own_reward[e, slot, i] = reward
        if attribution is Attribution.CROWDING:
            own_reward[e, slot, i] += plain_crowding(log, network, rules, slot_s, r)
        team_reward[e, at] += reward
    dynamic = np.zeros((episodes, slots + 1, n, observation.dynamic_size), dtype=np.float32)
    available = np.zeros((episodes, slots + 1, n), dtype=np.bool_)
    for e in range(episodes):
        for k in range(slots + 1):
            for i in range(n):
                available[e, k, i] = waiting[e, k, i] < mask_coefficient * network.cores[i] / 4
                lengths = [waiting[e, k, i], *(receiving[e, k, i, j] for j in range(n) if j != i)]
                for d, value in enumerate(lengths):
                    dynamic[e, k, i, d] = min(value / observation.queue_length, 1.0)
                dynamic[e, k, i, n] = task[e, k, i, 0] / observation.size_bits
                dynamic[e, k, i, n + 1] = task[e, k, i, 1] / observation.cycles
                dynamic[e, k, i, n + 2] = task[e, k, i, 2] / observation.deadline_s
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


def plain_crowding(log: TaskLog, network: Network, rules: Rules, slot_s: float, r: int) -> int:
    """By how much decision r changed the outcomes of those behind it in its execution queue: all of it served twice."""
    assert rules.drop_policy in (DropPolicy.ESTIMATE_AT_EXECUTION, DropPolicy.ESTIMATE_AT_BOTH)
    assert rules.failure_time is FailureTime.AT_END
    entries = []
    for x in range(len(log)):
        if log.episode[x] == log.episode[r] and log.destination[x] == log.destination[r]:
            local = log.source[x] == log.destination[x]
            enter = log.slot[x] * slot_s if local else float(log.received_s[x])
            if not math.isnan(enter):
                entries.append((enter, local, x))
    entries.sort()
    if r not in [x for _, _, x in entries]:
        return 0
    behind = [x for _, _, x in entries][[x for _, _, x in entries].index(r) + 1 :]
    capacity = float(network.capacity_hz[log.destination[r]])
    alpha = float(network.execution_failure_rate[log.destination[r]]) * rules.failure_rate_scale(slot_s)

    def in_time(without: int | None) -> dict[int, bool]:
        free, found = -math.inf, {}
        for enter, _, x in entries:
            if x != without:
                length = float(log.cycles[x]) / capacity
                start = max(free, enter)
                found[x] = start + length <= float(log.slot[x]) * slot_s + float(log.deadline_s[x])
                free = start + length if found[x] else free
        return found

    total, served, else_ = 0, in_time(None), in_time(r)
    for x in behind:
        if log.u_execution[x] <= math.exp(-float(log.cycles[x]) / capacity * alpha):  # it does not fail anyway
            total += 2 * (int(served[x]) - int(else_[x]))
    return total
