"""Means with 95 % intervals, for two questions that are often confused.

*Over runs*: what would another network of the same kind give? Each replicate and training seed is one observation, and
Student's t says how far the mean may be off. With two networks it is wide, and rightly so.

*On these networks*: what would other tasks on the same networks give? Replicates are strata; within each, episodes
vary, and training seeds if there are several. The variances of the strata add up, with degrees of freedom after Welch
and Satterthwaite. Differences between methods on the same episodes have narrow intervals of this kind.

Arrays have shape (replicates, training seeds, episodes); NaN marks an episode without a task.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rates = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and the 95 % interval around it; no interval where there is one observation only."""

    mean: float
    low: float | None
    high: float | None

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def mean(values: Rates) -> float:
    """The mean of what is not NaN; NaN if nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def along(values: Rates, axis: int) -> Rates:
    """The mean of what is not NaN along an axis."""
    return np.apply_along_axis(mean, axis, values) if np.isnan(values).any() else values.mean(axis=axis)


def per_replicate(rates: Rates) -> Rates:
    """(replicates,) the mean over training seeds and episodes."""
    return along(along(rates, 2), 1)


def over_runs(rates: Rates) -> Interval | None:
    """The interval over replicates and training seeds; None with a single run."""
    return _t_interval(along(rates, 2).ravel()) if rates.shape[0] * rates.shape[1] > 1 else None


def on_these_networks(rates: Rates) -> Interval:
    """The interval over episodes, and training seeds, within the replicates."""
    middle = mean(per_replicate(rates))
    variances: list[tuple[float, int]] = []
    for stratum in rates:
        for values in (along(stratum, 0), along(stratum, 1)):  # episodes averaged over seeds; seeds over episodes
            known = values[~np.isnan(values)]
            if known.size > 1:
                variances.append((float(known.var(ddof=1)) / known.size / len(rates) ** 2, known.size - 1))
    if rates.shape[2] < 2 or not variances:  # one episode says nothing of the next
        return Interval(middle, None, None)
    total = sum(variance for variance, _ in variances)
    if total == 0:
        return Interval(middle, middle, middle)
    # Welch and Satterthwaite, in shares of the total: the square of a tiny variance would be zero
    freedom = 1 / sum((variance / total) ** 2 / degrees for variance, degrees in variances)
    half = _student(freedom) * math.sqrt(total)
    return Interval(middle, middle - half, middle + half)


def spread(rates: Rates) -> float | None:
    """The standard deviation over runs, or over episodes of a single run; None for a single value."""
    values = along(rates, 2).ravel()
    values = rates.ravel() if values.size == 1 else values
    values = values[~np.isnan(values)]
    return float(values.std(ddof=1)) if values.size > 1 else None


def interquartile_mean(values: Rates) -> float:
    """The mean of the middle half (Agarwal et al., NeurIPS 2021): little moved by single runs."""
    known = values[~np.isnan(values)]
    if not known.size:
        return math.nan
    cut = int(0.25 * known.size)
    # As scipy.stats does, which takes seconds to import, in every process that has to do with results.
    return float(np.mean(np.partition(known, (cut, known.size - cut - 1))[cut : known.size - cut]))


def _t_interval(values: Rates) -> Interval:
    known = values[~np.isnan(values)]
    middle = mean(values)
    if known.size < 2:
        return Interval(middle, None, None)
    half = _student(known.size - 1) * float(known.std(ddof=1)) / math.sqrt(known.size)
    return Interval(middle, middle - half, middle + half)


def _student(freedom: float) -> float:
    """The 97.5 % point of Student's distribution."""
    from scipy import special  # takes a second to import, and is needed at the very end only

    return float(special.stdtrit(freedom, 0.975))
