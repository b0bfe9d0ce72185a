"""What a trainer does, one job after the other: a lesson from a log, or the steps of an online course.

A job is known by the hash of what it asks for, so the same request is done once, and a controller that lost its answer asks
again. What comes in and goes out are artefacts: an experiment with its files, a log, a model. A course lives in memory and in
the checkpoints that the controller asks for; a trainer that was started again resumes from the latest, and says so.
"""

import hashlib
import logging
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from edgebed.experiment.document import Document
from edgebed.experiment.errors import EdgebedError
from edgebed.experiment.files import canonical
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.reading import load
from edgebed.runner.setting import Setting
from edgebed.runner.teacher import ACTOR, LocalTeacher, OfflineLesson, OnlineCourse, OnlineLesson
from edgebed.stores.artefacts import ArtefactStore
from edgebed.stores.log_files import read_log
from edgebed.systems.cooperative.errors import ModelError

LOG = "log.parquet"
KEPT_JOBS = 1000

_log = logging.getLogger(__name__)

Name = Annotated[str, Field(min_length=1, max_length=300)]


class Replicate(Document):
    """For which network to learn."""

    experiment: Name
    """Artefact with experiment.yaml and the files that it reads."""
    replicate: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Which of its networks."""


class OfflineJob(Document):
    """Learn from a log: Algorithm 1."""

    kind: Literal["offline"]
    setting: Replicate
    lesson: dict[str, Any]
    """As `runner.teacher.OfflineLesson`."""
    log: Name
    """Artefact with log.parquet."""
    result: Name
    """Artefact to publish."""


class BeginJob(Document):
    """Begin an online course, or resume it from its checkpoint."""

    kind: Literal["begin"]
    setting: Replicate
    lesson: dict[str, Any]
    """As `runner.teacher.OnlineLesson`."""
    start: Name | None = None
    """Artefact of an offline lesson."""
    course: Name
    """How the course is called from now on."""
    attempt: Annotated[int, Field(ge=0)] = 0
    """A course that is begun again with another number forgets what it had beyond its checkpoint."""


class UpdateJob(Document):
    """One update of a course from what its present actor has played."""

    kind: Literal["update"]
    course: Name
    attempt: Annotated[int, Field(ge=0)] = 0
    number: Annotated[int, Field(ge=1)]
    """Of the update, from 1."""
    log: Name
    """Artefact with log.parquet."""


class CheckpointJob(Document):
    """Keep what is needed to resume a course from here."""

    kind: Literal["checkpoint"]
    course: Name
    attempt: Annotated[int, Field(ge=0)] = 0
    number: Annotated[int, Field(ge=0)]
    """Of the latest update."""


class FinishJob(Document):
    """Publish model and learner of a course, and forget it."""

    kind: Literal["finish"]
    course: Name
    attempt: Annotated[int, Field(ge=0)] = 0
    number: Annotated[int, Field(ge=0)]
    """Of the latest update."""
    result: Name
    """Artefact to publish."""


JobRequest = Annotated[OfflineJob | BeginJob | UpdateJob | CheckpointJob | FinishJob, Field(discriminator="kind")]


class UnknownCourse(Exception):
    """The trainer does not have the course: it was started again since; begin it again."""


class Cancelled(Exception):
    """Somebody deleted the job."""


@dataclass
class Job:
    """One request and what became of it."""

    key: str
    kind: str
    state: Literal["waiting", "running", "succeeded", "failed"] = "waiting"
    done: float = 0.0
    total: float | None = None
    note: str = ""
    error: str | None = None
    lost_course: bool = False
    """It failed because the course is not known here."""
    result: dict[str, Any] = field(default_factory=dict)
    cancelled: bool = False
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "job": self.key,
            "kind": self.kind,
            "state": self.state,
            "done": self.done,
            "total": self.total,
            "note": self.note,
            "error": self.error,
            "lostCourse": self.lost_course,
            "result": self.result,
        }


class _JobProgress:
    """A job's progress, as the work tells it."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def started(self, stage: str, label: str, total: float | None) -> None:
        """As in `Progress`."""
        self._job.total = total

    def advanced(self, stage: str, amount: float, note: str = "") -> None:
        """As in `Progress`; ends a cancelled job."""
        if self._job.cancelled:
            raise Cancelled
        self._job.done += amount
        self._job.note = note or self._job.note

    def finished(self, stage: str) -> None:
        """As in `Progress`."""


