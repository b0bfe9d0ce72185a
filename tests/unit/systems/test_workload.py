"""Workloads: an episode follows from its seed, stream and number alone, and all that is drawn is in range."""

from dataclasses import fields

import numpy as np
import pytest

from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.randomness import Stream, decision_uniforms
from edgebed.systems.cooperative.workload import Workload, WorkloadModel

MODEL = WorkloadModel(
    slot_s=0.5,
    slots=30,
    size_bits=Uniform(1e6, 8e6),
    cycles_per_bit=Choice((100.0, 200.0)),
    deadline_s=Constant(4.0),
)
NETWORK = Network(
    capacity_hz=np.full(3, 3e9),
    cores=np.ones(3),
    arrival_probability=np.array([0.0, 0.5, 1.0]),
    execution_failure_rate=np.zeros(3),
    link_rate_bits_per_s=np.ones((3, 3)),
    link_failure_rate=np.zeros((3, 3)),
)
ARRAYS = [field.name for field in fields(Workload) if field.name not in ("slot_s", "profile")]


def draw(*episodes: int, seed: int = 7, stream: Stream = Stream.EVALUATE, index: tuple[int, ...] = ()) -> Workload:
    """The episodes of a range from the first to before the second number."""
    return MODEL.draw(NETWORK, seed, stream, range(*episodes), *index)


