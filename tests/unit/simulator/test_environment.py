"""The PettingZoo environment: its interface, and that its rewards are the outcomes of the tasks."""

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test

from edgebed.simulator.environment import CooperativeEnvironment
from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import BITS_PER_KB, BITS_PER_MB, NetworkModel
from edgebed.systems.cooperative.workload import WorkloadModel

MODEL = NetworkModel(
    nodes=5,
    cores=Choice((4, 8, 16)),
    core_frequency_hz=3e9,
    arrival_probability=Uniform(0, 1),
    execution_failure_rate=Uniform(0, 0.4),
    link_rate_bits_per_s=Uniform(10 * BITS_PER_MB, 40 * BITS_PER_MB),
    link_failure_rate=Uniform(0, 0.03),
)
TASKS = WorkloadModel(0.1, 30, Uniform(500 * BITS_PER_KB, 2500 * BITS_PER_KB), Uniform(400, 800), Constant(1.0))


def environment() -> CooperativeEnvironment:
    return CooperativeEnvironment(MODEL.draw(1), TASKS, network_model=MODEL)


@pytest.mark.filterwarnings("ignore::UserWarning")  # the API test warns of dictionary observations with a mask
def test_passes_the_api_test() -> None:
    """PettingZoo's own test of parallel environments."""
    parallel_api_test(environment(), num_cycles=200)


def test_equal_seeds_play_equal_episodes() -> None:
    """The same seed and the same actions give the same observations and rewards, also in an environment used before."""
    used, fresh = environment(), environment()
    used.reset(seed=1)
    used.reset()
    worlds = [used, fresh]
    observations = [world.reset(seed=9)[0] for world in worlds]
    while used.agents:
        for agent in used.agents:
            assert np.array_equal(observations[0][agent]["observation"], observations[1][agent]["observation"])
        actions = {agent: int(np.argmax(observations[0][agent]["action_mask"])) for agent in used.agents}
        stepped = [world.step(actions) for world in worlds]
        assert stepped[0][1] == stepped[1][1]
        observations = [step[0] for step in stepped]


def test_team_rewards_add_up_to_the_outcomes_of_all_tasks() -> None:
    """Each task counts once, in one slot."""
    world = environment()
    observations, _ = world.reset(seed=4)
    rng = np.random.default_rng(0)
    total = 0.0
    infos: dict[str, dict[str, np.ndarray]] = {}
    agents = list(world.agents)
    while world.agents:
        actions = {a: int(rng.choice(np.flatnonzero(observations[a]["action_mask"]))) for a in world.agents}
        observations, rewards, _, _, infos = world.step(actions)
        total += rewards[agents[0]]
    own = sum(infos[agent]["own_rewards"].sum() for agent in agents)
    assert total == own
    assert sum(np.abs(infos[agent]["own_rewards"]).sum() for agent in agents) > 0


def test_a_masked_action_is_refused_with_what_is_allowed() -> None:
    """A learner cannot send what it does not have."""
    world = environment()
    observations, _ = world.reset(seed=4)
    idle = next(a for a in world.agents if observations[a]["action_mask"][-1])
    actions = {a: int(np.flatnonzero(observations[a]["action_mask"])[0]) for a in world.agents}
    with pytest.raises(ModelError, match="the action mask allows 5"):
        world.step({**actions, idle: 0})
