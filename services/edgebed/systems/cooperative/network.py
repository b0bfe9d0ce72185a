"""Nodes and links: drawn from distributions once per network seed, or given as explicit arrays.

A network file has the keys of `Network.to_document`; rows of the link arrays are senders, the diagonal is ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative.distributions import Constant, Distribution
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.randomness import Stream, generator

CORE_HZ = 3e9
"""Frequency of one core in the paper's setups; cores of a network file without them are capacityHz / CORE_HZ."""

BITS_PER_KB = 8 * 1024
"""Task sizes are given in KB of 1024 bytes."""

BITS_PER_MB = 8_000_000
"""Link rates are given in MB/s of 10^6 bytes per second."""

MAXIMUM_NODES = 1000

_REQUIRED = ("capacityHz", "arrivalProbability", "executionFailureRate", "linkRateBitsPerSecond", "linkFailureRate")


@dataclass(frozen=True, eq=False)
class Network:
    """N fully connected nodes; every array is float64 and read-only."""

    capacity_hz: NDArray[np.float64]
    """(N,) cycles per second; all cores of a node work on one task."""
    cores: NDArray[np.float64]
    """(N,) what the mask and RDA compare a queue length with."""
    arrival_probability: NDArray[np.float64]
    """(N,) chance that a task arrives in a slot, lambda."""
    execution_failure_rate: NDArray[np.float64]
    """(N,) alpha, per `failureUnit` of the rules."""
    link_rate_bits_per_s: NDArray[np.float64]
    """(N, N) r_ij from sender i to receiver j."""
    link_failure_rate: NDArray[np.float64]
    """(N, N) beta_ij, per `failureUnit` of the rules."""

    def __post_init__(self) -> None:
        n = len(self.capacity_hz)
        _check_nodes(n)
        _check("capacityHz", self.capacity_hz, (n,), low=0, strict=True)
        _check("cores", self.cores, (n,), low=0, strict=True)
        _check("arrivalProbability", self.arrival_probability, (n,), low=0, high=1)
        _check("executionFailureRate", self.execution_failure_rate, (n,), low=0)
        _check("linkRateBitsPerSecond", self.link_rate_bits_per_s, (n, n), low=0, strict=True)
        _check("linkFailureRate", self.link_failure_rate, (n, n), low=0)
        for array in vars(self).values():
            array.setflags(write=False)

    @property
    def nodes(self) -> int:
        """N."""
        return len(self.capacity_hz)

    def same(self, other: "Network") -> bool:
        """Whether another network has the same values; the diagonals, which mean nothing, are not compared."""
        others = ~np.eye(self.nodes, dtype=np.bool_)
        return self.nodes == other.nodes and all(
            np.array_equal(mine if mine.ndim == 1 else mine[others], theirs if theirs.ndim == 1 else theirs[others])
            for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)
        )

    @classmethod
    def from_document(cls, document: object) -> "Network":
        """A network from the keys of a network file.

        Raises ModelError with the key, what was found there and what would be right.
        """
        if not isinstance(document, Mapping):
            raise ModelError("network", type(document).__name__, f"give a mapping with the keys {', '.join(_REQUIRED)}")
        missing = [key for key in _REQUIRED if key not in document]
        if missing:
            raise ModelError(missing[0], "missing", f"a network file needs the keys {', '.join(_REQUIRED)}")
        unknown = sorted(str(key) for key in set(document) - {*_REQUIRED, "cores"})
        if unknown:
            raise ModelError(unknown[0], "unknown key", f"a network file has the keys {', '.join(_REQUIRED)} and cores")
        capacity = _array("capacityHz", document["capacityHz"], 1)
        n = len(capacity)
        _check_nodes(n)
        links = {key: _array(key, document[key], 2) for key in _REQUIRED[3:]}
        for key, matrix in links.items():
            if matrix.shape != (n, n):
                raise ModelError(key, f"shape {matrix.shape}", f"{n} nodes need {n} rows of {n} values")
            np.fill_diagonal(matrix, 1.0)  # ignored, but must be finite and positive to pass the checks
        return cls(
            capacity_hz=capacity,
            cores=_array("cores", document["cores"], 1) if "cores" in document else capacity / CORE_HZ,
            arrival_probability=_array("arrivalProbability", document["arrivalProbability"], 1),
            execution_failure_rate=_array("executionFailureRate", document["executionFailureRate"], 1),
            link_rate_bits_per_s=links["linkRateBitsPerSecond"],
            link_failure_rate=links["linkFailureRate"],
        )

    def to_document(self) -> dict[str, Any]:
        """The network as the keys of a network file."""
        return {
            "capacityHz": self.capacity_hz.tolist(),
            "cores": self.cores.tolist(),
            "arrivalProbability": self.arrival_probability.tolist(),
            "executionFailureRate": self.execution_failure_rate.tolist(),
            "linkRateBitsPerSecond": self.link_rate_bits_per_s.tolist(),
            "linkFailureRate": self.link_failure_rate.tolist(),
        }


