"""The candidate actor's learning: its gradient is autograd's, it learns what can be learned, and it resumes exactly."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgebed.learning.candidate_ppo import CandidatePpo, CandidatePpoSettings, Judged
from edgebed.learning.checkpoints import Meaning, restore_checkpoint, save_checkpoint
from edgebed.learning.judging import judge, outcomes_of
from edgebed.learning.outcomes import Outcomes, OutcomesSettings
from edgebed.simulator.rollout import play
from edgebed.systems.cooperative.candidate import DYNAMIC, STATIC, Ask, CandidateObservation
from edgebed.systems.cooperative.candidate_actor import CandidateWeights
from edgebed.systems.cooperative.candidate_ranges import ranges
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.policies.candidate import CandidateActor
from edgebed.systems.cooperative.policies.random import Random
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import Policy, PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import SIMULATION

MASK, N = 0.25, 6


def context(seed: int = 5) -> PolicyContext:
    network = replace(SIMULATION.network, nodes=N).draw(seed)
    return PolicyContext(network, SIMULATION.workload, Rules(), MASK, seed)


def episodes(here: PolicyContext, policy: Policy, count: range, stream: Stream = Stream.ONLINE) -> TaskLog:
    return play(
        here.network, here.workload.draw(here.network, here.network_seed, stream, count), Rules(), policy, MASK
    ).log


def success(log: TaskLog) -> float:
    return float((log.status == TaskState.SUCCEEDED).mean())


def learner(seed: int = 1, **settings: object) -> CandidatePpo:
    return CandidatePpo(len(STATIC), len(DYNAMIC), seed, CandidatePpoSettings(**settings))


def judged(here: PolicyContext, of: CandidatePpo, count: range, eta: float = 1.0) -> Judged:
    actor = CandidateActor(here, CandidateWeights(of.actor.layers))
    return judge(episodes(here, actor, count), here, actor.scorer, Ask(0), eta)


@pytest.mark.parametrize("every", [True, False], ids=["every candidate", "the chosen one"])
def test_a_step_follows_the_gradient_of_the_objective(every: bool) -> None:
    """The first step's gradient is that of the clipped objective as autograd finds it."""
    here = context()
    made = learner(every=every, epochs=1, minibatches=1, entropy=0.01)
    part = judged(here, made, range(2))
    flat = made.actor.flat.clone().requires_grad_()
    h, s, d = 48, len(STATIC), len(DYNAMIC)
    w0, b0, w1, b1, w2, b2 = torch.split(flat, [(s + d) * h, h, h * h, h, h, 1])
    static = torch.from_numpy(part.static).view(N, N, s)[torch.from_numpy(part.source)]
    x = torch.cat([static, torch.from_numpy(part.dynamic)], 2)
    h1 = torch.relu(x @ w0.view(s + d, h) + b0)
    scores = (torch.relu(h1 @ w1.view(h, h) + b1) @ w2.view(h, 1) + b2)[:, :, 0]
    wanted = torch.from_numpy(part.wanted)
    log_pi = torch.log_softmax(scores.masked_fill(~wanted, -torch.inf), 1).masked_fill(~wanted, -30)
    pi = log_pi.exp() * wanted
    old, worth = pi.detach(), torch.from_numpy(part.worth)
    advantage = worth - (old * worth).sum(1, keepdim=True)
    advantage = advantage / ((old * advantage.square()).sum() / len(old)).sqrt()
    if every:
        gain = (pi * advantage).sum(1)
    else:
        chosen = torch.from_numpy(part.chosen)[:, None]
        gain = (pi / old.clamp_min(1e-30)).gather(1, chosen)[:, 0] * advantage.gather(1, chosen)[:, 0]
    loss = -(gain - 0.01 * (pi * log_pi).sum(1)).mean()
    loss.backward()
    made.update([part])
    assert flat.grad is not None
    torch.testing.assert_close(made._gradient.flat, flat.grad, atol=2e-6, rtol=1e-3)


@pytest.mark.parametrize("temperature", [0.0, 0.07], ids=["clipped objective", "regression"])
def test_it_learns_on_a_network(temperature: float) -> None:
    """From nearly random choices, sixty updates lead beyond RATC."""
    here = context()
    made = learner(falls_over=60, temperature=temperature, learning_rate=2e-3)
    for k in range(60):
        measured = made.update([judged(here, made, range(4 * k, 4 * k + 4))])
    fresh = range(40)
    actor = CandidateActor(here, CandidateWeights(made.actor.layers))
    learned = success(episodes(here, actor, fresh, Stream.EVALUATE))
    assert learned > success(episodes(here, Ratc(here), fresh, Stream.EVALUATE)) + 0.01
    assert measured["clipped"] < 0.5
    assert 0 < measured["entropy"] < np.log(N)


