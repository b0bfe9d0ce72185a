"""Where chance enters: named streams for drawing, and a counter-based hash for deciding.

Everything random follows from a seed and a name, never from the order in which things happen. So the network of
seed 3, the tasks of its 17th evaluation episode, and the coin that node 5 tosses in slot 42 are the same in the
simulator, as processes and as pods, and two methods meet the same luck.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Stream(IntEnum):
    """What a generator is used for; the number is part of the seed, so it must never change."""

    NETWORK = 1
    COLLECT = 2
    ONLINE = 3
    EVALUATE = 4
    PRICES = 5
    CURVE = 6
    LEARNING = 7
    CALIBRATE = 8
    ENVIRONMENT = 9
    TRAINING = 10


def generator(seed: int, stream: Stream, *index: int) -> np.random.Generator:
    """The generator of one stream of one seed, e.g. `generator(3, Stream.EVALUATE, episode)`."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy=seed, spawn_key=(int(stream), *index))))


_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-53


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * _M1
    z = (z ^ (z >> np.uint64(27))) * _M2
    return z ^ (z >> np.uint64(31))


def decision_uniforms(
    key: NDArray[np.uint64], slot: int | NDArray[np.int64], node: NDArray[np.int64], draws: int
) -> NDArray[np.float64]:
    """Uniforms on [0, 1) for the decisions of some nodes, shape (rows, draws).

    `key` is the decision key of each row's episode, shape (rows,). The value depends on key, slot, node and position
    only, so a node that decides alone draws what the simulator draws for thousands.
    """
    with np.errstate(over="ignore"):
        counter = np.asarray(slot, dtype=np.uint64) * np.uint64(1 << 20) + node.astype(np.uint64)
        row = _mix(key + _GAMMA * (counter + np.uint64(1)))
        columns = np.arange(1, draws + 1, dtype=np.uint64) * _GAMMA
        bits = _mix(row[:, None] + columns[None, :])
    return (bits >> np.uint64(11)).astype(np.float64) * _TO_UNIT
