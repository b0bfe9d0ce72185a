"""The trained actor as a node runs it: three matrices and numpy, nothing else.

One actor serves every node of one network (paper section IV.C). It scores the N nodes and "no task"; a softmax over the
nodes that may be chosen decides. Within a network most of its input never changes, so that part is folded into one
first-layer bias per node (`ActorWeights.fold`), and only the dynamic part is multiplied at each decision.

    folded = weights.fold(observation.static(network))
    folded.decide(3, dynamic, available, uniform)           # one task: a node's path, a few microseconds
    folded.sample(source, dynamic, available, uniform)      # thousands of tasks: a simulator's path

Both paths sum the same unnormalised probabilities in the same order in double precision. Matrix products of different
sizes may still round differently in the last bit of single precision, so they can part where a uniform falls within
1e-6 of a boundary. A `FoldedActor` owns its buffers: give every thread its own.
"""

import json
from bisect import bisect_right
from dataclasses import asdict, dataclass, fields
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.observation import ObservationSpecification

Array = NDArray[np.float32]

FORMAT = "edgebed-actor/v1"

ACTION_ORDER = "nodes in index order, then no task"
"""What output k means; stored with every model, and refused when it differs."""

MAXIMUM_BYTES = 100_000
"""Size that an actor's file must stay below (paper section VI.B); a larger network than 40 nodes may need more."""

_CHUNK = 2048  # rows per pass: activations of 2048 x 64 floats stay in the second-level cache

_SAFE = np.float32(80)  # exp of it is finite; rows with such scores are done again with a common shift


def check_layers(layers: tuple[tuple[Array, Array], ...], inputs: int, last: int) -> None:
    """Raises ModelError for layers that do not fit together from `inputs` to `last` numbers, or are no float32."""
    for index, (weight, bias) in enumerate(layers):
        outputs = last if index == len(layers) - 1 else weight.shape[-1]
        if weight.shape != (inputs, outputs) or bias.shape != (outputs,):
            shapes = f"weight {weight.shape}, bias {bias.shape}"
            raise ModelError(f"layers[{index}]", shapes, f"give weight ({inputs}, {outputs}) and bias ({outputs},)")
        if weight.dtype != np.float32 or bias.dtype != np.float32:
            raise ModelError(f"layers[{index}]", f"{weight.dtype}, {bias.dtype}", "give float32 arrays")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ModelError(f"layers[{index}]", "not finite", "the training diverged; train with a smaller step")
        inputs = outputs


@dataclass(frozen=True, eq=False)
class ActorWeights:
    """A two-hidden-layer perceptron with ReLU. A layer is `x @ weight + bias`, weight of shape (inputs, outputs)."""

    observation: ObservationSpecification
    """What the inputs mean: S static, then D dynamic numbers."""
    layers: tuple[tuple[Array, Array], tuple[Array, Array], tuple[Array, Array]]
    """(weight, bias) of each layer; the last has N + 1 outputs in `ACTION_ORDER`."""

    def __post_init__(self) -> None:
        check_layers(self.layers, self.observation.static_size + self.observation.dynamic_size, self.nodes + 1)

    @property
    def nodes(self) -> int:
        """N."""
        return self.observation.nodes

    def fold(self, static: Array) -> "FoldedActor":
        """The actor of one network, whose nodes' static observations are `static`, shape (N, S)."""
        return FoldedActor(self, static)

    def probabilities(
        self, static: Array, dynamic: Array, available: NDArray[np.bool_], source: NDArray[np.int64]
    ) -> Array:
        """(rows, N) with which each node is chosen for a task at `source`; see `FoldedActor.probabilities`."""
        return self.fold(static).probabilities(source, dynamic, available)

    def to_bytes(self) -> bytes:
        """The actor's file: safetensors with what the numbers mean as metadata."""
        tensors = {}
        for index, (weight, bias) in enumerate(self.layers):
            tensors[f"layers.{index}.weight"] = np.ascontiguousarray(weight)
            tensors[f"layers.{index}.bias"] = np.ascontiguousarray(bias)
        about = {
            "format": FORMAT,
            "actionOrder": ACTION_ORDER,
            "observation": asdict(self.observation),
            "observationDigest": self.observation.digest,
        }
        # One entry, because safetensors writes several in an order that changes from call to call.
        return bytes(save(tensors, {"edgebed": json.dumps(about, sort_keys=True)}))

    @classmethod
    def from_bytes(cls, data: bytes) -> "ActorWeights":
        """The actor of such a file. Raises ModelError for bytes that are damaged or of a format that is not known."""
        remedy = "the file is damaged or not an actor; fetch or train it again"
        try:
            tensors = load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            about = dict(json.loads(dict(header.get("__metadata__") or {}).get("edgebed", "{}")))
        except (SafetensorError, ValueError, TypeError) as error:
            raise ModelError("actor", str(error), remedy) from error
        for key, known in (("format", FORMAT), ("actionOrder", ACTION_ORDER)):
            if about.get(key) != known:
                raise ModelError(f"actor.{key}", about.get(key), f"this version reads {known!r}")
        try:
            observation = ObservationSpecification(**about["observation"])
            pairs = [(tensors[f"layers.{k}.weight"], tensors[f"layers.{k}.bias"]) for k in range(3)]
        except (KeyError, TypeError) as error:
            raise ModelError("actor", f"{type(error).__name__} {error}", remedy) from error
        if about.get("observationDigest") != observation.digest:
            raise ModelError("actor.observationDigest", about.get("observationDigest"), remedy)
        return cls(observation, (pairs[0], pairs[1], pairs[2]))

    def require(self, observation: ObservationSpecification) -> None:
        """Raise ModelError, naming the first difference, unless the actor was trained with this observation."""
        for field in fields(observation):
            mine, theirs = getattr(self.observation, field.name), getattr(observation, field.name)
            if mine != theirs:
                remedy = f"the actor was trained with {mine!r}; use it there, or train one for this observation"
                raise ModelError(f"observation.{field.name}", theirs, remedy)


