"""The work of a trainer: a lesson from a log, or the steps of an online course.

What comes in and goes out are artefacts: an experiment with its files, a log, a model. A course lives in memory and in the
checkpoints that the controller asks for; a trainer that was started again resumes from the latest, and says so. A model is
published with the key of the job that made it, so a job that was done before a restart is not done again.
"""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, assert_never

from edgebed.experiment.errors import Problem, UserError
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.reading import load
from edgebed.runner.candidates import CandidateCourse
from edgebed.runner.progress import Progress
from edgebed.runner.setting import ACTOR, Setting
from edgebed.runner.teacher import LocalCourse, LocalTeacher
from edgebed.runner.teacher import Measured as Tell
from edgebed.stores.artefacts import ArtefactError, ArtefactStore
from edgebed.stores.log_files import read_log
from edgebed.trainer.requests import (
    BeginJob,
    CheckpointJob,
    CourseJob,
    FinishJob,
    Job,
    OfflineJob,
    Replicate,
    TrainJob,
    UpdateJob,
)

LOG = "log.parquet"
EXPERIMENT = "experiment.yaml"


class UnknownCourse(Exception):
    """The trainer does not have the course, or not where it should be; begin it again."""


@dataclass(frozen=True)
class Measured:
    """What learning says of its latest update."""

    experiment: str = ""
    algorithm: str = ""
    updates: int = 0
    values: Mapping[str, float] = field(default_factory=dict)
    """By their names in `learning`."""


