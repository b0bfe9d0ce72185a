"""What the paper leaves open, as fields: each rule is a choice that a user can measure.

The first member of every enumeration is the default. The integer `code` of a member is what the kernel branches on.
"""

from dataclasses import dataclass
from enum import StrEnum


class _Rule(StrEnum):
    """An enumeration whose members also have a stable integer, in order of definition."""

    @property
    def code(self) -> int:
        """Position in the definition, from 0."""
        return list(type(self)).index(self)


class DropPolicy(_Rule):
    """When a task that cannot be in time is given up."""

    ESTIMATE_AT_EXECUTION = "estimateAtExecution"
    """Dropped at the head of the execution queue if elapsed + Tc > d; sending queues never check."""
    ESTIMATE_AT_BOTH = "estimateAtBoth"
    """The same, and at the head of a sending queue if elapsed + Tt + Tc > d."""
    ABORT_AT_DEADLINE = "abortAtDeadline"
    """Taken away wherever it is, waiting or in service, the moment its deadline passes."""
    EXPIRED_AT_DEQUEUE = "expiredAtDequeue"
    """Dropped at the head of a queue only if already overdue; once served, served to the end; late is dropped."""
    NEVER = "never"
    """Served to the end; late is dropped."""


class FailureTime(_Rule):
    """How long a failing stage occupies its server."""

    AT_END = "atEnd"
    """For the whole length of the stage."""
    AT_INSTANT = "atInstant"
    """Until the failure instant, -ln(u) / rate."""


class Horizon(_Rule):
    """What happens after the last slot."""

    DRAIN = "drain"
    """Run until every task has ended."""
    CUT_DROP = "cutDrop"
    """Stop at slots * slot; an unfinished task counts as dropped, with no end time."""
    CUT_IGNORE = "cutIgnore"
    """Stop at slots * slot; an unfinished task is not counted."""


class DecisionOrder(_Rule):
    """What the decisions of one slot see."""

    SIMULTANEOUS = "simultaneous"
    """All of them the state at the slot's start."""
    SEQUENTIAL = "sequential"
    """Each the decisions before it, in the order of the node index."""


class FailureUnit(_Rule):
    """The unit of time of the failure rates."""

    SECOND = "second"
    SLOT = "slot"


@dataclass(frozen=True)
class Rules:
    """One choice per open question of the model."""

    drop_policy: DropPolicy = DropPolicy.ESTIMATE_AT_EXECUTION
    failure_time: FailureTime = FailureTime.AT_END
    horizon: Horizon = Horizon.DRAIN
    decision_order: DecisionOrder = DecisionOrder.SIMULTANEOUS
    failure_unit: FailureUnit = FailureUnit.SECOND

    def failure_rate_scale(self, slot_s: float) -> float:
        """Factor that turns a failure rate as given into one per second."""
        return 1.0 if self.failure_unit is FailureUnit.SECOND else 1.0 / slot_s
