"""The distributions that a specification can name: a constant, a uniform interval, a choice among values."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Constant:
    """Always the same value."""

    value: float

    @property
    def maximum(self) -> float:
        """Largest value that can be drawn."""
        return self.value

    @property
    def mean(self) -> float:
        """Expected value."""
        return self.value

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Values of the given shape; takes nothing from `rng`."""
        return np.full(shape, self.value, dtype=np.float64)


@dataclass(frozen=True)
class Uniform:
    """Uniform on [low, high)."""

    low: float
    high: float

    @property
    def maximum(self) -> float:
        """Largest value that can be drawn."""
        return self.high

    @property
    def mean(self) -> float:
        """Expected value."""
        return (self.low + self.high) / 2

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Independent values of the given shape."""
        return rng.uniform(self.low, self.high, shape)


@dataclass(frozen=True)
class Choice:
    """Each of the values equally likely."""

    values: tuple[float, ...]

    @property
    def maximum(self) -> float:
        """Largest value that can be drawn."""
        return max(self.values)

    @property
    def mean(self) -> float:
        """Expected value."""
        return sum(self.values) / len(self.values)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Independent values of the given shape."""
        return np.asarray(self.values, dtype=np.float64)[rng.integers(0, len(self.values), shape)]


Distribution = Constant | Uniform | Choice
