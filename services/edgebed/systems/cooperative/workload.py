"""Arrivals and tasks of many episodes, with the luck that each task carries.

At the start of slot t node i receives one task with probability lambda_i. A task brings its size, its cycles, its
relative deadline, and two uniforms: with network, decisions and rules they leave exactly one outcome.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative.distributions import Distribution, Uniform
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.randomness import Stream, generator


@dataclass(frozen=True, eq=False)
class Workload:
    """What arrives in E episodes of T slots at N nodes; arrays of shape (E, T, N) unless said otherwise.

    Values where `arrives` is false mean nothing.
    """

    slot_s: float
    arrives: NDArray[np.bool_]
    size_bits: NDArray[np.float64]
    cycles: NDArray[np.float64]
    deadline_s: NDArray[np.float64]
    """Relative to the start of the slot in which the task arrives."""
    u_transmission: NDArray[np.float64]
    """In (0, 1]: the transmission fails iff it exceeds exp(-Tt * beta)."""
    u_execution: NDArray[np.float64]
    """In (0, 1]: the execution fails iff it exceeds exp(-Tc * alpha)."""
    decision_key: NDArray[np.uint64]
    """(E,) what the uniforms of an episode's decisions are made of."""
    profile: NDArray[np.uint16] | None = None
    """Which of an application's kinds of work a task is, from 1; None where tasks are of no kind."""

    @property
    def episodes(self) -> int:
        """E."""
        return int(self.arrives.shape[0])

    @property
    def slots(self) -> int:
        """T."""
        return int(self.arrives.shape[1])

    @property
    def nodes(self) -> int:
        """N."""
        return int(self.arrives.shape[2])

    def episode(self, index: int) -> "Workload":
        """A workload of one episode."""
        return self.select(slice(index, index + 1))

    def select(self, episodes: slice) -> "Workload":
        """A workload of some of the episodes; arrays are views."""
        return Workload(
            slot_s=self.slot_s,
            arrives=self.arrives[episodes],
            size_bits=self.size_bits[episodes],
            cycles=self.cycles[episodes],
            deadline_s=self.deadline_s[episodes],
            u_transmission=self.u_transmission[episodes],
            u_execution=self.u_execution[episodes],
            decision_key=self.decision_key[episodes],
            profile=None if self.profile is None else self.profile[episodes],
        )

    @property
    def digest(self) -> str:
        """SHA-256 of all that is in it."""
        content = hashlib.sha256(repr(self.slot_s).encode())
        for field in fields(self):
            array = getattr(self, field.name)
            if field.name != "slot_s" and array is not None:
                content.update(
                    f"{field.name}{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes()
                )
        return content.hexdigest()

    @staticmethod
    def join(parts: Sequence["Workload"]) -> "Workload":
        """One workload of all the parts' episodes, in order; the parts agree on slot length, slots and nodes."""
        if len({(part.slot_s, part.slots, part.nodes) for part in parts}) != 1:
            raise ModelError("workload", "parts of different shape", "join workloads of equal slot, slots and nodes")
        names = ("arrives", "size_bits", "cycles", "deadline_s", "u_transmission", "u_execution", "decision_key")
        profiles = [part.profile for part in parts if part.profile is not None]
        if len(profiles) not in (0, len(parts)):
            raise ModelError("workload", "parts with and without profiles", "join workloads of one application")
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return Workload(parts[0].slot_s, **arrays, profile=np.concatenate(profiles) if profiles else None)


@dataclass(frozen=True)
class WorkloadModel:
    """Distributions from which tasks are drawn (paper section V.A)."""

    slot_s: float
    slots: int
    size_bits: Distribution
    cycles_per_bit: Distribution
    deadline_s: Distribution

    @property
    def maximum_cycles(self) -> float:
        """Most cycles that a task can have."""
        return self.size_bits.maximum * self.cycles_per_bit.maximum

    @classmethod
    def around(cls, workload: Workload) -> "WorkloadModel":
        """Independent uniform draws over the spans of a given workload: what scales inputs and makes sample tasks."""
        there = workload.arrives
        if not there.any():
            raise ModelError("workload", "no task", "give a workload in which at least one task arrives")
        size, cycles, deadline = workload.size_bits[there], workload.cycles[there], workload.deadline_s[there]
        intensity = cycles / size
        return cls(
            slot_s=workload.slot_s,
            slots=workload.slots,
            size_bits=Uniform(float(size.min()), float(size.max())),
            cycles_per_bit=Uniform(float(intensity.min()), float(intensity.max())),
            deadline_s=Uniform(float(deadline.min()), float(deadline.max())),
        )

    def draw(self, network: Network, seed: int, stream: Stream, episodes: range, *index: int) -> Workload:
        """Some episodes of one stream of one network seed; an episode's tasks do not depend on the others'.

        `index` distinguishes further, e.g. by training seed.
        """
        shape = (self.slots, network.nodes)
        drawn: list[tuple[NDArray[np.float64], ...]] = []
        keys: list[np.uint64] = []
        for episode in episodes:
            rng = generator(seed, stream, *index, episode)
            arrivals, u_transmission, u_execution = rng.random((3, *shape))
            size = self.size_bits.draw(rng, shape)
            cycles = size * self.cycles_per_bit.draw(rng, shape)
            deadline = self.deadline_s.draw(rng, shape)
            # random() is in [0, 1); a uniform of 0 would put the failure instant at infinity.
            drawn.append((arrivals, size, cycles, deadline, 1.0 - u_transmission, 1.0 - u_execution))
            keys.append(np.uint64(rng.integers(0, 2**64, dtype=np.uint64)))
        columns = [np.stack(column) if drawn else np.zeros((0, *shape)) for column in zip(*drawn, strict=True)]
        arrivals, size, cycles, deadline, u_transmission, u_execution = columns or [np.zeros((0, *shape))] * 6
        return Workload(
            slot_s=self.slot_s,
            arrives=arrivals < network.arrival_probability,
            size_bits=size,
            cycles=cycles,
            deadline_s=deadline,
            u_transmission=u_transmission,
            u_execution=u_execution,
            decision_key=np.array(keys, dtype=np.uint64),
        )
