"""What is recorded of every task, as columns: the one thing that the conversion to transitions reads.

Times are instants in seconds from the start of the task's episode, NaN where the task never got there. Durations as
the paper logs them (transmission waiting and time, execution waiting and time) are differences of these.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TaskLog:
    """R records, ordered by episode, slot and source; every column has shape (R,).

    One log is of one network. `task` numbers the tasks of an episode from 0 in the order of slot and source.
    """

    episode: NDArray[np.int32]
    task: NDArray[np.int32]
    slot: NDArray[np.int32]
    source: NDArray[np.int32]
    destination: NDArray[np.int32]
    """Where it was decided to execute; equal to source when not offloaded."""
    status: NDArray[np.int8]
    """A `TaskState`: succeeded, dropped, failed or unfinished."""
    size_bits: NDArray[np.float64]
    cycles: NDArray[np.float64]
    deadline_s: NDArray[np.float64]
    arrived_s: NDArray[np.float64]
    """Start of the slot."""
    sent_s: NDArray[np.float64]
    """Transmission began; NaN for local tasks."""
    received_s: NDArray[np.float64]
    """Transmission ended without failure: the task entered the execution queue of its destination. NaN for local tasks."""
    started_s: NDArray[np.float64]
    """Execution began."""
    ended_s: NDArray[np.float64]
    """Succeeded, dropped or failed; NaN when unfinished at the horizon."""
    u_transmission: NDArray[np.float64]
    u_execution: NDArray[np.float64]
    probability: NDArray[np.float64]
    """With which the behaviour policy chose the destination; NaN when the policy does not say."""

    def __len__(self) -> int:
        return len(self.episode)

    @property
    def transmission_wait_s(self) -> NDArray[np.float64]:
        """Time in the sending queue; NaN for local tasks and for tasks that never left it."""
        return self.sent_s - self.arrived_s

    @property
    def transmission_s(self) -> NDArray[np.float64]:
        """Time on the wire; NaN where the task was not received."""
        return self.received_s - self.sent_s

    @property
    def execution_wait_s(self) -> NDArray[np.float64]:
        """Time in the execution queue; NaN where execution never began."""
        return self.started_s - np.where(self.destination == self.source, self.arrived_s, self.received_s)

    @property
    def execution_s(self) -> NDArray[np.float64]:
        """Time in service; NaN where execution never began or never ended."""
        return self.ended_s - self.started_s

    @property
    def delay_s(self) -> NDArray[np.float64]:
        """From arrival to end; NaN when unfinished."""
        return self.ended_s - self.arrived_s

    def select(self, index: NDArray[np.bool_] | NDArray[np.int64] | slice) -> "TaskLog":
        """Some of the records."""
        return TaskLog(*(getattr(self, field.name)[index] for field in fields(self)))

    def shifted(self, episodes: int) -> "TaskLog":
        """The same records with episode numbers raised by `episodes`."""
        return replace(self, episode=self.episode + np.int32(episodes)) if episodes else self

    @staticmethod
    def join(logs: Sequence["TaskLog"]) -> "TaskLog":
        """All records of several logs of one network, in order; the caller keeps their episodes apart."""
        return TaskLog(*(np.concatenate([getattr(log, f.name) for log in logs]) for f in fields(TaskLog)))
