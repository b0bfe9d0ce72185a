"""Who learns: the seam between the phases of an experiment and the trainer.

The phases (`stages`) hand a teacher logs and settings, and get models. `LocalTeacher` learns in this process; on a testbed
the trainer is a service of its own (`remote`), which runs this very class.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from edgebed.runner.candidates import CandidateCourse, learn_outcomes
from edgebed.runner.progress import Progress
from edgebed.runner.setting import ACTOR, Setting
from edgebed.runner.training import Training, TrainingLesson
from edgebed.stores.log_files import read_log
from edgebed.systems.cooperative.actor import ACTION_ORDER, ActorWeights
from edgebed.systems.cooperative.conversion import Attribution
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.models import Model, read_model

UPDATES_AT_ONCE = 50
"""Progress is told after so many offline updates; a checkpoint is kept every CHECKPOINT_UPDATES."""

CHECKPOINT_UPDATES = 1000

Measured = Callable[[int, Mapping[str, float]], None]
"""Told the number of updates, and measurements by their names in `learning`."""


@dataclass(frozen=True)
class OfflineLesson:
    """Learn from a log."""

    settings: dict[str, Any]
    """Of `SacCqlSettings`, or of `OutcomesSettings`."""
    updates: int
    attribution: str
    seed: int
    label: str
    algorithm: str = "sac-cql"
    """Or `outcomes`."""
    ask: str | int = "none"
    """Whom the candidate actor of `outcomes` asks."""


@dataclass(frozen=True)
class OnlineLesson:
    """Learn while playing."""

    settings: dict[str, Any]
    """Of `PpoSettings`, or of `CandidatePpoSettings`."""
    attribution: str
    fresh_critic: bool
    seed: int
    algorithm: str = "ppo"
    """Or `candidate-ppo`."""


class OnlineCourse(Protocol):
    """Online learning in progress."""

    @property
    def updates(self) -> int:
        """Updates so far; over 0 from the start when it was resumed from a checkpoint."""

    def weights(self) -> Model:
        """The actor as it is now."""

    def update(self, log: TaskLog) -> None:
        """One update from the episodes that the present actor has played."""

    def checkpoint(self) -> None:
        """Keeps what is needed to go on from here."""

    def finish(self, folder: Path) -> None:
        """Writes model and learner into the stage's folder."""


class Teacher(Protocol):
    """What learns for the phases of one replicate."""

    device: str

    def offline(self, lesson: OfflineLesson, log: Path, folder: Path, unfinished: Path, progress: Progress) -> None:
        """Writes model, critic and learner into `folder`; `log` is the Parquet file, `unfinished` where checkpoints go."""

    def online(self, lesson: OnlineLesson, start: Path | None, unfinished: Path) -> OnlineCourse:
        """Begins from the folder of a stage with a model, or from nothing, or where a checkpoint left off."""

    def train(self, lesson: TrainingLesson, folder: Path, unfinished: Path, progress: Progress) -> None:
        """Learns on many networks; writes model and learner into `folder`."""


