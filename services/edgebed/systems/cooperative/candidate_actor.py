"""The candidate actor as a node runs it: one small perceptron that scores every candidate, and numpy.

    score_j = ReLU(ReLU([static_ij, dynamic_j] W0 + b0) W1 + b1) W2 + b2        softmax over the nodes that may be chosen

The same weights score every candidate of every node of every network, so renumbering the nodes renumbers the choice and
changes nothing else, and N is not part of the model. What of the first layer belongs to the static part is computed once
per network (`CandidateScorer`): one bias per pair of nodes.

The file is safetensors, with what the numbers mean and the ranges that the model was trained on as metadata.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from edgebed.systems.cooperative.actor import check_layers, choose
from edgebed.systems.cooperative.candidate import (
    DYNAMIC_SCALE,
    FAR,
    Ask,
    CandidateObservation,
    CandidateSpecification,
    Known,
)
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.observation import ObservationSpecification

Array = NDArray[np.float32]
Layer = tuple[Array, Array]

FORMAT = "edgebed-candidate-actor/v1"

_ROWS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 9, 10, 11]
"""Columns of DYNAMIC in a lone scorer's order: what is the same for all candidates side by side."""
_NONE = np.array(0.0)  # Python's numbers, and numpy's own scalars, would be converted at every call
_CHUNK = 4096  # candidates per pass: activations of 4096 x 64 floats stay in the second-level cache


@dataclass(frozen=True, eq=False)
class CandidateWeights:
    """A perceptron with two hidden layers and one output. A layer is `x @ weight + bias`, weight (inputs, outputs)."""

    layers: tuple[Layer, Layer, Layer]
    """(weight, bias) of each layer, float32; inputs are S static, then D dynamic numbers."""
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Smallest and largest value of each of `candidate_ranges.QUANTITIES` in training; empty where nobody has noted them."""
    ask: str | int = "none"
    """Whom it learned to ask, as `Ask.of` reads it."""
    observation: CandidateSpecification = field(default_factory=CandidateSpecification)
    """What the inputs mean."""

    def __post_init__(self) -> None:
        Ask.of(self.ask)
        check_layers(self.layers, self.observation.static_size + self.observation.dynamic_size, 1)

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(weight.size + bias.size for weight, bias in self.layers)

    def to_bytes(self) -> bytes:
        """The actor's file."""
        tensors = {}
        for index, (weight, bias) in enumerate(self.layers):
            tensors[f"layers.{index}.weight"] = np.ascontiguousarray(weight)
            tensors[f"layers.{index}.bias"] = np.ascontiguousarray(bias)
        about = {
            "format": FORMAT,
            "observation": asdict(self.observation),
            "observationDigest": self.observation.digest,
            "ranges": self.ranges,
            "ask": self.ask,
        }
        # One entry, because safetensors writes several in an order that changes from call to call.
        return bytes(save(tensors, {"edgebed": json.dumps(about, sort_keys=True)}))

    @classmethod
    def from_bytes(cls, data: bytes) -> "CandidateWeights":
        """The actor of such a file. Raises ModelError for bytes that are damaged or of a format that is not known."""
        remedy = "the file is damaged or not a candidate actor; fetch or train it again"
        try:
            tensors = load(data)
            about = about_of(data)
        except (SafetensorError, ValueError, TypeError) as error:
            raise ModelError("actor", str(error), remedy) from error
        if about.get("format") != FORMAT:
            raise ModelError("actor.format", about.get("format"), f"this version reads {FORMAT!r}")
        try:
            observation = CandidateSpecification(**about["observation"])
            pairs = [(tensors[f"layers.{k}.weight"], tensors[f"layers.{k}.bias"]) for k in range(3)]
            ask = about["ask"]
            ranges = {str(name): (float(low), float(high)) for name, (low, high) in about["ranges"].items()}
        except ModelError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError("actor", f"{type(error).__name__} {error}", remedy) from error
        if about.get("observationDigest") != observation.digest:
            said = "the columns of its observation are not those of this version; train the model again"
            raise ModelError("actor.observationDigest", about.get("observationDigest"), said)
        return cls((pairs[0], pairs[1], pairs[2]), ranges, ask, observation)

    def require(self, observation: ObservationSpecification) -> None:
        """As in `ActorWeights`: every network will do, because `from_bytes` has refused what means something else."""


