"""An online course in a trainer elsewhere, which may lose it at any moment.

The trainer keeps a course in memory, and on the disk what its latest checkpoint holds. The controller keeps the names of all
logs that it has given. Whenever the trainer says that it does not have the course, the course is begun again; the trainer
says how many updates its checkpoint holds, and is given the logs after those, by number. So it does not matter whether what
was lost was a request, the work, or only the answer.

A course has a name that no other one had, noted beside the stage before the trainer hears of it: a run in another folder
never goes on from this one's checkpoint. Each beginning has a number, so nothing of an earlier one is taken for this one's.
"""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebed.experiment.errors import EnvironmentFault
from edgebed.experiment.files import write_atomically
from edgebed.stores.log_files import write_log
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.models import Model, read_model

if TYPE_CHECKING:
    from edgebed.runner.remote import RemoteTeacher

BEGINNINGS = 10
"""A trainer that loses the course so often in one step is ill."""


class LostCourse(Exception):
    """The trainer does not have the course any more."""


class RemoteCourse:
    """As `OnlineCourse`."""

    def __init__(self, teacher: "RemoteTeacher", name: str, begin: dict[str, Any], unfinished: Path) -> None:
        """`name` is completed to one of its own; `begin` is the job without course and attempt."""
        self._teacher, self._begin_request = teacher, begin
        self._note = unfinished.with_suffix(".attempt")
        self._unique, self._attempt = _read(self._note) or (secrets.token_hex(6), 0)
        self._name = f"{name}-{self._unique}"
        self._logs: dict[int, str] = {}
        """Artefacts by the number of the update that learns from them."""
        self.updates = 0
        self._actor = b""
        self._begin()

    def weights(self) -> Model:
        """As in `OnlineCourse`."""
        return read_model(self._actor)

    def update(self, log: TaskLog) -> None:
        """As in `OnlineCourse`."""
        number = self.updates + 1
        name = f"{self._name}/logs/{self._attempt}-{number}"
        path = self._note.with_suffix(".log")
        write_log(path, log, {})
        self._teacher.artefacts.publish(name, {"log.parquet": path.read_bytes()}, {})
        path.unlink()
        self._logs[number] = name
        self._reach(number)

    def checkpoint(self) -> None:
        """As in `OnlineCourse`."""
        self._reach(self.updates, "checkpoint")

    def finish(self, folder: Path) -> None:
        """As in `OnlineCourse`."""
        self._teacher.fetch(self._reach(self.updates, "finish", result=f"{self._name}/model"), folder)
        self._note.unlink(missing_ok=True)

    def _reach(self, number: int, then: str | None = None, **more: Any) -> dict[str, Any]:
        """Brings the course to an update, however often the trainer forgets it, and takes a step from there."""
        for _ in range(BEGINNINGS):
            try:
                while self.updates < number:
                    self._learn(self.updates + 1)
                return {} if then is None else self._step(then, **more)
            except LostCourse:
                self._begin()
        said = f"lost the course {self._name} {BEGINNINGS} times in one step"
        raise EnvironmentFault(f"trainer {self._teacher.address}: {said}; its log says why it was started again")

    def _begin(self) -> None:
        self._attempt += 1
        self._note.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._note, f"{self._unique} {self._attempt}".encode())
        self._became(self._teacher.ask({**self._begin_request, "course": self._name, "attempt": self._attempt}))

    def _learn(self, number: int) -> None:
        log = self._logs.get(number)
        if log is None:  # of before this controller was started
            said = f"its checkpoint of course {self._name} is gone; EDGEBED_RUNS must outlive it"
            raise EnvironmentFault(
                f"trainer {self._teacher.address}: {said}; give the same command again to learn anew from the log"
            )
        self._became(self._teacher.ask({**self._of("update"), "number": number, "log": log}))

    def _step(self, kind: str, **more: Any) -> dict[str, Any]:
        return self._teacher.ask({**self._of(kind), "number": self.updates, **more})

    def _of(self, kind: str) -> dict[str, Any]:
        return {"kind": kind, "course": self._name, "attempt": self._attempt}

    def _became(self, found: dict[str, Any]) -> None:
        self.updates, self._actor = int(found["updates"]), bytes.fromhex(found["actor"])


def _read(note: Path) -> tuple[str, int] | None:
    """A course's own part of its name, and how often it was begun; None where there is none yet."""
    try:
        unique, attempt = note.read_text().split()
        return unique, int(attempt)
    except (FileNotFoundError, ValueError):
        return None