def equal(one: Workload, other: Workload) -> bool:
    """Whether all arrays are."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)


def test_a_draw_can_be_repeated() -> None:
    """The same seed, stream and episodes give the same tasks and the same digest."""
    assert equal(draw(4), draw(4))
    assert draw(4).digest == draw(4).digest


def test_an_episode_does_not_depend_on_the_others() -> None:
    """Drawn alone, in another range or in a longer one, an episode has the same tasks and luck."""
    together = draw(6)
    for number in range(6):
        assert equal(draw(number, number + 1), together.episode(number))
    assert equal(draw(2, 5), together.select(slice(2, 5)))


def test_an_episode_does_not_depend_on_the_arrival_probabilities() -> None:
    """A busier network adds tasks and leaves those that were there as they were."""
    busier = Network(**{**vars(NETWORK), "arrival_probability": np.array([0.3, 0.9, 1.0])})
    plain, more = draw(4), MODEL.draw(busier, 7, Stream.EVALUATE, range(4))
    assert (more.arrives | ~plain.arrives).all()
    assert more.arrives.sum() > plain.arrives.sum()
    for name in ARRAYS[1:]:
        assert np.array_equal(getattr(plain, name), getattr(more, name)), name


@pytest.mark.parametrize("name", ["size_bits", "u_transmission", "u_execution", "decision_key"])
def test_seeds_streams_indices_and_episodes_differ(name: str) -> None:
    """Nothing random is shared between two seeds, two streams, two indices or two episodes."""
    drawn = [draw(2, seed=seed, stream=stream) for seed in (7, 8) for stream in Stream]
    drawn += [draw(2, index=(1,)), draw(2, index=(2,)), draw(2, index=(1, 1))]
    values = np.concatenate([getattr(workload, name).reshape(2, -1)[:, 0] for workload in drawn])
    assert len(np.unique(values)) == len(values)


def test_the_two_uniforms_of_a_task_differ() -> None:
    """The luck of the transfer says nothing about the luck of the execution."""
    workload = draw(40)
    u, v = workload.u_transmission.ravel(), workload.u_execution.ravel()
    assert not (u == v).any()
    assert abs(np.corrcoef(u, v)[0, 1]) < 0.06  # 3600 tasks: more than three standard errors


def test_everything_drawn_is_in_range() -> None:
    """Uniforms exclude 0 and may be 1, quantities follow their distributions, arrivals their probabilities."""
    workload = draw(100)
    for u in (workload.u_transmission, workload.u_execution):
        assert u.min() > 0
        assert u.max() <= 1
        assert abs(u.mean() - 0.5) < 0.02
    assert ((workload.size_bits >= 1e6) & (workload.size_bits < 8e6)).all()
    assert set(np.round(workload.cycles / workload.size_bits, 6).ravel().tolist()) == {100.0, 200.0}
    assert (workload.deadline_s == 4.0).all()
    frequency = workload.arrives.mean(axis=(0, 1))
    assert frequency[0] == 0
    assert abs(frequency[1] - 0.5) < 0.04
    assert frequency[2] == 1
    assert workload.cycles.max() <= MODEL.maximum_cycles


def test_shapes() -> None:
    """Arrays are of episodes, slots and nodes, with one decision key per episode."""
    workload = draw(4)
    assert (workload.episodes, workload.slots, workload.nodes, workload.slot_s) == (4, 30, 3, 0.5)
    for name in ARRAYS[:-1]:
        assert getattr(workload, name).shape == (4, 30, 3)
    assert workload.decision_key.shape == (4,)
    assert workload.decision_key.dtype == np.uint64


def test_no_episodes_are_a_workload_too() -> None:
    """An empty range gives empty arrays of the right shape."""
    empty = draw(0)
    assert (empty.episodes, empty.slots, empty.nodes) == (0, 30, 3)
    assert empty.arrives.dtype == np.bool_
    assert equal(Workload.join([empty, draw(2)]), draw(2))


def test_join_is_the_inverse_of_select() -> None:
    """Parts put together in order are the whole, and its digest tells any other order."""
    whole = draw(5)
    parts = [whole.select(slice(0, 2)), whole.episode(2), whole.select(slice(3, None))]
    assert equal(Workload.join(parts), whole)
    assert Workload.join(parts).digest == whole.digest
    assert Workload.join(parts[::-1]).digest != whole.digest


@pytest.mark.parametrize(
    "other",
    [
        WorkloadModel(0.25, 30, MODEL.size_bits, MODEL.cycles_per_bit, MODEL.deadline_s),
        WorkloadModel(0.5, 29, MODEL.size_bits, MODEL.cycles_per_bit, MODEL.deadline_s),
    ],
    ids=["slot", "slots"],
)
def test_join_refuses_parts_that_do_not_fit(other: WorkloadModel) -> None:
    """Episodes of another slot length or of more slots are not of the same workload."""
    with pytest.raises(ModelError, match="join workloads of equal slot, slots and nodes"):
        Workload.join([draw(1), other.draw(NETWORK, 7, Stream.EVALUATE, range(1))])


def test_join_refuses_nothing() -> None:
    """No parts have no shape."""
    with pytest.raises(ModelError, match="join workloads of equal slot, slots and nodes"):
        Workload.join([])


def test_the_model_around_a_workload_spans_its_tasks() -> None:
    """The spans are those of tasks that arrive; what does not arrive means nothing."""
    workload = draw(3)
    there = workload.arrives
    around = WorkloadModel.around(workload)
    assert (around.slot_s, around.slots) == (0.5, 30)
    assert around.size_bits == Uniform(workload.size_bits[there].min(), workload.size_bits[there].max())
    assert around.deadline_s == Uniform(4.0, 4.0)
    assert around.cycles_per_bit.maximum == pytest.approx(200.0)
    workload.size_bits[~there] = 1e12
    assert WorkloadModel.around(workload).size_bits == around.size_bits


def test_there_is_no_model_around_nothing() -> None:
    """A workload without a task spans nothing."""
    workload = draw(1)
    workload.arrives[:] = False
    with pytest.raises(ModelError, match="give a workload in which at least one task arrives"):
        WorkloadModel.around(workload)


def test_decision_uniforms_belong_to_the_decision() -> None:
    """A node that decides alone draws what it draws among others, and nobody else draws the same."""
    key = np.repeat(draw(4).decision_key, 10)
    node = np.tile(np.arange(10), 4)
    together = np.stack([decision_uniforms(key, slot, node, 3) for slot in range(5)])
    assert ((together >= 0) & (together < 1)).all()
    assert len(np.unique(together)) == together.size
    for row in (0, 17, 39):
        alone = decision_uniforms(key[row : row + 1], 3, node[row : row + 1], 3)
        assert np.array_equal(alone[0], together[3, row])
    assert np.array_equal(decision_uniforms(key, 3, node, 1)[:, 0], together[3, :, 0])
