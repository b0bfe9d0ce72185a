"""Checkpoints: resuming is exact, and what does not fit or is damaged is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edgebed.learning.checkpoints import CheckpointError, Meaning, digest_of, restore_checkpoint, save_checkpoint
from edgebed.learning.ppo import Ppo, PpoSettings
from edgebed.learning.sac_cql import SacCql, SacCqlSettings
from edgebed.systems.cooperative.actor import ACTION_ORDER
from edgebed.systems.transitions import Transitions
from tests.unit.learning.conftest import Setting

MEANING = Meaning("sac-cql", "digest of the observation", ACTION_ORDER, seed=1)


def test_resuming_is_exact(log: Transitions, tmp_path: Path) -> None:
    """One hundred updates equal sixty, a checkpoint, a new process's learner, and forty more, bit for bit."""
    whole = SacCql(log, seed=1)
    whole.train(100)
    first = SacCql(log, seed=1)
    first.train(60)
    save_checkpoint(tmp_path / "offline", first, MEANING)
    second = SacCql(log, seed=99)
    restore_checkpoint(tmp_path / "offline", second, MEANING)
    assert second.updates == 60
    second.train(40)
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, second.tensors()[name]), name


@pytest.mark.parametrize("own", [True, False])
def test_resuming_online_is_exact(setting: Setting, log: Transitions, tmp_path: Path, own: bool) -> None:
    """The same for PPO, whose scale of rewards is part of its state."""
    settings = PpoSettings(own_reward=own, discount=0.0 if own else 0.99, warmup_epochs=2)

    def learner(seed: int) -> Ppo:
        return Ppo(log.static, setting.observation.dynamic_size, seed, settings)

    whole, first, second = learner(1), learner(1), learner(2)
    for _ in range(4):
        whole.update(log)
    for _ in range(2):
        first.update(log)
    save_checkpoint(tmp_path / "online", first, MEANING)
    restore_checkpoint(tmp_path / "online", second, MEANING)
    for _ in range(2):
        second.update(log)
    assert second.reward_scale == whole.reward_scale
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, second.tensors()[name]), name


def test_a_newer_checkpoint_replaces_the_older(log: Transitions, tmp_path: Path) -> None:
    """Saving again leaves two files, and the newer state."""
    learner = SacCql(log, seed=1)
    for _ in range(3):
        learner.train(1)
        save_checkpoint(tmp_path / "offline", learner, MEANING)
    assert len(list(tmp_path.iterdir())) == 2
    other = SacCql(log, seed=1)
    restore_checkpoint(tmp_path / "offline", other, MEANING)
    assert other.updates == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"observation_digest": "another"},
            "observation_digest is 'digest of the observation', but this run has 'another'",
        ),
        ({"action_order": "another"}, "action_order"),
        ({"algorithm": "ppo"}, "algorithm"),
        ({"data_digest": "another"}, "data_digest"),
        ({"seed": 2}, "seed"),
    ],
)
def test_what_means_something_else_is_refused(
    log: Transitions, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """The field that differs is named with both values."""
    learner = SacCql(log, seed=1)
    save_checkpoint(tmp_path / "offline", learner, MEANING)
    with pytest.raises(CheckpointError, match=message):
        restore_checkpoint(tmp_path / "offline", learner, replace(MEANING, **change))


@pytest.mark.parametrize(
    "damage", ["tensors", "truncated tensors", "no tensors", "manifest", "version", "no manifest", "half"]
)
def test_damage_is_refused(log: Transitions, tmp_path: Path, damage: str) -> None:
    """Whatever byte is wrong or missing, nothing is restored and the message says what to do."""
    learner = SacCql(log, seed=1)
    save_checkpoint(tmp_path / "offline", learner, MEANING)
    manifest = tmp_path / "offline.json"
    (tensors,) = tmp_path.glob("*.safetensors")
    data = tensors.read_bytes()
    if damage == "tensors":
        tensors.write_bytes(data[:-100] + bytes([data[-100] ^ 1]) + data[-99:])
    elif damage == "truncated tensors":
        tensors.write_bytes(data[:-5])
    elif damage == "no tensors":
        tensors.unlink()
    elif damage == "manifest":
        manifest.write_bytes(manifest.read_bytes()[:-20])
    elif damage == "version":
        manifest.write_text(manifest.read_text().replace("edgebed-checkpoint/v1", "edgebed-checkpoint/v7"))
    elif damage == "no manifest":
        manifest.unlink()
    else:
        half = json.loads(manifest.read_text())
        del half["randomState"]
        manifest.write_text(json.dumps(half))
    before = learner.parameters.clone()
    with pytest.raises(CheckpointError, match=r"train|reads"):
        restore_checkpoint(tmp_path / "offline", learner, MEANING)
    assert torch.equal(learner.parameters, before)


def test_other_settings_are_refused(log: Transitions, tmp_path: Path) -> None:
    """A learner continues only with the settings that it began with."""
    save_checkpoint(tmp_path / "offline", SacCql(log, seed=1), MEANING)
    other = SacCql(log, seed=1, settings=SacCqlSettings(tau=0.1))
    with pytest.raises(CheckpointError, match=r"settings\.tau is 0\.0005, but this run has 0\.1"):
        restore_checkpoint(tmp_path / "offline", other, MEANING)


def test_a_digest_follows_every_array(log: Transitions) -> None:
    """Equal data, equal digest; one changed value, another."""
    changed = log.team_reward.copy()
    changed[0, 0] += 1
    assert digest_of(log) == digest_of(replace(log, team_reward=log.team_reward.copy()))
    assert digest_of(log) != digest_of(replace(log, team_reward=changed))
