"""The stages of one replicate: collect a log, learn from it, fine-tune, evaluate. Each is computed once.

A stage is a folder whose name is the hash of everything that determines its content, so two methods that start from the
same log share it, and a run that was interrupted goes on where it stopped. A stage that learns also keeps a checkpoint
beside the store while it runs, from which it resumes with the exact next update.
"""

import hashlib
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebed.experiment.files import write_atomically
from edgebed.experiment.inputs import file_content
from edgebed.experiment.methods import Collect, Method, Offline, Online, Training
from edgebed.experiment.outcome import CurvePoint, EpisodeCounts, Outcome
from edgebed.experiment.parts import Evaluation
from edgebed.experiment.shipped import GENERALIST, shipped_model
from edgebed.experiment.stages import StageStore
from edgebed.learning.settings import CandidatePpoSettings, OutcomesSettings, PpoSettings, SacCqlSettings
from edgebed.runner.ground import Decider, Ground, Request
from edgebed.runner.progress import Progress
from edgebed.runner.setting import ACTOR
from edgebed.runner.teacher import OfflineLesson, OnlineCourse, OnlineLesson, Teacher
from edgebed.runner.training import TrainingLesson, TrainingNetworks
from edgebed.simulator.rollout import Rollout
from edgebed.stores.log_files import write_log
from edgebed.systems.cooperative.candidate import CandidateSpecification
from edgebed.systems.cooperative.conversion import Attribution
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.models import read_model
from edgebed.systems.cooperative.randomness import Stream, generator

POINTS_PER_CHECKPOINT = 4
"""Online, a checkpoint is kept with every fourth point of the learning curve."""


