"""What a run measured: counts per episode, delays, and the learning curve. Everything reported follows from these.

One outcome belongs to one method, replicate and training seed; methods of one replicate are measured on the same
episodes, in the same order.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgebed.systems.cooperative.rules import Horizon


@dataclass(frozen=True)
class EpisodeCounts:
    """What became of the tasks of one episode."""

    succeeded: int
    dropped: int
    failed: int
    unfinished: int
    """Cut off by the horizon."""
    offloaded: int
    """Tasks that were sent to another node."""
    messages: int
    """Questions that policies asked other nodes."""
    delay_s_mean: float | None
    """From arrival to end, of the succeeded tasks; None when there are none."""

    @property
    def tasks(self) -> int:
        """All tasks that arrived."""
        return self.succeeded + self.dropped + self.failed + self.unfinished

    def success_rate(self, horizon: Horizon) -> float:
        """Eq. 9; NaN without a task. What the horizon cut off is dropped, or under `cutIgnore` not counted."""
        unfinished = 0 if horizon is Horizon.CUT_IGNORE else self.unfinished
        counted = self.succeeded + self.dropped + self.failed + unfinished
        return self.succeeded / counted if counted else math.nan


@dataclass(frozen=True)
class CurvePoint:
    """The learning curve at one moment: success rates on the curve's episodes, which are the same at every point."""

    online_episodes: int
    """Played before this point."""
    success_rates: tuple[float, ...]
    """One per evaluation episode; NaN for an episode without a task."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "success_rates", tuple(float(rate) for rate in self.success_rates))

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        rates = [None if math.isnan(rate) else rate for rate in self.success_rates]
        return {"onlineEpisodes": self.online_episodes, "successRates": rates}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "CurvePoint":
        """The inverse of `to_document`."""
        rates = (math.nan if rate is None else rate for rate in document["successRates"])
        return cls(document["onlineEpisodes"], tuple(rates))


@dataclass(frozen=True)
class Outcome:
    """What one method did on one network, after one training."""

    episodes: tuple[EpisodeCounts, ...]
    """The evaluation's, in order."""
    delay_quantiles_s: Mapping[str, float]
    """Delays of succeeded tasks of all episodes, by name such as `p50`; empty when none succeeded."""
    curve: tuple[CurvePoint, ...] = ()
    """In order of online episodes, beginning at 0; empty for what does not learn online."""

    def success_rates(self, horizon: Horizon) -> tuple[float, ...]:
        """One per evaluation episode."""
        return tuple(episode.success_rate(horizon) for episode in self.episodes)

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "episodes": [asdict(episode) for episode in self.episodes],
            "delayQuantilesSeconds": dict(self.delay_quantiles_s),
            "curve": [point.to_document() for point in self.curve],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Outcome":
        """The inverse of `to_document`."""
        return cls(
            tuple(EpisodeCounts(**episode) for episode in document["episodes"]),
            dict(document["delayQuantilesSeconds"]),
            tuple(CurvePoint.from_document(point) for point in document["curve"]),
        )


Outcomes = Mapping[tuple[str, int, int], Outcome]
"""By method, replicate and training seed; a policy that is not trained has training seed 0 only."""


def runs(outcomes: Outcomes, method: str, replicates: int) -> Sequence[Sequence[Outcome]]:
    """The outcomes of a method by replicate and training seed. Raises ValueError when one is missing."""
    seeds = sorted({seed for name, _, seed in outcomes if name == method})
    missing = [(r, s) for r in range(replicates) for s in seeds if (method, r, s) not in outcomes]
    if not seeds or missing:
        raise ValueError(f"no outcome of {method} for replicate and training seed {missing[0] if missing else 'any'}")
    return [[outcomes[method, r, s] for s in seeds] for r in range(replicates)]