@pytest.mark.parametrize(
    ("focus", "load", "sharper"), [(0.0, 2.0, 1.0), (0.8, 0.7, 1 / 0.7**2), (1.0, 0.1, 1 / 0.6**2)]
)
def test_a_regression_step_follows_the_gradient_of_its_loss(focus: float, load: float, sharper: float) -> None:
    """With a temperature, the first step's gradient is that of the weighted squared differences as autograd finds it.

    In a network that has less to do, worth is divided by less.
    """
    here = context()
    made = learner(temperature=0.1, load_exponent=2.0, focus=focus, epochs=1, minibatches=1)
    part = replace(judged(here, made, range(2)), load=load)
    flat = made.actor.flat.clone().requires_grad_()
    h, s, d = 48, len(STATIC), len(DYNAMIC)
    w0, b0, w1, b1, w2, b2 = torch.split(flat, [(s + d) * h, h, h * h, h, h, 1])
    static = torch.from_numpy(part.static).view(N, N, s)[torch.from_numpy(part.source)]
    x = torch.cat([static, torch.from_numpy(part.dynamic)], 2)
    h1 = torch.relu(x @ w0.view(s + d, h) + b0)
    scores = (torch.relu(h1 @ w1.view(h, h) + b1) @ w2.view(h, 1) + b2)[:, :, 0]
    loss = torch.zeros(())
    for row, worth, wanted in zip(scores, torch.from_numpy(part.worth), torch.from_numpy(part.wanted), strict=True):
        error = 0.1 * row[wanted] - sharper * worth[wanted]
        weight = focus * torch.softmax(row[wanted].detach(), 0) + (1 - focus) / wanted.sum()
        loss = loss + (weight * (error - (weight * error).sum()).square()).sum() / 2
    # The loss is in units of worth; its gradient by the scores lacks the factor tau, as a step of Adam does not mind.
    (loss / len(scores) / 0.1).backward()
    made.update([part])
    assert flat.grad is not None
    torch.testing.assert_close(made._gradient.flat, flat.grad, atol=2e-6, rtol=1e-3)


def test_judged_decisions_know_the_load() -> None:
    """Seconds of work that arrive per second over the nodes, as the ranges of a model have it."""
    here = context()
    part = judged(here, learner(), range(1))
    found = ranges(CandidateObservation(here))["load (arriving cycles / capacity)"]
    assert found == (part.load, part.load)
    assert 0.3 < part.load < 3


def test_parts_of_several_networks_are_learned_together() -> None:
    """Two networks in one update are what they are apart: the gradient is the mean of both."""
    gradients = []
    parts = [judged(context(seed), learner(), range(1)) for seed in (5, 6)]
    rows = [len(part.source) for part in parts]
    for given in ([parts[0]], [parts[1]], parts):
        made = learner(epochs=1, minibatches=1, entropy=0.0, every=True)
        # Advantages are divided by one number of the whole batch; the same for all three here.
        made.update(given)
        gradients.append(made._gradient.flat.clone())
    scale = []
    for part in parts:
        old = np.where(part.wanted, 1, 0) / part.wanted.sum(1, keepdims=True)
        scale.append(float(np.sqrt((old * (part.worth - (old * part.worth).sum(1, keepdims=True)) ** 2).sum(1).mean())))
    together = gradients[2] / gradients[2].norm()
    weighted = rows[0] * scale[0] * gradients[0] + rows[1] * scale[1] * gradients[1]
    assert float(together @ (weighted / weighted.norm())) > 0.99


def test_it_resumes_to_the_exact_next_update(tmp_path: Path) -> None:
    """A checkpoint gives the learner back, bit by bit."""
    here = context()
    one, two = learner(), learner(seed=2)
    meaning = Meaning("candidate-ppo", "digest", "candidates", 1)
    one.update([judged(here, one, range(1))])
    save_checkpoint(tmp_path / "learner", one, meaning)
    restore_checkpoint(tmp_path / "learner", two, meaning)
    part = judged(here, one, range(1, 2))
    assert one.update([part]) == two.update([part])
    assert torch.equal(one.actor.flat, two.actor.flat)


def test_no_tasks_is_said() -> None:
    """A batch without tasks is refused in words."""
    made = learner()
    part = judged(context(), made, range(1))
    empty = Judged(
        part.static,
        part.source[:0],
        part.dynamic[:0],
        part.wanted[:0],
        part.chosen[:0],
        part.worth[:0],
        0.0,
    )
    with pytest.raises(ValueError, match="give a batch of episodes with arrivals"):
        made.update([empty])
    with pytest.raises(ValueError, match="give a log with arrivals"):
        Outcomes(empty, 1)


@pytest.mark.parametrize("every", [True, False], ids=["every candidate", "the chosen one"])
def test_outcomes_of_a_log_lead_beyond_its_policy(every: bool) -> None:
    """From the log of random choices alone, the softmax of predicted outcomes completes far more tasks."""
    here = context()
    log = episodes(here, Random(here), range(60), Stream.COLLECT)
    made = Outcomes(outcomes_of(log, here, Ask(0), every=every), 1, OutcomesSettings(every=every, batch=512))
    made.train(400)
    actor = CandidateActor(here, CandidateWeights(made.layers))
    learned = success(episodes(here, actor, range(30), Stream.EVALUATE))
    assert learned > success(log) + 0.05
    assert made.measured["squaredError"] < 1


def test_outcomes_resume_to_the_exact_next_update(tmp_path: Path) -> None:
    """A checkpoint gives the learner back, bit by bit."""
    here = context()
    part = outcomes_of(episodes(here, Random(here), range(4)), here, Ask.of("all"), every=True)
    one, two = Outcomes(part, 1), Outcomes(part, 2)
    meaning = Meaning("outcomes", "digest", "candidates", 1)
    one.train(3)
    save_checkpoint(tmp_path / "learner", one, meaning)
    restore_checkpoint(tmp_path / "learner", two, meaning)
    one.train(2)
    two.train(2)
    assert torch.equal(one.network.flat, two.network.flat)
    assert asdict(one.settings) == asdict(two.settings)
