"""Domain randomisation: factors of a whole network, and what they do to it and to its tasks."""

from dataclasses import replace

import numpy as np
import pytest

from edgebed.systems.cooperative.candidate import CandidateObservation
from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import SIMULATION
from edgebed.systems.cooperative.variation import UNVARIED, Factors, Variation
from edgebed.systems.cooperative.workload import WorkloadModel

NETWORK = SIMULATION.network.draw(3)
TASKS = SIMULATION.workload


def test_a_factor_multiplies_its_quantity_and_no_other() -> None:
    """Nodes keep their cores, which the mask counts; arrivals end at one task per slot."""
    varied = Factors(2.0, 3.0, 4.0, 5.0, 6.0, 0.5).network(NETWORK)
    assert np.array_equal(varied.arrival_probability, np.minimum(2 * NETWORK.arrival_probability, 1))
    assert np.array_equal(varied.capacity_hz, 3 * NETWORK.capacity_hz)
    assert np.array_equal(varied.execution_failure_rate, 4 * NETWORK.execution_failure_rate)
    assert np.array_equal(varied.link_rate_bits_per_s, 5 * NETWORK.link_rate_bits_per_s)
    assert np.array_equal(varied.link_failure_rate, 6 * NETWORK.link_failure_rate)
    assert np.array_equal(varied.cores, NETWORK.cores)


def test_slots_of_another_length() -> None:
    """The tasks of a slot stay the same, so shorter slots bring more of them per second."""
    assert Factors(slot_length=0.5).workload(TASKS) == replace(TASKS, slot_s=TASKS.slot_s / 2)


def test_nothing_to_vary_changes_nothing() -> None:
    """Factors of 1, and networks that chance leaves as they are."""
    rng = np.random.default_rng(0)
    assert Variation().draw(rng) == UNVARIED
    assert UNVARIED.network(NETWORK).same(NETWORK)
    assert UNVARIED.workload(TASKS) == TASKS


def test_a_share_of_the_networks_is_varied() -> None:
    """About as many as `share` says, each with one draw per quantity."""
    variation = Variation(share=0.75, core_frequency=Uniform(2, 3), link_rate=Choice((0.5, 2.0)))
    rng = np.random.default_rng(1)
    drawn = [variation.draw(rng) for _ in range(2000)]
    varied = [factors for factors in drawn if factors != UNVARIED]
    assert len(varied) == pytest.approx(1500, abs=80)
    assert all(2 <= factors.core_frequency < 3 and factors.link_rate in (0.5, 2.0) for factors in varied)
    assert len({factors.core_frequency for factors in varied}) == len(varied)
    assert {factors.slot_length for factors in drawn} == {1.0}


def test_nodes_twice_as_fast_are_tasks_of_half_the_work() -> None:
    """Why work, sizes and deadlines have no factors: the observation of either is the same."""

    def static(capacity: float, work: WorkloadModel) -> np.ndarray:
        network = Factors(core_frequency=capacity).network(NETWORK)
        return CandidateObservation(PolicyContext(network, work, Rules(), 0.25, 0)).static(4)

    half = replace(TASKS, cycles_per_bit=Uniform(400, 1200))
    assert np.allclose(static(2.0, TASKS), static(1.0, half), rtol=1e-6)


def test_constants_are_factors_too() -> None:
    """A setup may be shifted as a whole."""
    factors = Variation(execution_failure_rate=Constant(2.0)).draw(np.random.default_rng(2))
    assert factors == Factors(execution_failure_rate=2.0)
