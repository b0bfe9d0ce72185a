"""Networks: what a network file may say, what is refused and with which words, and drawing that repeats itself."""

import copy
import math
from typing import Any

import numpy as np
import pytest

from edgebed.systems.cooperative.distributions import Choice, Uniform
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import Network, NetworkModel

MODEL = NetworkModel(
    nodes=5,
    cores=Choice((4, 8, 16)),
    core_frequency_hz=3e9,
    arrival_probability=Uniform(0, 1),
    execution_failure_rate=Uniform(0, 0.1),
    link_rate_bits_per_s=Uniform(1e6, 4e6),
    link_failure_rate=Uniform(0, 0.03),
)


def document() -> dict[str, Any]:
    return {
        "capacityHz": [3e9, 6e9],
        "arrivalProbability": [0.5, 1],
        "executionFailureRate": [0, 0.1],
        "linkRateBitsPerSecond": [[0, 1e6], [2e6, -1]],
        "linkFailureRate": [[math.nan, 0.1], [0.2, 0]],
    }


def test_a_document_is_read_and_its_diagonal_ignored() -> None:
    """Whatever stands on the diagonal; cores follow from the capacity unless they are given."""
    network = Network.from_document(document())
    assert network.nodes == 2
    assert network.cores.tolist() == [1, 2]
    assert network.link_rate_bits_per_s[0, 1] == 1e6
    assert network.link_failure_rate[1, 0] == 0.2
    assert Network.from_document({**document(), "cores": [3, 4]}).cores.tolist() == [3, 4]


def test_a_document_comes_back() -> None:
    """`to_document` says what `from_document` reads, apart from the diagonal."""
    network = MODEL.draw(1)
    again = Network.from_document(network.to_document())
    others = ~np.eye(5, dtype=bool)
    for name, values in vars(network).items():
        back = getattr(again, name)
        assert np.array_equal(back[others], values[others]) if values.ndim == 2 else np.array_equal(back, values)


def test_a_network_cannot_be_changed() -> None:
    """What several policies, episodes and threads share stays as it was drawn."""
    with pytest.raises(ValueError, match="read-only"):
        MODEL.draw(1).capacity_hz[0] = 1.0


@pytest.mark.parametrize(
    ("key", "value", "field", "remedy"),
    [
        ("capacityHz", [], "capacityHz", "1 to 1000 nodes"),
        ("capacityHz", 3e9, "capacityHz", "a list of numbers"),
        ("capacityHz", [[3e9, 6e9]], "capacityHz", "a list of numbers"),
        ("capacityHz", [3e9, "fast"], "capacityHz", "a list of numbers"),
        ("capacityHz", [3e9, "6e9"], "capacityHz[1]", "number"),
        ("capacityHz", [3e9, True], "capacityHz[1]", "number"),
        ("capacityHz", [3e9, None], "capacityHz[1]", "number"),
        ("capacityHz", [3e9, 0], "capacityHz[1]", "over 0"),
        ("capacityHz", [3e9, math.inf], "capacityHz[1]", "finite"),
        ("cores", [1, 0], "cores[1]", "over 0"),
        ("cores", [1], "cores", "2 nodes"),
        ("arrivalProbability", [0.5, 1.1], "arrivalProbability[1]", "at most 1"),
        ("arrivalProbability", [-0.1, 1], "arrivalProbability[0]", "at least 0"),
        ("arrivalProbability", [0.5], "arrivalProbability", "2 nodes"),
        ("executionFailureRate", [0, -0.1], "executionFailureRate[1]", "at least 0"),
        ("executionFailureRate", [0, math.nan], "executionFailureRate[1]", "finite"),
        ("linkRateBitsPerSecond", [1e6, 1e6], "linkRateBitsPerSecond", "rows of numbers"),
        ("linkRateBitsPerSecond", [[1, 1], [1]], "linkRateBitsPerSecond", "equally long rows"),
        ("linkRateBitsPerSecond", [[1, 1]], "linkRateBitsPerSecond", "2 rows of 2"),
        ("linkRateBitsPerSecond", [[1, 1, 1]] * 3, "linkRateBitsPerSecond", "2 rows of 2"),
        ("linkRateBitsPerSecond", [[1, 0], [1, 1]], "linkRateBitsPerSecond[0][1]", "over 0"),
        ("linkRateBitsPerSecond", [[1, 1], [-5, 1]], "linkRateBitsPerSecond[1][0]", "over 0"),
        ("linkFailureRate", [[0, -1], [0, 0]], "linkFailureRate[0][1]", "at least 0"),
        ("linkFailureRate", [[0, 0], [math.inf, 0]], "linkFailureRate[1][0]", "finite"),
        ("capactyHz", [1, 1], "capactyHz", "capacityHz"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bad_documents_are_refused(key: str, value: object, field: str, remedy: str) -> None:
    """The error has the path of the value, the value, and what would be right."""
    bad = {**copy.deepcopy(document()), key: value}
    with pytest.raises(ModelError) as caught:
        Network.from_document(bad)
    assert caught.value.field == field
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("key", sorted(document()))
def test_missing_keys_are_named(key: str) -> None:
    """With the keys that a network file needs."""
    bad = document()
    del bad[key]
    with pytest.raises(ModelError, match=f"{key}: 'missing'"):
        Network.from_document(bad)


@pytest.mark.parametrize("value", [None, [], "network.json", 3])
def test_a_network_is_a_mapping(value: object) -> None:
    """Anything else is refused with the keys that it should have."""
    with pytest.raises(ModelError, match="capacityHz"):
        Network.from_document(value)


def test_a_seed_draws_one_network() -> None:
    """The same seed the same, another seed another; all values within their distributions."""
    first, again, other = MODEL.draw(3), MODEL.draw(3), MODEL.draw(4)
    assert first.to_document() == again.to_document()
    assert first.to_document() != other.to_document()
    assert set(first.cores) <= {4, 8, 16}
    assert (first.capacity_hz == first.cores * 3e9).all()
    assert ((first.link_rate_bits_per_s >= 1e6) & (first.link_rate_bits_per_s < 4e6)).all()


def test_one_node_needs_no_link() -> None:
    """A network of one node is a network."""
    single = {key: [1] for key in ("capacityHz", "arrivalProbability", "executionFailureRate")}
    network = Network.from_document({**single, "linkRateBitsPerSecond": [[0]], "linkFailureRate": [[0]]})
    assert network.nodes == 1