@dataclass(frozen=True)
class NetworkModel:
    """Distributions from which networks are drawn (paper section V.A)."""

    nodes: int
    cores: Distribution
    core_frequency_hz: float
    arrival_probability: Distribution
    execution_failure_rate: Distribution
    link_rate_bits_per_s: Distribution
    link_failure_rate: Distribution

    def draw(self, seed: int) -> Network:
        """The network of one network seed. Nodes are drawn before links, quantity by quantity."""
        return self.draw_from(generator(seed, Stream.NETWORK))

    def draw_from(self, rng: np.random.Generator) -> Network:
        """A network of another stream, to train on for example."""
        n = self.nodes
        cores = self.cores.draw(rng, (n,))
        return Network(
            capacity_hz=cores * self.core_frequency_hz,
            cores=cores,
            arrival_probability=self.arrival_probability.draw(rng, (n,)),
            execution_failure_rate=self.execution_failure_rate.draw(rng, (n,)),
            link_rate_bits_per_s=self.link_rate_bits_per_s.draw(rng, (n, n)),
            link_failure_rate=self.link_failure_rate.draw(rng, (n, n)),
        )

    @classmethod
    def around(cls, network: Network) -> "NetworkModel":
        """The narrowest model that has this network's values as maxima: what normalises a given network's inputs."""
        others = ~np.eye(network.nodes, dtype=np.bool_)  # the diagonal is ignored
        return cls(
            nodes=network.nodes,
            cores=Constant(float(network.cores.max())),
            core_frequency_hz=float((network.capacity_hz / network.cores).max()),
            arrival_probability=Constant(1.0),
            execution_failure_rate=Constant(float(network.execution_failure_rate.max())),
            link_rate_bits_per_s=Constant(float(network.link_rate_bits_per_s[others].max(initial=0.0))),
            link_failure_rate=Constant(float(network.link_failure_rate[others].max(initial=0.0))),
        )


def _array(field: str, value: object, dimensions: int) -> NDArray[np.float64]:
    """`value` as a float array that the caller owns."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ModelError(
            field, value, f"give {'a list' if dimensions == 1 else 'equally long rows'} of numbers"
        ) from None
    if array.ndim != dimensions:
        raise ModelError(field, f"shape {array.shape}", f"give {'a list' if dimensions == 1 else 'rows'} of numbers")
    # numpy would take "1" and True for numbers.
    entries = np.array(value, dtype=object)
    if {type(entry) for entry in entries.flat} & {str, bool, np.bool_}:
        for index, entry in np.ndenumerate(entries):
            if isinstance(entry, str | bool | np.bool_):
                raise ModelError(field + "".join(f"[{i}]" for i in index), entry, "give a number")
    return array


def _check_nodes(n: int) -> None:
    if not 1 <= n <= MAXIMUM_NODES:
        raise ModelError("capacityHz", f"{n} nodes", f"a network has 1 to {MAXIMUM_NODES} nodes")


def _check(
    field: str,
    array: NDArray[np.float64],
    shape: tuple[int, ...],
    *,
    low: float,
    high: float = np.inf,
    strict: bool = False,
) -> None:
    if array.shape != shape:
        raise ModelError(
            field, f"shape {array.shape}", f"the network has {shape[0]} nodes, so the shape must be {shape}"
        )
    bad = ~np.isfinite(array) | (array < low) | (array > high) | (strict & (array == low))
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        span = f"a finite number {'over' if strict else 'of at least'} {low:g}" + (
            f" and at most {high:g}" if np.isfinite(high) else ""
        )
        raise ModelError(field + "".join(f"[{i}]" for i in index), float(array[index]), f"give {span}")
