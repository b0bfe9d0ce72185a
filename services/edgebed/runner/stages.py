"""The stages of one replicate: collect a log, learn from it, fine-tune, evaluate. Each is computed once.

A stage is a folder whose name is the hash of everything that determines its content, so two methods that start from the
same log share it, and a run that was interrupted goes on where it stopped. A stage that learns also keeps a checkpoint
beside the store while it runs, from which it resumes with the exact next update.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebed.experiment.methods import Collect, Method, Offline, Online, PolicyChoice
from edgebed.experiment.outcome import CurvePoint, EpisodeCounts, Outcome
from edgebed.experiment.specification import Evaluation
from edgebed.experiment.stages import StageStore
from edgebed.runner.progress import Progress
from edgebed.runner.setting import Setting
from edgebed.simulator.rollout import Rollout
from edgebed.stores.log_files import read_log, write_log
from edgebed.systems.cooperative.actor import ActorWeights
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
CHECKPOINT_EPISODES = 400


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
            inputs = {"policy": choice.model_dump(mode="json", by_alias=True)}
            return self._evaluate(method.name, inputs, lambda: self.setting.policy(choice), evaluation, [])
        model: Path | None = None
        curve: list[CurvePoint] = []
        if method.offline is not None:
            assert method.collect is not None  # the specification sees to it
            log = self._collect(method.collect)
            model = self._offline(log, method.offline, attribution)
        if method.online is not None:
            model = self._online(model, method.online, attribution, evaluation)
            curve = [CurvePoint.from_document(point) for point in json.loads((model / "curve.json").read_text())]
        assert model is not None  # the specification sees to it
        actor = ActorWeights.from_bytes((model / "actor.safetensors").read_bytes())
        inputs = {"model": model.name}
        return self._evaluate(method.name, inputs, lambda: Actor(self.setting.context, actor), evaluation, curve)

    def _collect(self, collect: Collect) -> Path:
        inputs = {
            "setting": self.setting.fingerprint(),
            "policy": collect.policy.model_dump(mode="json", by_alias=True),
            "episodes": collect.episodes,
        }

        def make(folder: Path) -> None:
            played = self._play(self.setting.policy(collect.policy), Stream.COLLECT, collect.episodes, "collecting")
            write_log(folder / "log.parquet", played.log, {**inputs, "slots": self.setting.workload_model.slots})

        return self.store.compute("collect", inputs, make)

    def _offline(self, log: Path, offline: Offline, attribution: str) -> Path:
        # torch takes seconds to import, and a comparison of heuristics does not need it
        from edgebed.learning.sac_cql import SacCql, SacCqlSettings

        settings = SacCqlSettings(**_known(SacCqlSettings, offline.settings()))
        inputs = {
            "setting": self.setting.fingerprint(),
            "log": log.name,
            "settings": repr(settings),
            "updates": offline.updates,
            "attribution": offline.attribution or attribution,
            "trainingSeed": self.training_seed,
            "device": self.device,
        }

        def make(folder: Path) -> None:
            records, _ = read_log(log / "log.parquet")
            transitions = self.setting.transitions(records, Attribution(offline.attribution or attribution))
            learner = SacCql(transitions, seed=self._seed(0), settings=settings, device=self.device)
            resume = self._checkpoint("offline", inputs)
            if resume.exists():
                learner.load(resume)
            label = f"{self.label}: offline, {offline.updates} updates"
            self.progress.started(str(folder), label, offline.updates)
            self.progress.advanced(str(folder), learner.updates)
            while learner.updates < offline.updates:
                step = min(UPDATES_AT_ONCE, offline.updates - learner.updates)
                learner.train(step)
                self.progress.advanced(str(folder), step)
                if learner.updates % CHECKPOINT_UPDATES == 0:
                    learner.save(resume)
            learner.save(folder / "learner")
            (folder / "actor.safetensors").write_bytes(self._weights(learner.actor.layers).to_bytes())
            self.progress.finished(str(folder))
            shutil.rmtree(resume, ignore_errors=True)

        return self.store.compute("offline", inputs, make)

    def _online(self, start: Path | None, online: Online, attribution: str, evaluation: Evaluation) -> Path:
        from edgebed.learning.ppo import Ppo, PpoSettings

        settings = PpoSettings(**_known(PpoSettings, online.settings()))
        rewards = Attribution(online.attribution or attribution)
        inputs = {
            "setting": self.setting.fingerprint(),
            "start": None if start is None else start.name,
            "settings": repr(settings),
            "episodes": online.episodes,
            "episodesPerUpdate": online.episodes_per_update,
            "attribution": str(rewards),
            "every": evaluation.every,
            "curveEpisodes": evaluation.curve_episodes,
            "trainingSeed": self.training_seed,
            "device": self.device,
        }

        def make(folder: Path) -> None:
            learner = Ppo(self.setting.observation, seed=self._seed(1), settings=settings, device=self.device)
            if start is not None:
                learner.start_from(start / "learner")
            resume = self._checkpoint("online", inputs)
            curve: list[CurvePoint] = []
            done = 0
            if resume.exists():
                learner.load(resume)
                curve = [CurvePoint.from_document(point) for point in json.loads((resume / "curve.json").read_text())]
                done = curve[-1].online_episodes
            label = f"{self.label}: online, {online.episodes} episodes"
            self.progress.started(str(folder), label, online.episodes)
            self.progress.advanced(str(folder), done)
            if not curve:
                curve.append(self._point(0, learner, evaluation))
            while done < online.episodes:
                count = min(online.episodes_per_update, online.episodes - done)
                tasks = self.setting.tasks(Stream.ONLINE, range(done, done + count), self.training_seed)
                played = self.setting.play(self._actor(learner), tasks)
                learner.update(self.setting.transitions(played.log, rewards))
                done += count
                crossed = done // evaluation.every > (done - count) // evaluation.every
                if crossed or done == online.episodes:
                    curve.append(self._point(done, learner, evaluation))
                    rate = float(np.mean(curve[-1].success_rates))
                    self.progress.advanced(str(folder), count, f"success {rate:.1%}")
                else:
                    self.progress.advanced(str(folder), count)
                if curve[-1].online_episodes == done and done % CHECKPOINT_EPISODES == 0:
                    learner.save(resume)
                    (resume / "curve.json").write_text(json.dumps([point.to_document() for point in curve]))
            learner.save(folder / "learner")
            (folder / "actor.safetensors").write_bytes(self._weights(learner.actor.layers).to_bytes())
            (folder / "curve.json").write_text(json.dumps([point.to_document() for point in curve]))
            self.progress.finished(str(folder))
            shutil.rmtree(resume, ignore_errors=True)

        return self.store.compute("online", inputs, make)

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

    def _checkpoint(self, kind: str, inputs: dict[str, Any]) -> Path:
        """Where a stage that is being learned keeps its checkpoint."""
        return self.store.root / "unfinished" / f"{kind}-{self.store.key(kind, inputs)}"

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


def _known(settings: type, given: dict[str, Any]) -> dict[str, Any]:
    """What of a specification's fields the algorithm has; the rest is the runner's."""
    return {field.name: given[field.name] for field in fields(settings) if field.name in given}