def about_of(data: bytes) -> dict[str, Any]:
    """What the metadata of an actor's file say, of any format. Raises ValueError or TypeError for what is no such file."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return dict(json.loads(dict(header.get("__metadata__") or {}).get("edgebed", "{}")))


class CandidateScorer:
    """The actor in one network. Not safe to share between threads."""

    def __init__(self, weights: CandidateWeights, observation: CandidateObservation) -> None:
        self.observation = observation
        (w0, b0), (w1, b1), (w2, b2) = weights.layers
        s = weights.observation.static_size
        self._static, self._b0 = w0[:s], b0
        self._w0, self._w1, self._b1, self._w2, self._b2 = w0[s:].copy(), w1, b1, w2[:, 0].copy(), b2[0]
        self._rows: dict[int, Array] = {}

    def bias(self, source: int) -> Array:
        """(N, H) the first layer's share of the static part, for tasks of one node."""
        if source not in self._rows:
            self._rows[source] = self.observation.static(source) @ self._static + self._b0
        return self._rows[source]

    @cached_property
    def _table(self) -> Array:
        """(N, N, H) that of all nodes."""
        return np.stack([self.bias(i) for i in range(self.observation.nodes)])

    def scores(self, source: NDArray[np.int64], dynamic: Array, wanted: NDArray[np.bool_]) -> Array:
        """(R, N) scores of the candidates of R tasks that see `dynamic`, (R, N, D); -inf where not `wanted`, (R, N)."""
        out = np.full(wanted.shape, -np.inf, dtype=np.float32)
        row, column = np.nonzero(wanted)
        table = self._table
        for begin in range(0, len(row), _CHUNK):
            r, j = row[begin : begin + _CHUNK], column[begin : begin + _CHUNK]
            h1 = dynamic[r, j] @ self._w0
            h1 += table[source[r], j]
            np.maximum(h1, 0, out=h1)
            h2 = h1 @ self._w1
            h2 += self._b1
            np.maximum(h2, 0, out=h2)
            out[r, j] = h2 @ self._w2 + self._b2
        return out


