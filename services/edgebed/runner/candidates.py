"""The candidate actor on one network: learned from a log, or tuned while playing. `training` learns it over many."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebed.runner.progress import Progress
from edgebed.runner.setting import ACTOR, Setting, read_actor
from edgebed.stores.log_files import read_log
from edgebed.systems.cooperative.candidate import Ask, CandidateObservation, CandidateSpecification
from edgebed.systems.cooperative.candidate_actor import CandidateScorer, CandidateWeights
from edgebed.systems.cooperative.candidate_ranges import ranges
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.log import TaskLog

if TYPE_CHECKING:
    from edgebed.runner.teacher import OfflineLesson, OnlineLesson

UPDATES_AT_ONCE = 50


def learn_outcomes(
    setting: Setting,
    lesson: "OfflineLesson",
    log: Path,
    folder: Path,
    unfinished: Path,
    progress: Progress,
    device: str,
    measured: Callable[[int, Mapping[str, float]], None] | None,
) -> None:
    """Writes a candidate actor that chooses by the outcomes that a log teaches; see `learning.outcomes`."""
    from edgebed.learning.checkpoints import Meaning, restore_checkpoint, save_checkpoint
    from edgebed.learning.judging import outcomes_of
    from edgebed.learning.outcomes import Outcomes, OutcomesSettings

    records, _ = read_log(log)
    settings = OutcomesSettings(**lesson.settings)
    judged = outcomes_of(records, setting.context, Ask.of(lesson.ask), every=settings.every)
    learner = Outcomes(judged, lesson.seed, settings, device)
    sees = CandidateSpecification()
    content = hashlib.sha256(log.read_bytes()).hexdigest()
    meaning = Meaning("outcomes", sees.digest, "candidates", lesson.seed, f"{content} ask {lesson.ask}")
    if unfinished.with_suffix(".json").exists():
        restore_checkpoint(unfinished, learner, meaning)
    progress.started(lesson.label, lesson.label, lesson.updates)
    progress.advanced(lesson.label, learner.updates)
    while learner.updates < lesson.updates:
        count = min(UPDATES_AT_ONCE, lesson.updates - learner.updates)
        learner.train(count)
        if measured is not None:
            measured(learner.updates, learner.measured)
        progress.advanced(lesson.label, count)
    save_checkpoint(folder / "learner", learner, meaning)
    known = ranges(CandidateObservation(setting.context))
    (folder / ACTOR).write_bytes(CandidateWeights(learner.layers, known, lesson.ask).to_bytes())
    progress.finished(lesson.label)


class CandidateCourse:
    """`candidate-ppo` in this process, as `OnlineCourse`."""

    def __init__(
        self, setting: Setting, lesson: "OnlineLesson", start: Path | None, unfinished: Path, device: str
    ) -> None:
        """Raises ModelError for a start that is the paper's actor."""
        from edgebed.learning.candidate_ppo import CandidatePpo, CandidatePpoSettings
        from edgebed.learning.checkpoints import Meaning, restore_checkpoint

        self._setting, self._unfinished = setting, unfinished
        self._begun: CandidateWeights | None = None
        settings = CandidatePpoSettings(**lesson.settings)
        if start is not None:
            model = read_actor(start / ACTOR)
            if not isinstance(model, CandidateWeights):
                remedy = "candidate-ppo goes on with a candidate actor; name one, or use ppo"
                raise ModelError("start", "an actor of one network", remedy)
            self._begun = model
            settings = replace(settings, hidden=int(model.layers[0][1].shape[0]))
        sees = CandidateSpecification()
        self._learner = CandidatePpo(
            sees.static_size,
            sees.dynamic_size,
            lesson.seed,
            settings,
            actor=None if self._begun is None else self._begun.layers,
            device=device,
        )
        self._observation = CandidateObservation(setting.context)
        self._here = ranges(self._observation)
        self.metrics: dict[str, float] = {}
        """What the latest update has measured, as `CandidatePpo.update` says."""
        self._meaning = Meaning("candidate-ppo", sees.digest, "candidates", lesson.seed)
        if unfinished.with_suffix(".json").exists():
            restore_checkpoint(unfinished, self._learner, self._meaning)

    @property
    def updates(self) -> int:
        """As in `OnlineCourse`."""
        return self._learner.updates

    def weights(self) -> CandidateWeights:
        """As in `OnlineCourse`; it knows this network now."""
        ask = "none" if self._begun is None else self._begun.ask
        return CandidateWeights(self._learner.actor.layers, self._here, ask)

    def update(self, log: TaskLog) -> None:
        """As in `OnlineCourse`."""
        from edgebed.learning.judging import judge

        weights = self.weights()
        scorer = CandidateScorer(weights, self._observation)
        eta = self._learner.settings.crowding
        self.metrics = self._learner.update([judge(log, self._setting.context, scorer, Ask.of(weights.ask), eta)])

    def checkpoint(self) -> None:
        """As in `OnlineCourse`."""
        from edgebed.learning.checkpoints import save_checkpoint

        save_checkpoint(self._unfinished, self._learner, self._meaning)

    def finish(self, folder: Path) -> None:
        """As in `OnlineCourse`."""
        from edgebed.learning.checkpoints import save_checkpoint

        save_checkpoint(folder / "learner", self._learner, self._meaning)
        (folder / ACTOR).write_bytes(self.weights().to_bytes())
