"""The stages of one replicate: collect a log, learn from it, fine-tune, evaluate. Each is computed once.

A stage is a folder whose name is the hash of everything that determines its content, so two methods that start from the
same log share it, and a run that was interrupted goes on where it stopped. A stage that learns also keeps a checkpoint
beside the store while it runs, from which it resumes with the exact next update.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

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

    def _seed(self, purpose: int) -> int:
        """The seed of one training run, from the network's and the run's."""
        rng = generator(self.setting.network_seed, Stream.LEARNING, self.training_seed, purpose)
        return int(rng.integers(0, 2**63))