class LoneScorer:
    """The actor at one node, for one task at a time: the numbers of `CandidateObservation.dynamic` in buffers of its own.

    A call of numpy costs as much as the arithmetic of one quantity, so there are few: candidates are columns; what is
    linear in the task is one product; the numbers are not scaled, the weights are; slack is negative, so that one limit
    from above serves all; biases are limits from below. Single numbers are written through views of the memory, in a tenth
    of numpy's time. Not safe to share between threads.
    """

    def __init__(self, weights: CandidateWeights, observation: CandidateObservation, source: int) -> None:
        (w0, b0), (w1, b1), (w2, _) = weights.layers  # the last bias is the same for all
        static, n, hidden = weights.observation.static_size, observation.nodes, w1.shape
        self.source, self._observation, self._n = source, observation, n
        self._scale = DYNAMIC_SCALE.copy()
        self._scale[[3, 11]] *= -1.0  # lateness is seen, and slack is meant
        self._w0 = np.ascontiguousarray((w0[static:] * self._scale[:, None])[_ROWS].T)
        self._w1, self._w2 = np.ascontiguousarray(w1.T), np.append(w2[:, 0], np.float32(1.0))
        # The biases of both layers and of the score, per candidate: max(a + b, 0) = max(a, -b) + b, and the last term goes on
        # to the next product. What arrives at the score is one more row of the second layer, with weight 1.
        first = (observation.static(source) @ w0[:static] + b0).T
        second = self._w1 @ first + b1[:, None]
        self._floor1, self._floor2 = np.ascontiguousarray(-first), np.ascontiguousarray(-second)
        self._far = np.repeat(FAR / DYNAMIC_SCALE[:5, None], n, axis=1)
        rate, capacity, alpha, beta = observation.of_source(source)
        self._capacity_hz = float(capacity[source])
        # The first five columns of DYNAMIC, but the sending backlog, from size / d, cycles / d, size, cycles and 1.
        linear = np.zeros((5, 5, n))
        transmission, execution, _, late, hazard = range(5)
        linear[0, transmission], linear[1, execution] = 1 / rate, 1 / capacity
        linear[0, late], linear[1, late], linear[4, late] = 1 / rate, 1 / capacity, -1.0
        linear[2, hazard], linear[3, hazard] = beta / rate, alpha / capacity
        self._linear = linear.reshape(5, 5 * n)
        self._task = np.ones(5)
        # Views of parts are made once, because making one costs as much as what is done with it.
        self._quantities = np.empty((5, n))
        self._flat, self._sending, self._late = self._quantities.reshape(-1), self._quantities[2], self._quantities[3]
        self._x = np.zeros((weights.observation.dynamic_size, n), dtype=np.float32)
        self._first, self._bits, self._all, self._told = self._x[:5], self._x[5], self._x[6:10], self._x[10:]
        self._answered = False  # whether seconds of others are in `_told`
        self._of_all = np.empty((4, 1), dtype=np.float32)
        self._in_time = np.empty(n, dtype=np.bool_)
        self._pack, self._sending_bytes = Struct(f"{n}d").pack_into, self._sending.data.cast("B")
        self._task_cell, self._late_cell = (a.data.cast("B").cast("d") for a in (self._task, self._late))
        self._cell, self._of_all_cell = (a.data.cast("B").cast("f") for a in (self._x, self._of_all))
        self._h1, self._with_bias = (np.empty((size, n), dtype=np.float32) for size in (hidden[0], hidden[1] + 1))
        self._h2, self._with_bias[-1] = self._with_bias[:-1], w2[:, 0] @ second
        self._scored, self._chance = np.empty((2, n), dtype=np.float32)

    def decide(
        self,
        ask: Ask,
        task: tuple[float, float, float],
        sending_backlog_s: Sequence[float],
        available: NDArray[np.bool_],
        backlog_s: NDArray[np.float64],
        uniform: float | None,
    ) -> tuple[int, float]:
        """Where one task (size, cycles, deadline) goes, and with which chance; the likeliest where `uniform` is None.

        `sending_backlog_s`, `available` and `backlog_s` have N entries; of the last, only what `ask` may know is used.
        """
        i, d, cell = self.source, task[2], self._cell
        self._see(task, sending_backlog_s, available, float(backlog_s[i]))
        if ask.everyone or ask.count >= self._n - 1:
            self._tell(slice(None), backlog_s, d)
        elif ask.count:
            first = self._scores()
            first[~available] = -np.inf
            first[i] = -np.inf
            self._tell(np.argpartition(-first, ask.count - 1)[: ask.count], backlog_s, d)
        scores, bits, mine = self._scores(), self._bits, 5 * self._n + i
        own, cell[mine] = cell[mine], 1.0  # it may always choose itself
        if uniform is None:
            scores[bits == 0] = -np.inf
            chosen = int(scores.argmax()), 1.0
        else:
            chosen = choose(scores, bits, uniform, self._chance)
        cell[mine] = own
        return chosen

    @property
    def seen(self) -> Array:
        """(N, D) what it saw last, as `CandidateObservation.dynamic` has it: for tests."""
        return self._x[np.argsort(_ROWS)].T * self._scale

    def _see(
        self,
        task: tuple[float, float, float],
        sending_backlog_s: Sequence[float],
        available: NDArray[np.bool_],
        own_backlog_s: float,
    ) -> None:
        """Fills the observation, with nobody's seconds of work but its own."""
        if self._answered:
            self._told.fill(0.0)
            self._answered = False
        i, n, observation, cell = self.source, self._n, self._observation, self._cell
        size, cycles, d = task
        to, of_all = self._task_cell, self._of_all_cell
        to[0], to[1], to[2], to[3] = size / d, cycles / d, size, cycles
        self._task.dot(self._linear, out=self._flat)
        sending, late, in_time = self._sending, self._late, self._in_time
        self._pack(self._sending_bytes, 0, *sending_backlog_s)
        np.divide(sending, d, out=sending)
        np.add(late, sending, out=late)
        own = own_backlog_s / d if own_backlog_s > 0.0 else 0.0
        own_late = own + cycles / d / self._capacity_hz - 1.0
        self._late_cell[i] = own_late
        first = self._first
        first[:] = self._quantities
        np.minimum(first, self._far, out=first)
        self._bits[:] = available
        np.less_equal(late, _NONE, out=in_time)
        free = available.tolist().count(True)
        if free < n:
            np.logical_and(in_time, available, out=in_time)
        size, cycles = size / observation.mean_size_bits, cycles / observation.mean_cycles
        of_all[0], of_all[3] = free / n, in_time.tolist().count(True) / n
        of_all[1], of_all[2] = size if size < FAR else FAR, cycles if cycles < FAR else FAR
        self._all[:] = self._of_all
        cell[10 * n + i] = 1.0
        cell[11 * n + i], cell[12 * n + i] = own if own < FAR else FAR, own_late if own_late < FAR else FAR

    def _tell(self, nodes: slice | NDArray[np.int64], backlog_s: NDArray[np.float64], d: float) -> None:
        """Fills in the seconds of work of some nodes."""
        told, (transmission, execution, sending, _, _) = self._told, self._quantities
        backlog = backlog_s[nodes] / d
        finish = np.maximum(transmission[nodes] + sending[nodes], backlog) + execution[nodes]
        self._answered = True
        told[0, nodes] = 1.0
        told[1, nodes] = np.minimum(backlog, FAR)
        told[2, nodes] = np.minimum(finish - 1.0, FAR)

    def _scores(self) -> Array:
        """(N,) scores of the present observation, in a buffer of its own."""
        h1, h2, scores = self._h1, self._h2, self._scored
        self._w0.dot(self._x, out=h1)
        np.maximum(h1, self._floor1, out=h1)
        self._w1.dot(h1, out=h2)
        np.maximum(h2, self._floor2, out=h2)
        self._w2.dot(self._with_bias, out=scores)
        return scores


