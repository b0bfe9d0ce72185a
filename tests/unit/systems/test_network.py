"""Networks: drawn within their distributions and from the seed alone; files are refused by key, value and remedy."""

import copy
from typing import Any

import numpy as np
import pytest

from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import CORE_HZ, MAXIMUM_NODES, Network, NetworkModel

MODEL = NetworkModel(
    nodes=6,
    cores=Choice((4, 8, 16)),
    core_frequency_hz=2e9,
    arrival_probability=Uniform(0.25, 0.75),
    execution_failure_rate=Uniform(0.01, 0.1),
    link_rate_bits_per_s=Uniform(8e7, 32e7),
    link_failure_rate=Constant(0.02),
)
DOCUMENT: dict[str, Any] = {
    "capacityHz": [3e9, 6e9],
    "arrivalProbability": [0, 1],
    "executionFailureRate": [0.1, 0],
    "linkRateBitsPerSecond": [[0, 1e8], [2e8, 0]],
    "linkFailureRate": [[-1, 0.5], [0, -1]],
}


def refusal(document: object) -> ModelError:
    """How a document is refused."""
    with pytest.raises(ModelError) as caught:
        Network.from_document(document)
    return caught.value


def test_a_network_file_is_read() -> None:
    """The diagonal of a link array is ignored, and cores left out follow from the capacity."""
    network = Network.from_document(DOCUMENT)
    assert network.nodes == 2
    assert network.cores.tolist() == [3e9 / CORE_HZ, 6e9 / CORE_HZ]
    assert network.link_rate_bits_per_s[0, 1] == 1e8
    assert network.link_failure_rate[0, 1] == 0.5


def test_a_network_file_is_not_changed_by_reading() -> None:
    """Arrays that the caller keeps are copied."""
    arrays = {key: np.array(value, dtype=np.float64) for key, value in DOCUMENT.items()}
    Network.from_document(arrays)
    for key, value in DOCUMENT.items():
        assert arrays[key].tolist() == value
        assert arrays[key].flags.writeable


def test_a_network_comes_back_from_its_document() -> None:
    """What `to_document` writes, `from_document` reads, up to the ignored diagonal."""
    network = MODEL.draw(1)
    again = Network.from_document(network.to_document())
    off_diagonal = ~np.eye(network.nodes, dtype=np.bool_)
    for name, array in vars(network).items():
        mine, theirs = (
            (array, vars(again)[name]) if array.ndim == 1 else (array[off_diagonal], vars(again)[name][off_diagonal])
        )
        assert np.array_equal(mine, theirs), name


def test_a_network_is_read_only() -> None:
    """Nobody changes a network that others share."""
    with pytest.raises(ValueError, match="read-only"):
        MODEL.draw(1).cores[0] = 1


