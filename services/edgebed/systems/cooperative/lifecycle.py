"""The states of a task, and the only ways from one to the next, as a table.

The table is the definition: the node core asks it before every change, the documentation draws it, and a test
enumerates it. A terminal status is what the task log records.
"""

from enum import IntEnum


class TaskState(IntEnum):
    """Where a task is. The terminal states are the statuses of the log; numbers are part of stored logs."""

    UNFINISHED = 0
    """Cut off by the horizon, or not ended yet; in the log only."""
    SUCCEEDED = 1
    """Executed in time without a failure."""
    DROPPED = 2
    """Given up by the drop policy, or ended after its deadline."""
    FAILED = 3
    """A stage failed, and not after the deadline."""
    WAITING_TO_SEND = 4
    """In a sending queue."""
    SENDING = 5
    """On the wire."""
    WAITING_TO_EXECUTE = 6
    """In the execution queue of its destination."""
    EXECUTING = 7
    """In service at its destination."""

    @property
    def label(self) -> str:
        """The name as users see it, e.g. `succeeded`."""
        return self.name.lower()


S = TaskState

TRANSITIONS: dict[TaskState, dict[str, TaskState]] = {
    S.WAITING_TO_SEND: {"send": S.SENDING, "drop": S.DROPPED},
    S.SENDING: {"receive": S.WAITING_TO_EXECUTE, "fail": S.FAILED, "drop": S.DROPPED},
    S.WAITING_TO_EXECUTE: {"execute": S.EXECUTING, "drop": S.DROPPED},
    S.EXECUTING: {"succeed": S.SUCCEEDED, "fail": S.FAILED, "drop": S.DROPPED},
    S.SUCCEEDED: {},
    S.DROPPED: {},
    S.FAILED: {},
}
"""State -> event -> next state. A task starts in WAITING_TO_SEND or WAITING_TO_EXECUTE."""

TERMINAL = frozenset(state for state, events in TRANSITIONS.items() if not events)