class Stages:
    """Computes what the methods of one replicate and training seed need."""

    def __init__(
        self, ground: Ground, teacher: Teacher, store: StageStore, progress: Progress, *, training_seed: int, label: str
    ) -> None:
        self.ground, self.teacher, self.store, self.progress = ground, teacher, store, progress
        self.setting = ground.setting
        self.training_seed, self.label = training_seed, label

    def outcome(self, method: Method, attribution: str, evaluation: Evaluation) -> Outcome:
        """Everything that one method needs, up to its evaluation."""
        if method.policy is not None:
            choice = method.policy
            inputs: dict[str, Any] = {"policy": self.setting.identity(choice)}
            return self._evaluate(method.name, inputs, Decider.of(choice), evaluation, [])
        model: Path | None = None
        curve: list[CurvePoint] = []
        if method.offline is not None:
            assert method.collect is not None  # the specification sees to it
            log = self._collect(method.collect)
            model = self._offline(log, method.offline, attribution)
        if method.training is not None:
            model = self.train(method.training)
        if method.start is not None:
            model = self._start(method.start)
        if method.online is not None:
            model = self._online(model, method.online, attribution, evaluation, method.name)
            curve = _points(model / "curve.json")
        assert model is not None  # the specification sees to it
        actor = read_model((model / ACTOR).read_bytes())
        inputs = {"model": self.store.digest(model)}
        return self._evaluate(method.name, inputs, Decider.trained(actor, method.name), evaluation, curve)

    def _collect(self, collect: Collect) -> Path:
        inputs = {
            "setting": self.setting.fingerprint(),
            "policy": self.setting.identity(collect.policy),
            "episodes": collect.episodes,
            **self.ground.fingerprint(),
        }

        def make(folder: Path) -> None:
            request = Request(
                Stream.COLLECT,
                range(collect.episodes),
                phase=self._phase("collect", inputs),
                label=f"{self.label}: collecting with {collect.policy.kind}",
            )
            played = self.ground.play(Decider.of(collect.policy), request, self.progress)
            write_log(folder / "log.parquet", played.log, {**inputs, "slots": self.setting.workload_model.slots})

        return self.store.compute("collect", inputs, make)

    def train(self, training: Training) -> Path:
        """One model for all networks: it does not depend on the replicate, so whoever comes first makes it."""
        updates = math.ceil(training.episodes / training.episodes_per_update)
        settings = CandidatePpoSettings(
            crowding=training.crowding,
            temperature=training.temperature if training.algorithm == "worth" else 0.0,
            load_exponent=training.load_exponent,
            focus=training.focus,
            clip=training.clip,
            epochs=training.epochs,
            minibatches=training.minibatches,
            learning_rate=training.learning_rate,
            entropy=training.entropy,
            hidden=training.hidden,
            falls_over=updates,
        )
        setting, networks = self.setting, training.networks
        varied = networks.domain_randomisation
        rng = generator(setting.experiment_seed, Stream.LEARNING, self.training_seed, 2)
        lesson = TrainingLesson(
            settings=asdict(settings),
            source=networks.source,
            per_update=networks.per_update,
            nodes=networks.nodes,
            updates=updates,
            episodes_per_update=training.episodes_per_update,
            ask=training.ask,
            learns_to_ask=training.learns_to_ask or (training.ask,),
            training_seed=self.training_seed,
            seed=int(rng.integers(0, 2**63)),
            label=f"{self.label}: training over networks",
            domain_randomisation=None if varied is None else varied.document(),
        )
        drawn = TrainingNetworks(setting, lesson)
        drawn.check()
        inputs = {
            "lesson": {**asdict(lesson), "label": ""},
            "networks": drawn.fingerprint(),
            "workload": repr(setting.workload_model),
            "rules": repr(setting.rules),
            "maskCoefficient": setting.mask_coefficient,
            "experimentSeed": setting.experiment_seed,
            "observation": CandidateSpecification().digest,
            "device": self.teacher.device,
        }

        def make(folder: Path) -> None:
            self.teacher.train(lesson, folder, self._unfinished("training", inputs), self.progress)

        folder = self.store.compute("training", inputs, make)
        self._forget("training", inputs)
        return folder

    def _start(self, start: str) -> Path:
        """A candidate actor that exists, as a stage to go on from."""
        path = shipped_model() if start == GENERALIST else self.setting.folder / start
        content = file_content(path, "start")

        def make(folder: Path) -> None:
            (folder / ACTOR).write_bytes(content)

        return self.store.compute("start", {"sha256": hashlib.sha256(content).hexdigest()}, make)

    def _offline(self, log: Path, offline: Offline, attribution: str) -> Path:
        settings = _offline_settings(offline)
        rewards = Attribution(offline.attribution or attribution)
        inputs = {
            "setting": self.setting.fingerprint(),
            "log": self.store.digest(log),
            "settings": settings,
            "updates": offline.updates,
            "attribution": self._rewards(rewards),
            "trainingSeed": self.training_seed,
            "device": self.teacher.device,
        }
        if offline.algorithm == "outcomes":
            inputs |= {"algorithm": offline.algorithm, "ask": offline.ask, "sees": CandidateSpecification().digest}

        def make(folder: Path) -> None:
            lesson = OfflineLesson(
                settings=settings,
                updates=offline.updates,
                attribution=str(rewards),
                seed=self._seed(0),
                label=f"{self.label}: offline learning",
                algorithm=offline.algorithm,
                ask=offline.ask,
            )
            unfinished = self._unfinished("offline", inputs)
            self.teacher.offline(lesson, log / "log.parquet", folder, unfinished, self.progress)

        folder = self.store.compute("offline", inputs, make)
        self._forget("offline", inputs)
        return folder

    def _online(
        self, start: Path | None, online: Online, attribution: str, evaluation: Evaluation, method: str
    ) -> Path:
        rewards = Attribution(online.attribution or attribution)
        settings = _online_settings(online, rewards)
        inputs = {
            "setting": self.setting.fingerprint(),
            "start": None if start is None else self.store.digest(start),
            "settings": settings,
            "episodes": online.episodes,
            "episodesPerUpdate": online.episodes_per_update,
            "freshCritic": online.fresh_critic,
            "attribution": self._rewards(rewards),
            "every": evaluation.every,
            "curveEpisodes": evaluation.curve_episodes,
            "trainingSeed": self.training_seed,
            "device": self.teacher.device,
            **self.ground.fingerprint(),
        }
        if online.algorithm == "candidate-ppo":
            inputs |= {"algorithm": online.algorithm, "sees": CandidateSpecification().digest}

        def make(folder: Path) -> None:
            lesson = OnlineLesson(settings, str(rewards), online.fresh_critic, self._seed(1), online.algorithm)
            unfinished = self._unfinished("online", inputs)
            phase = self._phase("online", inputs)
            course = self.teacher.online(lesson, start, unfinished)
            points = unfinished.with_suffix(".curve")
            curve: list[CurvePoint] = []
            if course.updates:  # it goes on from a checkpoint
                held = course.updates * online.episodes_per_update
                curve = [point for point in _points(points) if point.online_episodes <= held]
            label = f"{self.label}: online learning"
            self.progress.started(label, label, online.episodes)
            if not curve and self.ground.plays_curve:
                curve.append(self._point(0, course, evaluation))
            done = curve[-1].online_episodes if curve else 0
            self.progress.advanced(label, done)
            rates: list[float] = []
            while done < online.episodes:
                count = min(online.episodes_per_update, online.episodes - done)
                request = Request(
                    Stream.ONLINE, range(done, done + count), (self.training_seed,), phase=phase, method=method
                )
                played = self.ground.play(Decider.trained(course.weights(), method), request, self.progress)
                rates += outcome_of(played, count).success_rates(self.setting.rules.horizon)
                if not curve:  # nothing had been learned when these were played
                    curve.append(CurvePoint(0, tuple(rates)))
                course.update(played.log)
                done += count
                note = ""
                if done // evaluation.every > (done - count) // evaluation.every or done == online.episodes:
                    played_point = CurvePoint(done, tuple(rates))
                    curve.append(self._point(done, course, evaluation) if self.ground.plays_curve else played_point)
                    rates = []
                    note = f"success {np.mean(curve[-1].success_rates):.1%}"
                    if done < online.episodes and (
                        not self.ground.plays_curve or len(curve) % POINTS_PER_CHECKPOINT == 0
                    ):
                        # The curve first: if we are killed between the two, the older checkpoint takes its part of it.
                        points.parent.mkdir(exist_ok=True)
                        write_atomically(points, _points_bytes(curve))
                        course.checkpoint()
                self.progress.advanced(label, count, note)
            course.finish(folder)
            (folder / "curve.json").write_bytes(_points_bytes(curve))
            self.progress.finished(label)

        folder = self.store.compute("online", inputs, make)
        self._forget("online", inputs)
        return folder

    def _evaluate(
        self,
        name: str,
        inputs: dict[str, Any],
        decider: Decider,
        evaluation: Evaluation,
        curve: list[CurvePoint],
    ) -> Outcome:
        inputs = {
            "setting": self.setting.fingerprint(),
            **inputs,
            "episodes": evaluation.episodes,
            **self.ground.fingerprint(),
        }

        def make(folder: Path) -> None:
            request = Request(
                Stream.EVALUATE,
                range(evaluation.episodes),
                phase=self._phase("evaluate", inputs),
                label=f"{self.label}: evaluating {name}",
                method=name,
            )
            played = self.ground.play(decider, request, self.progress)
            (folder / "outcome.json").write_text(json.dumps(outcome_of(played, evaluation.episodes).to_document()))

        folder = self.store.compute("evaluate", inputs, make)
        measured = Outcome.from_document(json.loads((folder / "outcome.json").read_text()))
        return replace(measured, curve=tuple(curve))

    def _point(self, done: int, course: OnlineCourse, evaluation: Evaluation) -> CurvePoint:
        """One point of the learning curve, on episodes that are the same for all points and methods."""
        request = Request(Stream.CURVE, range(evaluation.curve_episodes))
        played = self.ground.play(Decider.trained(course.weights(), ""), request, self.progress)
        outcome = outcome_of(played, evaluation.curve_episodes)
        return CurvePoint(done, outcome.success_rates(self.setting.rules.horizon))

    def _phase(self, kind: str, inputs: dict[str, Any]) -> str:
        """What a ground knows a stage by."""
        return self.store.folder(kind, inputs).name

    def _unfinished(self, kind: str, inputs: dict[str, Any]) -> Path:
        """Where a stage that is being learned keeps its checkpoint, without suffix."""
        return self.store.root / "unfinished" / f"{kind}-{self.store.key(kind, inputs)}"

    def _forget(self, kind: str, inputs: dict[str, Any]) -> None:
        unfinished = self._unfinished(kind, inputs)
        for file in unfinished.parent.glob(f"{unfinished.name}*"):
            file.unlink(missing_ok=True)

    def _rewards(self, rewards: Attribution) -> str:
        """The attribution, with its coefficient if it has one."""
        return f"{rewards} {self.setting.crowding}" if rewards is Attribution.CROWDING else str(rewards)

    def _seed(self, purpose: int) -> int:
        """The seed of one training run, from the network's and the run's."""
        rng = generator(self.setting.network_seed, Stream.LEARNING, self.training_seed, purpose)
        return int(rng.integers(0, 2**63))