class FoldedActor:
    """An actor whose static input is folded into one first-layer bias per node. Not safe to share between threads."""

    def __init__(self, weights: ActorWeights, static: Array) -> None:
        n, s, d = weights.nodes, weights.observation.static_size, weights.observation.dynamic_size
        if static.shape != (n, s):
            raise ModelError("static", static.shape, f"an actor for {n} nodes needs shape ({n}, {s})")
        (w0, b0), (w1, b1), (w2, b2) = weights.layers
        self.nodes = n
        self._bias = static @ w0[:s] + b0
        self._w0, self._w1, self._b1 = w0[s:].copy(), w1, b1
        # A task may be sent to a node but never to "no task": its column is not computed.
        self._w2, self._b2 = np.ascontiguousarray(w2[:, :n]), b2[:n]
        # One decision: an input that is always 1 turns each bias into a row of its matrix, so a layer is one product.
        self._one0 = [np.concatenate([self._w0, bias[None]]) for bias in self._bias]
        self._one1 = np.concatenate([w1, b1[None]])
        self._one2 = np.concatenate([self._w2, self._b2[None]])
        self._x = np.ones(d + 1, dtype=np.float32)
        self._h1 = np.ones(w1.shape[0] + 1, dtype=np.float32)
        self._h2 = np.ones(w2.shape[0] + 1, dtype=np.float32)
        self._dynamic, self._a1, self._a2 = self._x[:-1], self._h1[:-1], self._h2[:-1]
        self._logits = np.empty(n, dtype=np.float32)
        self._chance = np.empty(n, dtype=np.float32)
        self._mask = np.empty(n, dtype=np.float32)
        self._zero = np.zeros((), dtype=np.float32)

    def decide(self, source: int, dynamic: Array, available: NDArray[np.bool_], uniform: float) -> int:
        """Where one task at `source` goes: the inverse of the distribution function at `uniform` in [0, 1).

        `dynamic` has shape (D,), `available` (N,); the node itself is always available.
        """
        return self.decide_with_chance(source, dynamic, available, uniform)[0]

    def decide_with_chance(
        self, source: int, dynamic: Array, available: NDArray[np.bool_], uniform: float
    ) -> tuple[int, float]:
        """As `decide`, and with which probability that node was to be chosen."""
        a1, a2, mask, zero = self._a1, self._a2, self._mask, self._zero
        self._dynamic[:] = dynamic
        self._x.dot(self._one0[source], a1)
        np.maximum(a1, zero, out=a1)
        self._h1.dot(self._one1, a2)
        np.maximum(a2, zero, out=a2)
        self._h2.dot(self._one2, self._logits)
        mask[:] = available
        mask[source] = 1.0
        return choose(self._logits, mask, uniform, self._chance)

    def logits(self, source: NDArray[np.int64], dynamic: Array) -> Array:
        """(rows, N) scores of the nodes for tasks at `source`, shape (rows,), that see `dynamic`, shape (rows, D)."""
        rows = len(source)
        out = np.empty((rows, self.nodes), dtype=np.float32)
        h1 = np.empty((min(rows, _CHUNK), self._w0.shape[1]), dtype=np.float32)
        bias = np.empty_like(h1)
        h2 = np.empty((min(rows, _CHUNK), self._w1.shape[1]), dtype=np.float32)
        for begin in range(0, rows, _CHUNK):
            part = slice(begin, min(begin + _CHUNK, rows))
            m = part.stop - begin
            np.matmul(dynamic[part], self._w0, out=h1[:m])
            np.take(self._bias, source[part], axis=0, out=bias[:m], mode="clip")  # without "clip" numpy buffers `out`
            h1[:m] += bias[:m]
            np.maximum(h1[:m], self._zero, out=h1[:m])
            np.matmul(h1[:m], self._w1, out=h2[:m])
            h2[:m] += self._b1
            np.maximum(h2[:m], self._zero, out=h2[:m])
            np.matmul(h2[:m], self._w2, out=out[part])
        out += self._b2
        return out

    def probabilities(self, source: NDArray[np.int64], dynamic: Array, available: NDArray[np.bool_]) -> Array:
        """(rows, N) with which each node is chosen; `available` has shape (rows, N), the node itself always is."""
        chance = self._chances(source, dynamic, available)
        chance /= chance.sum(axis=1, keepdims=True)
        return chance

    def sample(
        self, source: NDArray[np.int64], dynamic: Array, available: NDArray[np.bool_], uniform: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(rows,) nodes chosen by the inverse of the distribution function at `uniform`, and their probabilities."""
        chance = self._chances(source, dynamic, available)
        sums = np.cumsum(chance, axis=1, dtype=np.float64)
        total = sums[:, -1]
        target = np.minimum(uniform * total, np.nextafter(total, 0.0))
        node = (sums <= target[:, None]).sum(axis=1)
        return node, np.take_along_axis(chance, node[:, None], axis=1)[:, 0] / total

    def greedy(self, source: NDArray[np.int64], dynamic: Array, available: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(rows,) the available node with the highest score. It herds: sampling is better unless trained for this."""
        logits = self.logits(source, dynamic)
        best: NDArray[np.int64] = np.where(_with_self(available, source), logits, np.float32(-np.inf)).argmax(axis=1)
        return best

    def _chances(self, source: NDArray[np.int64], dynamic: Array, available: NDArray[np.bool_]) -> Array:
        """(rows, N) unnormalised probabilities, as `decide` computes them."""
        logits = self.logits(source, dynamic)
        mask = _with_self(available, source)
        chance = np.minimum(logits, _SAFE)
        np.exp(chance, chance)
        chance *= mask
        total = chance.sum(axis=1, dtype=np.float64)
        unsafe = ~((total > 1e-30) & (total < 1e30))
        if unsafe.any():
            chance[unsafe] = _masked_exp(logits[unsafe], mask[unsafe])
        return chance


def choose(scores: Array, mask: Array, uniform: float, spare: Array) -> tuple[int, float]:
    """One node by the inverse of the distribution function at `uniform` in [0, 1), and with which chance: one row, fast.

    `mask`, 1 for the nodes that may be chosen and 0 for the others, at least one of them 1, and `spare`, which is
    overwritten, are float32 like `scores`, (N,).
    """
    np.minimum(scores, _SAFE, out=spare)
    np.exp(spare, spare)
    np.multiply(spare, mask, spare)
    sums = list(accumulate(spare.tolist()))
    total = sums[-1]
    if not 1e-30 < total < 1e30:  # scores so large or small that their exponentials need a common shift
        np.copyto(spare, _masked_exp(scores[None], mask[None] > 0)[0])
        sums = list(accumulate(spare.tolist()))
        total = sums[-1]
    target = uniform * total
    node = bisect_right(sums, min(target, np.nextafter(total, 0.0)) if uniform > 0.999 else target)
    return node, float(spare[node]) / total


def _with_self(available: NDArray[np.bool_], source: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.array(available, dtype=np.bool_)
    mask[np.arange(len(source)), source] = True
    return mask


def _masked_exp(logits: Array, mask: NDArray[np.bool_]) -> Array:
    """exp(logit - largest available logit), 0 where masked."""
    masked = np.where(mask, logits, np.float32(-np.inf))
    chance: Array = np.exp(masked - masked.max(axis=1, keepdims=True))
    return chance
