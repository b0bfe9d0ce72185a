"""The stages of one replicate: collect a log, learn from it, fine-tune, evaluate. Each is computed once.

A stage is a folder whose name is the hash of everything that determines its content, so two methods that start from the
same log share it, and a run that was interrupted goes on where it stopped. A stage that learns also keeps a checkpoint
beside the store while it runs, from which it resumes with the exact next update.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from edgebed.experiment.files import write_atomically
from edgebed.experiment.methods import Collect, Method, Offline, Online
from edgebed.experiment.outcome import CurvePoint, EpisodeCounts, Outcome
from edgebed.experiment.parts import Evaluation
from edgebed.experiment.stages import StageStore
from edgebed.runner.progress import Progress
from edgebed.runner.setting import Setting
from edgebed.simulator.rollout import Rollout
from edgebed.stores.log_files import read_log, write_log
from edgebed.systems.cooperative.actor import ACTION_ORDER, ActorWeights
from edgebed.systems.cooperative.conversion import Attribution
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.policies.actor import Actor
from edgebed.systems.cooperative.policy import Policy
from edgebed.systems.cooperative.randomness import Stream, generator

EPISODES_AT_ONCE = 50
"""Progress is told after so many episodes of collecting and evaluating."""

UPDATES_AT_ONCE = 50
"""Likewise for offline updates; a checkpoint is kept every CHECKPOINT_UPDATES."""

CHECKPOINT_UPDATES = 1000
POINTS_PER_CHECKPOINT = 4
"""Online, a checkpoint is kept with every fourth point of the learning curve."""


class Stages:
    """Computes what the methods of one replicate and training seed need."""

    def __init__(
        self, setting: Setting, store: StageStore, progress: Progress, *, training_seed: int, device: str, label: str
    ) -> None:
        self.setting, self.store, self.progress = setting, store, progress
        self.training_seed, self.device, self.label = training_seed, device, label

    def outcome(self, method: Method, attribution: str, evaluation: Evaluation) -> Outcome:
        """Everything that one method needs, up to its evaluation."""
        if method.policy is not None:
            choice = method.policy
            inputs: dict[str, Any] = {"policy": self.setting.identity(choice)}
            return self._evaluate(method.name, inputs, lambda: self.setting.policy(choice), evaluation, [])
        model: Path | None = None
        curve: list[CurvePoint] = []
        if method.offline is not None:
            assert method.collect is not None  # the specification sees to it
            log = self._collect(method.collect)
            model = self._offline(log, method.offline, attribution)
        if method.online is not None:
            model = self._online(model, method.online, attribution, evaluation)
            curve = _points(model / "curve.json")
        assert model is not None  # the specification sees to it
        actor = ActorWeights.from_bytes((model / "actor.safetensors").read_bytes())
        inputs = {"model": self.store.digest(model)}
        return self._evaluate(method.name, inputs, lambda: Actor(self.setting.context, actor), evaluation, curve)

    def _collect(self, collect: Collect) -> Path:
        inputs = {
            "setting": self.setting.fingerprint(),
            "policy": self.setting.identity(collect.policy),
            "episodes": collect.episodes,
        }

        def make(folder: Path) -> None:
            label = f"{self.label}: collecting with {collect.policy.kind}"
            played = self._play(self.setting.policy(collect.policy), Stream.COLLECT, collect.episodes, label)
            write_log(folder / "log.parquet", played.log, {**inputs, "slots": self.setting.workload_model.slots})

        return self.store.compute("collect", inputs, make)

    def _offline(self, log: Path, offline: Offline, attribution: str) -> Path:
        # torch takes seconds to import, and a comparison of heuristics does not need it
        from edgebed.learning.checkpoints import Meaning, digest_of, restore_checkpoint, save_checkpoint
        from edgebed.learning.sac_cql import SacCql, SacCqlSettings

        settings = SacCqlSettings(
            batch_slots=offline.batch_slots,
            hidden=offline.hidden,
            learning_rate=offline.learning_rate,
            discount=offline.discount,
            tau=offline.target_update,
            temperature=offline.temperature,
            conservatism=offline.conservatism,
        )
        rewards = Attribution(offline.attribution or attribution)
        inputs = {
            "setting": self.setting.fingerprint(),
            "log": self.store.digest(log),
            "settings": asdict(settings),
            "updates": offline.updates,
            "attribution": str(rewards),
            "trainingSeed": self.training_seed,
            "device": self.device,
        }

        def make(folder: Path) -> None:
            records, _ = read_log(log / "log.parquet")
            transitions = self.setting.transitions(records, rewards)
            seed = self._seed(0)
            learner = SacCql(transitions, seed, settings, self.device)
            meaning = Meaning("sac-cql", self.setting.observation.digest, ACTION_ORDER, seed, digest_of(transitions))
            unfinished = self._unfinished("offline", inputs)
            if unfinished.with_suffix(".json").exists():
                restore_checkpoint(unfinished, learner, meaning)
            label = f"{self.label}: offline learning"
            self.progress.started(label, label, offline.updates)
            self.progress.advanced(label, learner.updates)
            while learner.updates < offline.updates:
                count = min(UPDATES_AT_ONCE, offline.updates - learner.updates)
                learner.train(count)
                self.progress.advanced(label, count)
                if learner.updates % CHECKPOINT_UPDATES == 0 and learner.updates < offline.updates:
                    save_checkpoint(unfinished, learner, meaning)
            save_checkpoint(folder / "learner", learner, meaning)
            (folder / "actor.safetensors").write_bytes(self._weights(learner.actor.layers).to_bytes())
            scale = np.array([learner.reward_mean, learner.reward_std])
            (folder / "critic.safetensors").write_bytes(_critic_bytes(learner.v.layers, scale))
            self.progress.finished(label)

        folder = self.store.compute("offline", inputs, make)
        self._forget("offline", inputs)
        return folder

    def _online(self, start: Path | None, online: Online, attribution: str, evaluation: Evaluation) -> Path:
        from edgebed.learning.checkpoints import Meaning, restore_checkpoint, save_checkpoint
        from edgebed.learning.ppo import Ppo, PpoSettings

        rewards = Attribution(online.attribution or attribution)
        updates = math.ceil(online.episodes / online.episodes_per_update)
        settings = PpoSettings(
            own_reward=rewards is Attribution.PER_TASK,
            discount=online.discount,
            gae=online.gae_lambda,
            clip=online.clip,
            epochs=online.epochs,
            minibatches=online.minibatches,
            learning_rate=online.learning_rate,
            entropy=online.entropy,
            hidden=online.hidden,
            falls_over=updates if online.learning_rate_falls else None,
            warmup_epochs=online.warmup_epochs,
        )
        inputs = {
            "setting": self.setting.fingerprint(),
            "start": None if start is None else self.store.digest(start),
            "settings": asdict(settings),
            "episodes": online.episodes,
            "episodesPerUpdate": online.episodes_per_update,
            "freshCritic": online.fresh_critic,
            "attribution": str(rewards),
            "every": evaluation.every,
            "curveEpisodes": evaluation.curve_episodes,
            "trainingSeed": self.training_seed,
            "device": self.device,
        }

        def make(folder: Path) -> None:
            seed, observation = self._seed(1), self.setting.observation
            learner = Ppo(
                observation.static(self.setting.network),
                observation.dynamic_size,
                seed,
                settings,
                **({} if start is None else _start(start, fresh_critic=online.fresh_critic or settings.own_reward)),
                device=self.device,
            )
            meaning = Meaning("ppo", observation.digest, ACTION_ORDER, seed)
            unfinished = self._unfinished("online", inputs)
            points = unfinished.with_suffix(".curve")
            curve: list[CurvePoint] = []
            if unfinished.with_suffix(".json").exists():
                restore_checkpoint(unfinished, learner, meaning)
                held = learner.updates * online.episodes_per_update
                curve = [point for point in _points(points) if point.online_episodes <= held]
            label = f"{self.label}: online learning"
            self.progress.started(label, label, online.episodes)
            if not curve:
                curve.append(self._point(0, learner, evaluation))
            done = curve[-1].online_episodes
            self.progress.advanced(label, done)
            while done < online.episodes:
                count = min(online.episodes_per_update, online.episodes - done)
                tasks = self.setting.tasks(Stream.ONLINE, range(done, done + count), self.training_seed)
                played = self.setting.play(self._actor(learner), tasks)
                learner.update(self.setting.transitions(played.log, rewards))
                done += count
                note = ""
                if done // evaluation.every > (done - count) // evaluation.every or done == online.episodes:
                    curve.append(self._point(done, learner, evaluation))
                    note = f"success {np.mean(curve[-1].success_rates):.1%}"
                    if len(curve) % POINTS_PER_CHECKPOINT == 0 and done < online.episodes:
                        # The curve first: if we are killed between the two, the older checkpoint takes its part of it.
                        points.parent.mkdir(exist_ok=True)
                        write_atomically(points, _points_bytes(curve))
                        save_checkpoint(unfinished, learner, meaning)
                self.progress.advanced(label, count, note)
            save_checkpoint(folder / "learner", learner, meaning)
            (folder / "actor.safetensors").write_bytes(self._weights(learner.actor.layers).to_bytes())
            (folder / "curve.json").write_bytes(_points_bytes(curve))
            self.progress.finished(label)

        folder = self.store.compute("online", inputs, make)
        self._forget("online", inputs)
        return folder

    def _evaluate(
        self,
        name: str,
        inputs: dict[str, Any],
        policy: Callable[[], Policy],
        evaluation: Evaluation,
        curve: list[CurvePoint],
    ) -> Outcome:
        inputs = {"setting": self.setting.fingerprint(), **inputs, "episodes": evaluation.episodes}

        def make(folder: Path) -> None:
            label = f"{self.label}: evaluating {name}"
            played = self._play(policy(), Stream.EVALUATE, evaluation.episodes, label)
            (folder / "outcome.json").write_text(json.dumps(outcome_of(played, evaluation.episodes).to_document()))

        folder = self.store.compute("evaluate", inputs, make)
        measured = Outcome.from_document(json.loads((folder / "outcome.json").read_text()))
        return replace(measured, curve=tuple(curve))

    def _play(self, policy: Policy, stream: Stream, episodes: int, label: str) -> Rollout:
        """So many episodes of a stream, with progress."""
        key = f"{label} {id(policy)}"
        self.progress.started(key, label, episodes)
        parts = []
        for begin in range(0, episodes, EPISODES_AT_ONCE):
            span = range(begin, min(begin + EPISODES_AT_ONCE, episodes))
            played = self.setting.play(policy, self.setting.tasks(stream, span))
            parts.append(Rollout(played.log.shifted(begin), played.messages))
            self.progress.advanced(key, len(span))
        self.progress.finished(key)
        return Rollout(TaskLog.join([p.log for p in parts]), np.concatenate([p.messages for p in parts]))

    def _point(self, done: int, learner: Any, evaluation: Evaluation) -> CurvePoint:
        """One point of the learning curve, on episodes that are the same for all points and methods."""
        tasks = self.setting.tasks(Stream.CURVE, range(evaluation.curve_episodes))
        played = self.setting.play(self._actor(learner), tasks)
        outcome = outcome_of(played, evaluation.curve_episodes)
        return CurvePoint(done, outcome.success_rates(self.setting.rules.horizon))

    def _actor(self, learner: Any) -> Actor:
        return Actor(self.setting.context, self._weights(learner.actor.layers))

    def _weights(self, layers: Any) -> ActorWeights:
        return ActorWeights(self.setting.observation, layers)

    def _unfinished(self, kind: str, inputs: dict[str, Any]) -> Path:
        """Where a stage that is being learned keeps its checkpoint, without suffix."""
        return self.store.root / "unfinished" / f"{kind}-{self.store.key(kind, inputs)}"

    def _forget(self, kind: str, inputs: dict[str, Any]) -> None:
        unfinished = self._unfinished(kind, inputs)
        for file in unfinished.parent.glob(f"{unfinished.name}*"):
            file.unlink(missing_ok=True)

    def _seed(self, purpose: int) -> int:
        """The seed of one training run, from the network's and the run's."""
        rng = generator(self.setting.network_seed, Stream.LEARNING, self.training_seed, purpose)
        return int(rng.integers(0, 2**63))


def outcome_of(played: Rollout, episodes: int) -> Outcome:
    """What the log of some episodes says about its policy."""
    log = played.log

    def count(of: Any) -> list[int]:
        return [int(x) for x in np.bincount(log.episode, of, minlength=episodes)]

    succeeded = log.status == TaskState.SUCCEEDED
    delay = np.bincount(log.episode, np.where(succeeded, log.delay_s, 0.0), minlength=episodes)
    columns = zip(
        count(succeeded),
        count(log.status == TaskState.DROPPED),
        count(log.status == TaskState.FAILED),
        count(log.status == TaskState.UNFINISHED),
        count(log.destination != log.source),
        count(played.messages),
        delay.tolist(),
        strict=True,
    )
    return Outcome(
        episodes=tuple(
            EpisodeCounts(ok, dropped, failed, unfinished, offloaded, messages, total / ok if ok else None)
            for ok, dropped, failed, unfinished, offloaded, messages, total in columns
        ),
        delay_quantiles_s=quantiles(log.delay_s[succeeded]),
    )


def quantiles(delay_s: NDArray[np.float64]) -> dict[str, float]:
    """Delays of succeeded tasks: the 5th, 25th, 50th, 75th, 95th and 99th percentile."""
    if len(delay_s) == 0:
        return {}
    levels = (5, 25, 50, 75, 95, 99)
    return {f"p{level}": float(value) for level, value in zip(levels, np.percentile(delay_s, levels), strict=True)}


def _critic_bytes(layers: Any, reward_scale: NDArray[np.float64]) -> bytes:
    named = {f"layers.{k}.{name}": a for k, pair in enumerate(layers) for name, a in zip("wb", pair, strict=True)}
    return bytes(save({**named, "rewardScale": reward_scale}))


def _start(offline: Path, *, fresh_critic: bool) -> dict[str, Any]:
    """What PPO takes over from the offline stage: the actor, and the critic of the team's reward with its scale."""
    start: dict[str, Any] = {"actor": ActorWeights.from_bytes((offline / "actor.safetensors").read_bytes()).layers}
    if not fresh_critic:
        critic = load((offline / "critic.safetensors").read_bytes())
        start["critic"] = tuple((critic[f"layers.{k}.w"], critic[f"layers.{k}.b"]) for k in range(3))
        start["reward_scale"] = (float(critic["rewardScale"][0]), float(critic["rewardScale"][1]))
    return start


def _points(path: Path) -> list[CurvePoint]:
    return [CurvePoint.from_document(point) for point in json.loads(path.read_text())]


def _points_bytes(curve: list[CurvePoint]) -> bytes:
    return json.dumps([point.to_document() for point in curve]).encode()
