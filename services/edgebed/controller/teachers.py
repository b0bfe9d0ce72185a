"""Who learns for an experiment: the trainer service, found when something is to be learned; heuristics need none."""

import threading
from pathlib import Path

from edgebed.controller.directory import Directory, pausing
from edgebed.experiment.folder import RunFolder
from edgebed.runner.progress import Progress
from edgebed.runner.remote import RemoteTeacher, experiment_artefact
from edgebed.runner.setting import Setting
from edgebed.runner.teacher import OfflineLesson, OnlineCourse, OnlineLesson, Teacher
from edgebed.runner.training import TrainingLesson
from edgebed.runner.units import Unit
from edgebed.stores.artefacts import ArtefactStore
from edgebed.stores.patience import PatientArtefacts


class Teachers:
    """Of one experiment. Calling it gives the teacher of a unit."""

    def __init__(
        self,
        folder: RunFolder,
        directory: Directory,
        artefacts: ArtefactStore,
        token: str | None,
        stop: threading.Event,
    ) -> None:
        self._folder, self._directory, self._pause = folder, directory, pausing(stop)
        self._artefacts = PatientArtefacts(artefacts, self._pause)
        self._token, self._stop = token, stop
        self._made: list[RemoteTeacher] = []

    def __call__(self, unit: Unit, _: Setting) -> Teacher:
        """The teacher of one replicate, at one point of a sweep."""
        return LateTeacher(self, unit)

    def make(self, unit: Unit) -> RemoteTeacher:
        """Finds the trainer. Raises EnvironmentFault when there is none."""
        address = self._directory.one("trainer", self._stop).address
        teacher = RemoteTeacher(
            address,
            self._artefacts,
            self._published(unit),
            unit.replicate,
            token=self._token,
            pause=self._pause,
            where=self._where,
        )
        self._made.append(teacher)
        return teacher

    def close(self) -> None:
        """Closes connections."""
        for teacher in self._made:
            teacher.close()

    def _where(self) -> str | None:
        found = self._directory.latest("trainer")
        return None if found is None else found.address

    def _published(self, unit: Unit) -> str:
        """The artefact with the unit's experiment; each point of a sweep is an experiment of its own."""
        folder = self._folder
        point = None if folder.experiment.spec.sweep is None else unit.experiment
        return experiment_artefact(self._artefacts, folder.path, folder.experiment.name, point)


class LateTeacher:
    """Looks for the trainer with the first lesson."""

    device = RemoteTeacher.device

    def __init__(self, teachers: Teachers, unit: Unit) -> None:
        self._teachers, self._unit = teachers, unit
        self._teacher: RemoteTeacher | None = None

    def offline(self, lesson: OfflineLesson, log: Path, folder: Path, unfinished: Path, progress: Progress) -> None:
        """As in `Teacher`."""
        self._found().offline(lesson, log, folder, unfinished, progress)

    def online(self, lesson: OnlineLesson, start: Path | None, unfinished: Path) -> OnlineCourse:
        """As in `Teacher`."""
        return self._found().online(lesson, start, unfinished)

    def train(self, lesson: TrainingLesson, folder: Path, unfinished: Path, progress: Progress) -> None:
        """As in `Teacher`."""
        self._found().train(lesson, folder, unfinished, progress)

    def _found(self) -> RemoteTeacher:
        if self._teacher is None:
            self._teacher = self._teachers.make(self._unit)
        return self._teacher