class Trainer:
    """The jobs of one process, done one after the other in a thread of its own."""

    def __init__(self, artefacts: ArtefactStore, folder: Path, device: str = "cpu") -> None:
        """`folder` keeps checkpoints; it must outlive the process."""
        self._artefacts, self._folder, self._device = artefacts, folder, device
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "trainer")
        self._courses: dict[str, tuple[int, OnlineCourse]] = {}
        self._settings: dict[tuple[str, int], Setting] = {}
        self.ended: Counter[tuple[str, str]] = Counter()
        """Jobs by kind and state."""
        self.seconds: Counter[str] = Counter()
        """Time spent, by kind."""

    def submit(self, request: Any) -> Job:
        """Does it once; the same request again finds the same job, unless that failed."""
        key = hashlib.sha256(canonical(request.model_dump(mode="json"))).hexdigest()[:32]
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.state != "failed":
                return job
            job = self._jobs[key] = Job(key, request.kind)
            for old in [k for k, j in self._jobs.items() if j.state in ("succeeded", "failed")][:-KEPT_JOBS]:
                del self._jobs[old]
        self._pool.submit(self._run, job, request)
        return job

    def job(self, key: str) -> Job | None:
        """A job by its key."""
        with self._lock:
            return self._jobs.get(key)

    def close(self) -> None:
        """Ends what runs as soon as it tells its progress."""
        with self._lock:
            for job in self._jobs.values():
                job.cancelled = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: Job, request: Any) -> None:
        if job.cancelled:
            job.state, job.error = "failed", "cancelled"
            return
        job.state = "running"
        begin = time.monotonic()
        try:
            job.result = getattr(self, f"_{request.kind}")(job, request) or {}
            job.state = "succeeded"
        except UnknownCourse as error:
            job.error, job.lost_course, job.state = str(error), True, "failed"
        except (EdgebedError, ModelError, ValueError, OSError) as error:
            job.error, job.state = str(error), "failed"
        except Cancelled:
            job.error, job.state = "cancelled", "failed"
        except Exception as error:  # whatever it is, the controller is told
            _log.exception("job %s failed", job.key)
            job.error, job.state = f"{type(error).__name__}: {error}", "failed"
        job.seconds = time.monotonic() - begin
        self.ended[job.kind, job.state] += 1
        self.seconds[job.kind] += job.seconds  # type: ignore[assignment]  # a counter of seconds

    def _offline(self, job: Job, request: OfflineJob) -> dict[str, Any]:
        setting = self._setting(request.setting)
        lesson = OfflineLesson(**request.lesson)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            log = folder / LOG
            log.write_bytes(self._artefacts.open(request.log).read(LOG))
            made = folder / "made"
            made.mkdir()
            LocalTeacher(setting, self._device).offline(lesson, log, made, self._unfinished(job.key), _JobProgress(job))
            found = self._publish(request.result, made)
        self._forget(job.key)
        return found

    def _begin(self, _: Job, request: BeginJob) -> dict[str, Any]:
        setting = self._setting(request.setting)
        lesson = OnlineLesson(**request.lesson)
        with tempfile.TemporaryDirectory() as name:
            start = None if request.start is None else self._fetch(request.start, Path(name))
            course = LocalTeacher(setting, self._device).online(lesson, start, self._unfinished(request.course))
        self._courses[request.course] = (request.attempt, course)
        return {"updates": course.updates, "actor": course.weights().to_bytes().hex()}

    def _update(self, _: Job, request: UpdateJob) -> dict[str, Any]:
        course = self._course(request.course, request.attempt)
        if request.number != course.updates + 1:
            found = f"update {request.number} cannot follow update {course.updates}"
            raise UnknownCourse(f"course {request.course}: {found}; begin it again")
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / LOG
            path.write_bytes(self._artefacts.open(request.log).read(LOG))
            course.update(read_log(path)[0])
        return {"updates": course.updates, "actor": course.weights().to_bytes().hex()}

    def _checkpoint(self, _: Job, request: CheckpointJob) -> dict[str, Any]:
        course = self._course(request.course, request.attempt)
        course.checkpoint()
        return {"updates": course.updates}

    def _finish(self, _: Job, request: FinishJob) -> dict[str, Any]:
        course = self._course(request.course, request.attempt)
        with tempfile.TemporaryDirectory() as name:
            course.finish(Path(name))
            found = self._publish(request.result, Path(name))
        self._courses.pop(request.course, None)
        self._forget(request.course)
        return found

    def _course(self, name: str, attempt: int) -> OnlineCourse:
        there = self._courses.get(name)
        if there is None or there[0] != attempt:
            raise UnknownCourse(f"course {name} is not known here; begin it")
        return there[1]

    def _setting(self, of: Replicate) -> Setting:
        key = (of.experiment, of.replicate)
        if key not in self._settings:
            with tempfile.TemporaryDirectory() as name:
                experiment = load(self._fetch(of.experiment, Path(name)) / "experiment.yaml")
                self._settings[key] = Setting.of(experiment, of.replicate, read_inputs(experiment))
        return self._settings[key]

    def _fetch(self, name: str, folder: Path) -> Path:
        """All files of an artefact below a folder."""
        artefact = self._artefacts.open(name)
        for file in artefact.files:
            path = folder / file
            if not path.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"artefact {name} has a file {file!r} outside of its folder; publish it again")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(artefact.read(file))
        return folder

    def _publish(self, name: str, folder: Path) -> dict[str, Any]:
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        published = self._artefacts.publish(name, files, {"by": "trainer"})
        return {"artefact": name, "sha256": published.files[ACTOR]}

    def _unfinished(self, key: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / hashlib.sha256(key.encode()).hexdigest()[:32]

    def _forget(self, key: str) -> None:
        unfinished = self._unfinished(key)
        for file in unfinished.parent.glob(f"{unfinished.name}*"):
            file.unlink(missing_ok=True)
