"""What networks a candidate actor was trained on, and what of another network lies outside of that.

Quantities are those that the observation is made of, without dimension, so that a setup with other slots and deadlines is
outside only if it is really different. Names are those of the specification's fields.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from edgebed.systems.cooperative.candidate import CandidateObservation

Range = tuple[float, float]

SLACK = 0.02
"""A network may go beyond the training's extremes by this share of their span: draws do not reach their own limits."""


class OutsideTraining(UserWarning):
    """A network has values that the model has not met in training."""


def ranges(observation: CandidateObservation) -> dict[str, Range]:
    """Smallest and largest value of every quantity in one network."""
    network, d = observation.network, observation.mean_deadline_s
    others = ~np.eye(observation.nodes, dtype=np.bool_)
    rate = network.link_rate_bits_per_s[others]
    values: dict[str, ArrayLike] = {
        "nodes": observation.nodes,
        "load (arriving cycles / capacity)": observation.load,
        "arrivalProbability": network.arrival_probability,
        "execution time of the mean task / deadline": observation.mean_cycles / network.capacity_hz / d,
        "transmission time of the mean task / deadline": observation.mean_size_bits / rate / d,
        "executionFailureRate * deadline": observation.alpha * d,
        "linkFailureRate * deadline": observation.beta[others] * d,
        "slotSeconds / deadline": observation.slot_s / d,
    }
    return {name: (float(np.min(value)), float(np.max(value))) for name, value in values.items()}


def joined(many: Iterable[dict[str, Range]]) -> dict[str, Range]:
    """The ranges of several networks together."""
    out: dict[str, Range] = {}
    for one in many:
        for name, (low, high) in one.items():
            least, most = out.get(name, (low, high))
            out[name] = (min(least, low), max(most, high))
    return out


def outside(trained: dict[str, Range], observation: CandidateObservation) -> Iterator[str]:
    """A sentence for every quantity of a network that a model trained on these ranges has not met."""
    found = ranges(observation) if trained else {}
    for name, (low, high) in trained.items():
        least, most = found.get(name, (low, high))
        room = SLACK * (high - low) + 1e-9
        if least < low - room or most > high + room:
            span = f"{least:.3g}" if least == most else f"{least:.3g} to {most:.3g}"
            yield (
                f"{name}: {span} here, but the model was trained on {low:.3g} to {high:.3g}; its figures do not hold "
                "there, so compare it with ratc, or train one for such networks"
            )
