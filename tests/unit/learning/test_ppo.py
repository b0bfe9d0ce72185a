"""Algorithm 2: its steps against autograd, its advantages against the definition, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax, relu

from edgebed.learning.ppo import Ppo, PpoSettings
from edgebed.systems.cooperative.conversion import Attribution
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.transitions import Transitions
from tests.unit.learning.conftest import Setting

OWN = PpoSettings(own_reward=True, discount=0.0)


def learner(setting: Setting, settings: PpoSettings | None = None, seed: int = 2) -> Ppo:
    static = setting.observation.static(setting.networks.draw(3))
    return Ppo(static, setting.observation.dynamic_size, seed, settings)


def fresh(
    setting: Setting, ppo: Ppo, episodes: range, attribution: Attribution = Attribution.COMPLETION
) -> Transitions:
    return setting.transitions(setting.act(ppo.actor.layers, Stream.ONLINE, episodes), attribution)


@pytest.mark.parametrize("shift", [0.0, 0.5], ids=["first step", "beyond the clip"])
def test_a_step_is_the_gradient_of_the_clipped_objective(setting: Setting, shift: float) -> None:
    """The gradient written out by hand equals autograd's of the objective in the docstring."""
    ppo = learner(setting, PpoSettings(entropy=0.01))
    rng = np.random.default_rng(0)
    n, rows = ppo.agents, 200
    dynamic = torch.from_numpy(rng.random((rows, setting.observation.dynamic_size)).astype(np.float32))
    agent = torch.from_numpy(rng.integers(0, n, rows))
    penalty = torch.from_numpy(np.where(rng.random((rows, n)) < 0.3, -1e4, 0).astype(np.float32))
    action = torch.from_numpy(rng.integers(0, n, (rows, 1)))
    penalty.scatter_(1, action, 0)
    advantage = torch.from_numpy(rng.standard_normal(rows).astype(np.float32))

    flat = ppo.actor.flat.clone().requires_grad_()
    model = type(ppo.actor)(flat, ppo.actor.sizes)
    x = torch.cat([torch.from_numpy(setting.observation.static(setting.networks.draw(3)))[agent], dynamic], 1)
    h = relu(relu(x @ model.weight0 + model.bias0) @ model.weight1 + model.bias1)
    log_pi = log_softmax((h @ model.weight2 + model.bias2)[:, :n] + penalty, 1)
    chosen = log_pi.gather(1, action)
    old = chosen.detach() + torch.from_numpy(rng.uniform(-shift, shift, (rows, 1)).astype(np.float32))
    rho = (chosen - old).exp()[:, 0]
    surrogate = torch.min(rho * advantage, rho.clamp(0.8, 1.2) * advantage)
    entropy = -(log_pi.exp() * log_pi).sum(1)
    (gradient,) = torch.autograd.grad(-(surrogate + 0.01 * entropy).mean(), flat)

    ppo._step_actor(dynamic, agent, penalty, action, old, advantage)
    np.testing.assert_allclose(ppo._actor.flat.numpy(), gradient.numpy(), atol=1e-6)


def test_advantages_follow_the_definition(setting: Setting) -> None:
    """Against a loop over slots backwards for each agent, which bootstraps from the row after the last slot."""
    ppo = learner(setting)
    t = fresh(setting, ppo, range(3))
    reward = ppo._rewards(t)
    table = torch.from_numpy(t.dynamic.reshape(-1, t.dynamic.shape[3]))
    place = np.arange(t.action.size)
    agent = torch.from_numpy(place % t.agents)
    goal, advantage = ppo._judge(t, torch.from_numpy(reward), table, table[: len(place)], agent, place)
    everyone = torch.arange(t.agents).repeat(len(table) // t.agents)
    value = ppo._values(table, everyone).numpy().reshape(t.episodes, t.slots + 1, t.agents)
    for e in range(t.episodes):
        for i in range(t.agents):
            ahead = 0.0
            for k in reversed(range(t.slots)):
                surprise = reward[e, k, i] + 0.99 * value[e, k + 1, i] - value[e, k, i]
                ahead = surprise + 0.99 * 0.95 * ahead
                at = (e * t.slots + k) * t.agents + i
                assert float(advantage[at]) == pytest.approx(ahead, abs=1e-4)
                assert float(goal[at]) == pytest.approx(ahead + value[e, k, i], abs=1e-4)


@pytest.mark.parametrize("settings", [OWN, PpoSettings()], ids=["own reward", "team reward"])
def test_it_learns(setting: Setting, settings: PpoSettings) -> None:
    """From scratch, a few hundred short episodes raise the share of successes on unseen ones."""
    ppo = learner(setting, replace(settings, learning_rate=1e-3))

    def success() -> float:
        return float((setting.act(ppo.actor.layers, Stream.EVALUATE, range(200)).status == 1).mean())

    before = success()
    attribution = Attribution.PER_TASK if settings.own_reward else Attribution.COMPLETION
    for k in range(15):
        metrics = ppo.update(fresh(setting, ppo, range(20 * k, 20 * k + 20), attribution))
    assert success() > before + (0.012 if settings.own_reward else 0.006)
    assert ppo.updates == 15
    assert metrics["divergence"] >= 0
    assert 0 <= metrics["clipped"] <= 1
    assert metrics["advantageDeviation"] > 0
    assert -1 < metrics["policyLoss"] < 0.1  # the advantages are normalised, and each step raises what it can


def test_the_critic_is_warm_before_the_policy_moves(setting: Setting) -> None:
    """A warm-up lowers the error with which the first advantages are made; it happens once."""
    errors = []
    for warmup in (0, 20):
        ppo = learner(setting, replace(OWN, warmup_epochs=warmup, epochs=0))
        ppo.update(fresh(setting, ppo, range(10)))
        errors.append(ppo.update(fresh(setting, ppo, range(10)))["valueError"])
    assert errors[1] < errors[0]


def test_the_learning_rate_falls_to_zero(setting: Setting) -> None:
    """After `falls_over` updates nothing moves any more."""
    ppo = learner(setting, replace(OWN, falls_over=2))
    batch = fresh(setting, ppo, range(2))
    steps = []
    for _ in range(3):
        before = ppo.actor.flat.clone()
        ppo.update(batch)
        steps.append(float((ppo.actor.flat - before).abs().max()))
    assert steps[0] > steps[1] > steps[2] == 0


def test_a_batch_without_tasks_is_refused(setting: Setting) -> None:
    """The message says what to give."""
    ppo = learner(setting)
    batch = fresh(setting, ppo, range(1))
    with pytest.raises(ValueError, match="no tasks"):
        ppo.update(replace(batch, has_task=np.zeros_like(batch.has_task)))
