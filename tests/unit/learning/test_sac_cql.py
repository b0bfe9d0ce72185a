"""Algorithm 1 against the plain PyTorch version, and what its tricks rest on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from edgebed.learning.networks import DeviceError, Perceptron
from edgebed.learning.sac_cql import SacCql, SacCqlSettings
from edgebed.systems.transitions import Transitions
from tests.benchmarks.plain_sac_cql import PlainSacCql

PAIRS = ("q1", "q2", "v", "actor", "q1_target", "q2_target", "v_target")


def linear(network: nn.Sequential) -> list[nn.Linear]:
    return [module for module in network if isinstance(module, nn.Linear)]


def start_equal(fast: SacCql, plain: PlainSacCql) -> None:
    for name in PAIRS:
        network: Perceptron = getattr(fast, name)
        given = ((part.weight.detach().numpy().T, part.bias.detach().numpy()) for part in linear(getattr(plain, name)))
        first, second, third = given
        network.layers = first, second, third


@pytest.mark.parametrize("case", ["as logged", "every slot busy", "no slot busy"])
def test_equals_plain_pytorch(log: Transitions, case: str) -> None:
    """From equal weights, on equal batches, all seven networks stay those of modules, autograd and torch's Adam; and so does
    what is measured of an update.
    """
    n = log.agents
    if case == "every slot busy":
        rows = _all_busy(log)
    elif case == "no slot busy":
        rows = replace(log, has_task=np.zeros_like(log.has_task), action=np.full_like(log.action, n))
    else:
        rows = log
    torch.manual_seed(5)
    fast = SacCql(rows, seed=1, settings=SacCqlSettings(batch_slots=32, tau=0.01, learning_rate=1e-3))
    plain = PlainSacCql(rows, tau=0.01, learning_rate=1e-3)
    start_equal(fast, plain)
    before = fast.parameters.clone()
    for number in range(30):
        slot, measure = fast.draw_batch(), number % 3 == 0
        episode, at = np.divmod(slot, rows.slots + 1)
        fast.update(slot, measure=measure)
        measured = plain.update(torch.from_numpy(episode), torch.from_numpy(at), measure=measure)
        assert not measure or fast.measured == pytest.approx(measured, rel=2e-3, abs=2e-4)
    assert float((fast.parameters - before).abs().max()) > 0.01, "nothing was learned: the comparison proves too little"
    for name in PAIRS:
        for (weight, bias), layer in zip(getattr(fast, name).layers, linear(getattr(plain, name)), strict=True):
            np.testing.assert_allclose(weight, layer.weight.detach().numpy().T, atol=2e-4, err_msg=name)
            np.testing.assert_allclose(bias, layer.bias.detach().numpy(), atol=2e-4, err_msg=name)


def _all_busy(log: Transitions) -> Transitions:
    action = np.where(log.has_task, log.action, 0).astype(np.int16)
    return replace(log, has_task=np.ones_like(log.has_task), action=action)


def test_the_log_disobeys_the_mask(log: Transitions) -> None:
    """The comparison above covers logged actions that the mask forbids: RATC takes them."""
    episode, slot, agent = np.nonzero(log.has_task)
    chosen = log.action[episode, slot, agent]
    assert (~log.available[episode, slot, chosen] & (chosen != agent)).sum() > 20


def test_the_same_seed_learns_the_same(log: Transitions) -> None:
    """Bit for bit; another seed does not."""
    runs = [SacCql(log, seed=seed) for seed in (4, 4, 5)]
    for run in runs:
        run.train(5)
    assert torch.equal(runs[0].parameters, runs[1].parameters)
    assert not torch.equal(runs[0].parameters, runs[2].parameters)


def test_measuring_changes_nothing(log: Transitions) -> None:
    """Bit for bit."""
    learners = [SacCql(log, seed=1, settings=SacCqlSettings(batch_slots=32)) for _ in range(2)]
    for _ in range(5):
        for learner, measure in zip(learners, (True, False), strict=True):
            learner.update(learner.draw_batch(), measure=measure)
    assert torch.equal(learners[0].parameters, learners[1].parameters)
    assert learners[0].measured
    assert not learners[1].measured


def test_progress_counts_updates(log: Transitions) -> None:
    """It is told the number of all updates so far."""
    seen: list[int] = []
    learner = SacCql(log, seed=1)
    learner.train(2, seen.append)
    learner.train(1, seen.append)
    assert seen == [1, 2, 3]


def test_an_empty_log_is_refused(log: Transitions) -> None:
    """The message says what to do."""
    empty = replace(log, **{name: getattr(log, name)[:0] for name in vars(log) if name != "static"})
    with pytest.raises(ValueError, match="collect a log first"):
        SacCql(empty, seed=1)


def test_a_device_is_never_chosen_silently(log: Transitions) -> None:
    """Asking for a GPU where there is none is refused, and so is an unknown device."""
    with pytest.raises(DeviceError, match="give cpu or cuda"):
        SacCql(log, seed=1, device="gpu")
    if torch.cuda.is_available():
        assert SacCql(log, seed=1, device="cuda").parameters.is_cuda
    else:
        with pytest.raises(DeviceError, match="finds no GPU"):
            SacCql(log, seed=1, device="cuda")