@pytest.mark.parametrize(
    ("key", "value", "field", "remedy"),
    [
        ("capacityHz", 3e9, "capacityHz", "give a list of numbers"),
        ("capacityHz", "fast", "capacityHz", "give a list of numbers"),
        ("capacityHz", [[3e9, 6e9]], "capacityHz", "give a list of numbers"),
        ("capacityHz", [], "capacityHz", "a network has 1 to 1000 nodes"),
        ("capacityHz", [3e9, 0], "capacityHz[1]", "give a finite number over 0"),
        ("capacityHz", [3e9, -1], "capacityHz[1]", "give a finite number over 0"),
        ("capacityHz", [3e9, float("inf")], "capacityHz[1]", "give a finite number over 0"),
        ("capacityHz", [3e9, None], "capacityHz[1]", "give a finite number over 0"),
        ("capacityHz", [3e9] * 3, "linkRateBitsPerSecond", "3 nodes need 3 rows of 3 values"),
        ("cores", [1], "cores", "the network has 2 nodes, so the shape must be (2,)"),
        ("cores", [0, 1], "cores[0]", "give a finite number over 0"),
        ("arrivalProbability", [0.5], "arrivalProbability", "the network has 2 nodes, so the shape must be (2,)"),
        ("arrivalProbability", [0, 1.5], "arrivalProbability[1]", "give a finite number of at least 0 and at most 1"),
        ("arrivalProbability", [-0.5, 1], "arrivalProbability[0]", "give a finite number of at least 0 and at most 1"),
        ("arrivalProbability", [float("nan"), 1], "arrivalProbability[0]", "give a finite number of at least 0 and at most 1"),
        ("executionFailureRate", [0, -0.1], "executionFailureRate[1]", "give a finite number of at least 0"),
        ("linkRateBitsPerSecond", [[1, 1]], "linkRateBitsPerSecond", "2 nodes need 2 rows of 2 values"),
        ("linkRateBitsPerSecond", [[1], [1, 1]], "linkRateBitsPerSecond", "give equally long rows of numbers"),
        ("linkRateBitsPerSecond", [1, 1], "linkRateBitsPerSecond", "give rows of numbers"),
        ("linkRateBitsPerSecond", [[1, 0], [1, 1]], "linkRateBitsPerSecond[0][1]", "give a finite number over 0"),
        ("linkFailureRate", [[0, 1], [-1, 0]], "linkFailureRate[1][0]", "give a finite number of at least 0"),
        ("linkFailureRate", [[0, float("nan")], [1, 0]], "linkFailureRate[0][1]", "give a finite number of at least 0"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused(key: str, value: object, field: str, remedy: str) -> None:
    """The error names the value's place in the file and what would be right."""
    error = refusal({**DOCUMENT, key: value})
    assert error.field == field
    assert error.remedy == remedy
    assert str(error).startswith(f"{field}: ")
    assert str(error).endswith(remedy)


@pytest.mark.parametrize("document", [None, [], "network", 3])
def test_what_is_no_mapping_is_refused(document: object) -> None:
    """The error says what was found and which keys are wanted."""
    error = refusal(document)
    assert (error.field, error.value) == ("network", type(document).__name__)
    assert error.remedy.startswith("give a mapping with the keys capacityHz, ")


@pytest.mark.parametrize("key", DOCUMENT)
def test_a_missing_key_is_refused(key: str) -> None:
    """Only the cores may be left out."""
    document = copy.deepcopy(DOCUMENT)
    del document[key]
    error = refusal(document)
    assert (error.field, error.value) == (key, "missing")


@pytest.mark.parametrize("unknown", [{"capacity": 1}, {1: 1, "capacity": 1}], ids=["text", "mixed"])
def test_an_unknown_key_is_refused(unknown: dict[object, object]) -> None:
    """Whatever the type of the key, the error names one and lists the keys that there are."""
    error = refusal(dict[object, Any](DOCUMENT) | unknown)
    assert str(error.field) in {str(key) for key in unknown}
    assert error.value == "unknown key"
    assert error.remedy.endswith("linkFailureRate and cores")


@pytest.mark.parametrize("nodes", [0, MAXIMUM_NODES + 1])
def test_the_number_of_nodes_is_limited(nodes: int) -> None:
    """An empty network is none, and one that is too large would fill the memory."""
    square = np.ones((nodes, nodes))
    with pytest.raises(ModelError, match=f"'{nodes} nodes' is not allowed; a network has 1 to 1000 nodes"):
        Network(np.ones(nodes), np.ones(nodes), np.ones(nodes), np.ones(nodes), square, square)


def test_a_draw_follows_from_the_seed() -> None:
    """One seed gives one network, another seed another."""
    first, again, other = MODEL.draw(7), MODEL.draw(7), MODEL.draw(8)
    assert first.to_document() == again.to_document()
    for name in ("arrival_probability", "execution_failure_rate", "link_rate_bits_per_s"):
        assert not np.array_equal(getattr(first, name), getattr(other, name)), name


def test_a_draw_is_the_same_forever() -> None:
    """Stored results name seeds, so what a seed gives must not change with the code."""
    network = MODEL.draw(7)
    assert network.cores.tolist() == [16.0, 8.0, 8.0, 4.0, 8.0, 4.0]
    assert network.arrival_probability[0] == 0.31677050113065175


def test_a_draw_stays_in_range() -> None:
    """Every quantity is within its distribution, and capacity is cores times frequency."""
    for seed in range(20):
        network = MODEL.draw(seed)
        assert set(network.cores.tolist()) <= {4, 8, 16}
        assert np.array_equal(network.capacity_hz, network.cores * 2e9)
        assert ((network.arrival_probability >= 0.25) & (network.arrival_probability < 0.75)).all()
        assert ((network.execution_failure_rate >= 0.01) & (network.execution_failure_rate < 0.1)).all()
        assert ((network.link_rate_bits_per_s >= 8e7) & (network.link_rate_bits_per_s < 32e7)).all()
        assert (network.link_failure_rate == 0.02).all()


def test_the_model_around_a_network_has_its_maxima() -> None:
    """What scales the inputs for a given network reaches exactly as far as its values."""
    network = MODEL.draw(3)
    around = NetworkModel.around(network)
    assert around.nodes == network.nodes
    assert around.cores.maximum * around.core_frequency_hz == network.capacity_hz.max()
    assert around.arrival_probability.maximum == 1
    for name in ("execution_failure_rate", "link_rate_bits_per_s", "link_failure_rate"):
        assert getattr(around, name).maximum == getattr(network, name).max()