class LocalTeacher:
    """Learns in this process."""

    def __init__(self, setting: Setting, device: str = "cpu", measured: Measured | None = None) -> None:
        """`measured` is told, after every UPDATES_AT_ONCE offline updates, what the last of them has measured."""
        self.setting, self.device, self._measured = setting, device, measured

    def offline(self, lesson: OfflineLesson, log: Path, folder: Path, unfinished: Path, progress: Progress) -> None:
        """As in `Teacher`."""
        if lesson.algorithm == "outcomes":
            learn_outcomes(self.setting, lesson, log, folder, unfinished, progress, self.device, self._measured)
            return
        # torch takes seconds to import, and a comparison of heuristics does not need it
        from edgebed.learning.checkpoints import Meaning, digest_of, restore_checkpoint, save_checkpoint
        from edgebed.learning.sac_cql import SacCql, SacCqlSettings

        records, _ = read_log(log)
        transitions = self.setting.transitions(records, Attribution(lesson.attribution))
        learner = SacCql(transitions, lesson.seed, SacCqlSettings(**lesson.settings), self.device)
        digest = digest_of(transitions)
        meaning = Meaning("sac-cql", self.setting.observation.digest, ACTION_ORDER, lesson.seed, digest)
        if unfinished.with_suffix(".json").exists():
            restore_checkpoint(unfinished, learner, meaning)
        progress.started(lesson.label, lesson.label, lesson.updates)
        progress.advanced(lesson.label, learner.updates)
        while learner.updates < lesson.updates:
            count = min(UPDATES_AT_ONCE, lesson.updates - learner.updates)
            learner.train(count)
            if self._measured is not None:
                self._measured(learner.updates, learner.measured)
            progress.advanced(lesson.label, count)
            if learner.updates % CHECKPOINT_UPDATES == 0 and learner.updates < lesson.updates:
                save_checkpoint(unfinished, learner, meaning)
        save_checkpoint(folder / "learner", learner, meaning)
        actor = ActorWeights(self.setting.observation, learner.actor.layers)
        (folder / ACTOR).write_bytes(actor.to_bytes())
        scale = np.array([learner.reward_mean, learner.reward_std])
        (folder / "critic.safetensors").write_bytes(_critic_bytes(learner.v.layers, scale))
        progress.finished(lesson.label)

    def online(self, lesson: OnlineLesson, start: Path | None, unfinished: Path) -> "LocalCourse | CandidateCourse":
        """As in `Teacher`."""
        if lesson.algorithm == "candidate-ppo":
            return CandidateCourse(self.setting, lesson, start, unfinished, self.device)
        return LocalCourse(self.setting, lesson, start, unfinished, self.device)

    def train(self, lesson: TrainingLesson, folder: Path, unfinished: Path, progress: Progress) -> None:
        """As in `Teacher`."""
        training = Training(self.setting, lesson, unfinished, self.device)
        progress.started(lesson.label, lesson.label, lesson.updates)
        progress.advanced(lesson.label, training.updates)
        while training.updates < training.total:
            training.step()
            if self._measured is not None:
                self._measured(training.updates, training.metrics)
            progress.advanced(lesson.label, 1, f"success {(1 + training.metrics['reward']) / 2:.1%}")
        training.finish(folder, ACTOR)
        progress.finished(lesson.label)


class LocalCourse:
    """PPO in this process."""

    def __init__(
        self, setting: Setting, lesson: OnlineLesson, start: Path | None, unfinished: Path, device: str
    ) -> None:
        from edgebed.learning.checkpoints import Meaning, restore_checkpoint
        from edgebed.learning.ppo import Ppo, PpoSettings

        self._setting, self._unfinished = setting, unfinished
        self._attribution = Attribution(lesson.attribution)
        settings = PpoSettings(**lesson.settings)
        observation = setting.observation
        self._learner = Ppo(
            observation.static(setting.network),
            observation.dynamic_size,
            lesson.seed,
            settings,
            **({} if start is None else _start(start, fresh_critic=lesson.fresh_critic or settings.own_reward)),
            device=device,
        )
        self.metrics: dict[str, float] = {}
        """What the latest update has measured, as `Ppo.update` says."""
        self._meaning = Meaning("ppo", observation.digest, ACTION_ORDER, lesson.seed)
        if unfinished.with_suffix(".json").exists():
            restore_checkpoint(unfinished, self._learner, self._meaning)

    @property
    def updates(self) -> int:
        """As in `OnlineCourse`."""
        return self._learner.updates

    def weights(self) -> ActorWeights:
        """As in `OnlineCourse`."""
        return ActorWeights(self._setting.observation, self._learner.actor.layers)

    def update(self, log: TaskLog) -> None:
        """As in `OnlineCourse`."""
        self.metrics = self._learner.update(self._setting.transitions(log, self._attribution))

    def checkpoint(self) -> None:
        """As in `OnlineCourse`."""
        from edgebed.learning.checkpoints import save_checkpoint

        save_checkpoint(self._unfinished, self._learner, self._meaning)

    def finish(self, folder: Path) -> None:
        """As in `OnlineCourse`."""
        from edgebed.learning.checkpoints import save_checkpoint

        save_checkpoint(folder / "learner", self._learner, self._meaning)
        (folder / ACTOR).write_bytes(self.weights().to_bytes())


def _critic_bytes(layers: Any, reward_scale: NDArray[np.float64]) -> bytes:
    named = {f"layers.{k}.{name}": a for k, pair in enumerate(layers) for name, a in zip("wb", pair, strict=True)}
    return bytes(save({**named, "rewardScale": reward_scale}))


def _start(offline: Path, *, fresh_critic: bool) -> dict[str, Any]:
    """What PPO takes over from the offline stage: the actor, and the critic of the team's reward with its scale."""
    start: dict[str, Any] = {"actor": read_model((offline / ACTOR).read_bytes()).layers}
    if not fresh_critic:
        critic = load((offline / "critic.safetensors").read_bytes())
        start["critic"] = tuple((critic[f"layers.{k}.w"], critic[f"layers.{k}.b"]) for k in range(3))
        start["reward_scale"] = (float(critic["rewardScale"][0]), float(critic["rewardScale"][1]))
    return start