class Lessons:
    """Does jobs, in one thread."""

    def __init__(self, artefacts: ArtefactStore, folder: Path, device: str) -> None:
        """`folder` keeps checkpoints; it must outlive the process."""
        self._artefacts, self._folder, self._device = artefacts, folder, device
        self._courses: dict[str, tuple[int, LocalCourse | CandidateCourse]] = {}
        self._tellers: dict[str, Tell] = {}
        """Of the courses."""
        self._settings: dict[tuple[str, int], Setting] = {}
        self._experiments: dict[str, str] = {}
        """Names by artefact."""
        self.metrics: dict[str, float] = {}
        """What the job has measured."""
        self.measured = Measured()
        """What any job has measured last."""

    def do(self, key: str, request: Job, progress: Progress) -> dict[str, Any]:
        """The job's result as JSON. Raises UnknownCourse, EdgebedError, ModelError, and what learning raises."""
        self.metrics = {}
        match request:
            case OfflineJob():
                return self._offline(key, request, progress)
            case TrainJob():
                return self._train(key, request, progress)
            case BeginJob():
                return self._begin(request)
            case UpdateJob():
                return self._update(request)
            case CheckpointJob():
                course = self._course(request)
                course.checkpoint()
                return {"updates": course.updates}
            case FinishJob():
                return self._finish(key, request)
            case _:
                assert_never(request)

    def _offline(self, key: str, request: OfflineJob, progress: Progress) -> dict[str, Any]:
        from edgebed.learning.outcomes import OutcomesSettings
        from edgebed.learning.sac_cql import SacCqlSettings

        algorithm = request.lesson.algorithm
        _check(request.lesson.settings, OutcomesSettings if algorithm == "outcomes" else SacCqlSettings)
        found = self._published(request.result, key)
        if found is None:
            setting = self._setting(request.setting)
            told = self._teller(request.setting.experiment, algorithm)
            teacher = LocalTeacher(setting, self._device, told)
            with tempfile.TemporaryDirectory() as name:
                log, made = Path(name) / LOG, Path(name) / "made"
                log.write_bytes(self._artefacts.open(request.log).read(LOG))
                made.mkdir()
                teacher.offline(request.lesson.lesson(), log, made, self._unfinished(key), progress)
                found = self._publish(request.result, made, key)
        self._forget(key)
        return found

    def _train(self, key: str, request: TrainJob, progress: Progress) -> dict[str, Any]:
        from edgebed.learning.candidate_ppo import CandidatePpoSettings

        _check(request.lesson.settings, CandidatePpoSettings)
        found = self._published(request.result, key)
        if found is None:
            setting = self._setting(request.setting)
            teacher = LocalTeacher(setting, self._device, self._teller(request.setting.experiment, "candidate-ppo"))
            with tempfile.TemporaryDirectory() as name:
                teacher.train(request.lesson.lesson(), Path(name), self._unfinished(key), progress)
                found = self._publish(request.result, Path(name), key)
        self._forget(key)
        return found

    def _begin(self, request: BeginJob) -> dict[str, Any]:
        from edgebed.learning.candidate_ppo import CandidatePpoSettings
        from edgebed.learning.ppo import PpoSettings

        algorithm = request.lesson.algorithm
        _check(request.lesson.settings, CandidatePpoSettings if algorithm == "candidate-ppo" else PpoSettings)
        teacher = LocalTeacher(self._setting(request.setting), self._device)
        with tempfile.TemporaryDirectory() as name:
            start = None if request.start is None else self._fetch(request.start, Path(name))
            course = teacher.online(request.lesson.lesson(), start, self._unfinished(request.course))
        self._courses[request.course] = (request.attempt, course)
        self._tellers[request.course] = self._teller(request.setting.experiment, algorithm)
        return _state(course)

    def _update(self, request: UpdateJob) -> dict[str, Any]:
        course = self._course(request, behind=1)
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / LOG
            path.write_bytes(self._artefacts.open(request.log).read(LOG))
            course.update(read_log(path)[0])
        self._tellers[request.course](course.updates, course.metrics)
        return _state(course)

    def _finish(self, key: str, request: FinishJob) -> dict[str, Any]:
        found = self._published(request.result, key)
        if found is None:
            course = self._course(request)
            with tempfile.TemporaryDirectory() as name:
                course.finish(Path(name))
                found = self._publish(request.result, Path(name), key)
        self._courses.pop(request.course, None)
        self._tellers.pop(request.course, None)
        self._forget(request.course)
        return found

    def _course(self, request: CourseJob, behind: int = 0) -> LocalCourse | CandidateCourse:
        """The course, when it is at the update that the request is about, or so many before it."""
        attempt, course = self._courses.get(request.course, (None, None))
        if course is None or attempt != request.attempt:
            raise UnknownCourse(f"course {request.course} is not known here under {request.attempt}; begin it")
        if course.updates != request.number - behind:
            said = f"is at update {course.updates}, where {request.number - behind} is expected"
            raise UnknownCourse(f"course {request.course} {said}; begin it again")
        return course

    def _setting(self, of: Replicate) -> Setting:
        key = (of.experiment, of.replicate)
        if key not in self._settings:
            with tempfile.TemporaryDirectory() as name:
                folder = self._fetch(of.experiment, Path(name))
                if not (folder / EXPERIMENT).exists():
                    raise ArtefactError(f"artefact {of.experiment} has no {EXPERIMENT}; publish it again")
                experiment = load(folder / EXPERIMENT)
                self._experiments[of.experiment] = experiment.name
                if of.replicate >= experiment.spec.replicates:
                    remedy = f"the experiment has networks 0 to {experiment.spec.replicates - 1}"
                    raise UserError(Problem("setting.replicate", f"{of.replicate} is not allowed", remedy))
                self._settings[key] = Setting.of(experiment, of.replicate, read_inputs(experiment))
        return self._settings[key]

    def _fetch(self, name: str, folder: Path) -> Path:
        """All files of an artefact into a folder."""
        artefact = self._artefacts.open(name)
        for file in artefact.files:  # the store sees to it that these stay below the folder
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(artefact.read(file))
        return folder

    def _published(self, name: str, key: str) -> dict[str, Any] | None:
        """The result of a job that was done before, undamaged; None where there is none."""
        try:
            artefact = self._artefacts.open(name)
            for file in artefact.files:
                artefact.read(file)
        except ArtefactError:
            return None
        same = artefact.about.get("job") == key and ACTOR in artefact.files
        return {"artefact": name, "sha256": artefact.files[ACTOR]} if same else None

    def _publish(self, name: str, folder: Path, key: str) -> dict[str, Any]:
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        published = self._artefacts.publish(name, files, {"by": "trainer", "job": key})
        return {"artefact": name, "sha256": published.files[ACTOR]}

    def _teller(self, experiment: str, algorithm: str) -> Tell:
        """Takes down what learning for an experiment measures."""
        name = self._experiments[experiment]

        def tell(updates: int, values: Mapping[str, float]) -> None:
            self.metrics = dict(values)
            self.measured = Measured(name, algorithm, updates, self.metrics)

        return tell

    def _unfinished(self, key: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / hashlib.sha256(key.encode()).hexdigest()[:32]

    def _forget(self, key: str) -> None:
        unfinished = self._unfinished(key)
        for file in unfinished.parent.glob(f"{unfinished.name}*"):
            file.unlink(missing_ok=True)


def _state(course: LocalCourse | CandidateCourse) -> dict[str, Any]:
    return {"updates": course.updates, "actor": course.weights().to_bytes().hex()}


def _check(settings: Mapping[str, object], of: type) -> None:
    """Refuses names that the algorithm does not know."""
    known = [field.name for field in fields(of)]
    for name in settings:
        if name not in known:
            raise UserError(Problem(f"lesson.settings.{name}", "is not known", f"give {', '.join(known)}"))
