"""A task log to judged decisions: what the candidate actor saw at each, and what every candidate was worth."""

from dataclasses import replace

import numpy as np

from edgebed.learning.candidate_ppo import Judged
from edgebed.systems.cooperative.candidate import Ask, CandidateObservation
from edgebed.systems.cooperative.candidate_actor import CandidateScorer, allowed, observe
from edgebed.systems.cooperative.candidate_log import Decisions, decisions
from edgebed.systems.cooperative.crowding import worth
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.policy import PolicyContext


def decisions_of(log: TaskLog, context: PolicyContext) -> Decisions:
    """What was known at every decision of a log that belongs to a policy's context. Raises ModelError."""
    workload = context.workload
    return decisions(
        log,
        context.network,
        context.rules,
        slot_s=workload.slot_s,
        slots=workload.slots,
        mask_coefficient=context.mask_coefficient,
    )


def judge(log: TaskLog, context: PolicyContext, scorer: CandidateScorer, ask: Ask, eta: float) -> Judged:
    """The decisions of a log of one network; `scorer` is the actor that made them, which says whom it asked."""
    decided = decisions_of(log, context)
    wanted = allowed(decided.known)
    wanted[np.arange(len(wanted)), decided.destination] = True  # whatever the policy of the log was
    static = np.concatenate([scorer.observation.static(i) for i in range(context.network.nodes)])
    return Judged(
        static=static,
        source=decided.known.source,
        dynamic=observe(ask, scorer, decided.known),
        wanted=wanted,
        chosen=decided.destination,
        worth=worth(decided, context.network, context.rules, context.workload.slot_s, wanted, eta),
        succeeded=float((log.status == TaskState.SUCCEEDED).mean()) if len(log) else 0.0,
        load=scorer.observation.load,
    )


def outcomes_of(log: TaskLog, context: PolicyContext, ask: Ask, *, every: bool) -> Judged:
    """The decisions of any policy's log, each candidate worth what would have become, or became, of the task there.

    Whom to ask a log does not say, so a number to ask takes random nodes.
    """
    decided = decisions_of(log, context)
    wanted = allowed(decided.known)
    rows = np.arange(len(wanted))
    wanted[rows, decided.destination] = True
    if every:
        found = worth(decided, context.network, context.rules, context.workload.slot_s, wanted, 0.0)
    else:
        found = np.zeros(wanted.shape, dtype=np.float32)
        found[rows, decided.destination] = np.where(decided.columns.status == TaskState.SUCCEEDED, 1.0, -1.0)
    observation, n = CandidateObservation(context), context.network.nodes
    told = np.arange(n) == decided.known.source[:, None]
    if ask.count:
        rank = np.random.default_rng(context.network_seed).random(wanted.shape).argsort(axis=1)
        told |= rank < ask.count
    return Judged(
        static=np.concatenate([observation.static(i) for i in range(n)]),
        source=decided.known.source,
        dynamic=observation.dynamic(replace(decided.known, told=told)),
        wanted=wanted,
        chosen=decided.destination,
        worth=found,
        succeeded=float((log.status == TaskState.SUCCEEDED).mean()) if len(log) else 0.0,
    )