def _offline_settings(offline: Offline) -> dict[str, Any]:
    """Of the algorithm, by its own names."""
    if offline.algorithm == "outcomes":
        return asdict(
            OutcomesSettings(
                temperature=offline.temperature,
                batch=8 * offline.batch_slots,
                learning_rate=offline.learning_rate,
                hidden=offline.hidden,
            )
        )
    return asdict(
        SacCqlSettings(
            batch_slots=offline.batch_slots,
            hidden=offline.hidden,
            learning_rate=offline.learning_rate,
            discount=offline.discount,
            tau=offline.target_update,
            temperature=offline.temperature,
            conservatism=offline.conservatism,
        )
    )


def _online_settings(online: Online, rewards: Attribution) -> dict[str, Any]:
    """Of the algorithm, by its own names."""
    updates = math.ceil(online.episodes / online.episodes_per_update)
    same: dict[str, Any] = {
        "clip": online.clip,
        "epochs": online.epochs,
        "minibatches": online.minibatches,
        "learning_rate": online.learning_rate,
        "entropy": online.entropy,
        "hidden": online.hidden,
        "falls_over": updates if online.learning_rate_falls else None,
    }
    if online.algorithm == "candidate-ppo":
        return asdict(CandidatePpoSettings(crowding=online.crowding, **same))
    return asdict(
        PpoSettings(
            own_reward=rewards.own,
            discount=online.discount,
            gae=online.gae_lambda,
            warmup_epochs=online.warmup_epochs,
            **same,
        )
    )


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


def _points(path: Path) -> list[CurvePoint]:
    return [CurvePoint.from_document(point) for point in json.loads(path.read_text())]


def _points_bytes(curve: list[CurvePoint]) -> bytes:
    return json.dumps([point.to_document() for point in curve]).encode()
