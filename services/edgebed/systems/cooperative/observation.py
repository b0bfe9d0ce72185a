"""What node i sees at slot t (paper section IV.A), as numbers in [0, 1] in a fixed, versioned order.

The static part comes first: lambda_i, alpha_i, F_i, the rates r_ij to the N-1 others in index order, the one-hot of i.
The dynamic part follows: the own execution queue's length, the lengths of the N-1 receiving queues in index order, and
the task's s, c, d (zeros without a task). Every quantity is divided by its largest value in the specification; a queue
length, which has none there, by the slots in a deadline, and cut at 1.

The receiving queue of j from i is the far end of the pair's one FIFO: the tasks that i has announced to j and that
wait for the link; the one in transfer is not counted.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative.network import Network, NetworkModel
from edgebed.systems.cooperative.workload import WorkloadModel


@dataclass(frozen=True)
class ObservationSpecification:
    """What an observation holds and how it is scaled. A model carries the hash of the one that it was trained with."""

    version: str
    """`paper/v1`."""
    nodes: int
    arrival_probability: float
    execution_failure_rate: float
    capacity_hz: float
    link_rate_bits_per_s: float
    queue_length: float
    size_bits: float
    cycles: float
    deadline_s: float
    """The largest values, by which each quantity is divided."""

    @classmethod
    def paper(cls, network: NetworkModel, workload: WorkloadModel) -> "ObservationSpecification":
        """The paper's observation for networks and tasks of these models."""
        return cls(
            version="paper/v1",
            nodes=network.nodes,
            arrival_probability=network.arrival_probability.maximum or 1.0,
            execution_failure_rate=network.execution_failure_rate.maximum or 1.0,
            capacity_hz=network.cores.maximum * network.core_frequency_hz,
            link_rate_bits_per_s=network.link_rate_bits_per_s.maximum,
            queue_length=max(1.0, workload.deadline_s.maximum / workload.slot_s),
            size_bits=workload.size_bits.maximum,
            cycles=workload.maximum_cycles,
            deadline_s=workload.deadline_s.maximum,
        )

    @property
    def static_size(self) -> int:
        """S = 3 + (N - 1) + N."""
        return 2 + 2 * self.nodes

    @property
    def dynamic_size(self) -> int:
        """D = 1 + (N - 1) + 3."""
        return self.nodes + 3

    @property
    def digest(self) -> str:
        """SHA-256 of the specification; equal iff the numbers mean the same."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def static(self, network: Network) -> NDArray[np.float32]:
        """(N, S) the part that never changes in one network."""
        n = self.nodes
        others = ~np.eye(n, dtype=np.bool_)
        return np.concatenate(
            [
                (network.arrival_probability / self.arrival_probability)[:, None],
                (network.execution_failure_rate / self.execution_failure_rate)[:, None],
                (network.capacity_hz / self.capacity_hz)[:, None],
                (network.link_rate_bits_per_s / self.link_rate_bits_per_s)[others].reshape(n, n - 1),
                np.eye(n),
            ],
            axis=1,
        ).astype(np.float32)

    def dynamic(
        self,
        source: NDArray[np.int64],
        waiting: NDArray[np.int64],
        receiving: NDArray[np.int64],
        size_bits: NDArray[np.float64],
        cycles: NDArray[np.float64],
        deadline_s: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """(rows, D) the part that changes; `receiving` has shape (rows, N) with a column for every node, itself included."""
        rows, n = receiving.shape
        out = np.empty((rows, n + 3), dtype=np.float32)
        out[:, 0] = np.minimum(waiting / self.queue_length, 1.0)
        others = np.arange(n) != source[:, None]
        out[:, 1:n] = np.minimum(receiving[others].reshape(rows, n - 1) / self.queue_length, 1.0)
        out[:, n] = size_bits / self.size_bits
        out[:, n + 1] = cycles / self.cycles
        out[:, n + 2] = deadline_s / self.deadline_s
        return out