def allowed(known: Known) -> NDArray[np.bool_]:
    """(R, N) which nodes may be chosen: the available ones, and the node itself."""
    own: NDArray[np.bool_] = np.arange(known.available.shape[1]) == known.source[:, None]
    return known.available | own


def observe(ask: Ask, scorer: CandidateScorer, known: Known) -> Array:
    """(R, N, D) what the actor sees, of what is known when all would answer.

    With a number to ask, it asks those that it scores best without asking.
    """
    observation = scorer.observation
    if ask.everyone or ask.count >= observation.nodes - 1:
        return observation.dynamic(known)
    own = np.arange(observation.nodes) == known.source[:, None]
    dynamic = observation.dynamic(replace(known, told=own))
    if ask.count == 0:
        return dynamic
    scores = scorer.scores(known.source, dynamic, allowed(known) & ~own)
    asked = np.argpartition(-scores, ask.count - 1, axis=1)[:, : ask.count]
    told = own.copy()
    np.put_along_axis(told, asked, True, axis=1)
    return observation.dynamic(replace(known, told=told))


def chances(scores: Array) -> NDArray[np.float64]:
    """(R, N) the softmax of scores, 0 where they are -inf."""
    shifted: NDArray[np.float64] = np.exp(scores - scores.max(axis=1, keepdims=True), dtype=np.float64)
    shifted /= shifted.sum(axis=1, keepdims=True)
    return shifted


def sample(chance: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """(R,) nodes by the inverse of the distribution function at `uniform`, (R,) in [0, 1)."""
    sums = np.cumsum(chance, axis=1)
    target = np.minimum(uniform * sums[:, -1], np.nextafter(sums[:, -1], 0.0))
    node: NDArray[np.int64] = (sums <= target[:, None]).sum(axis=1)
    return node
