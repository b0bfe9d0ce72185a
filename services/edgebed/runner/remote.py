"""A teacher elsewhere: the trainer service over HTTP, with logs and models as artefacts.

    teacher = RemoteTeacher("http://127.0.0.1:8083", artefacts, experiment="runs/x/experiment", replicate=0)

It does what `LocalTeacher` does, for the phases to the letter. A trainer that goes away is waited for; one that was started
again begins a course at its checkpoint, and is given once more what came after that.
"""

import hashlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from edgebed.experiment.errors import EnvironmentFault
from edgebed.experiment.files import write_atomically
from edgebed.runner.progress import Progress, Silent
from edgebed.runner.teacher import OfflineLesson, OnlineLesson
from edgebed.stores.artefacts import ArtefactStore
from edgebed.stores.log_files import write_log
from edgebed.systems.cooperative.actor import ActorWeights
from edgebed.systems.cooperative.log import TaskLog

POLL_S = 0.02
SLOW_POLL_S = 0.2
AWAY_LIMIT_S = 60.0
"""How long a trainer that does not answer is waited for."""


class LostCourse(Exception):
    """The trainer does not have the course any more."""


class RemoteTeacher:
    """Learns in the trainer service."""

    device = "cpu"

    def __init__(
        self, address: str, artefacts: ArtefactStore, experiment: str, replicate: int, *, token: str | None = None
    ) -> None:
        """`experiment` is the artefact that holds experiment.yaml and the files that it reads."""
        self._address, self.artefacts = address, artefacts
        self._setting = {"experiment": experiment, "replicate": replicate}
        self.prefix = f"{experiment.rpartition('/')[0]}/learning/{replicate}"
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=address, headers=headers, timeout=10, trust_env=False)

    def offline(self, lesson: OfflineLesson, log: Path, folder: Path, unfinished: Path, progress: Progress) -> None:
        """As in `Teacher`; checkpoints are the trainer's."""
        name = f"{self.prefix}/{unfinished.name}"
        self.artefacts.publish(f"{name}/log", {"log.parquet": log.read_bytes()}, {})
        request = {"kind": "offline", "lesson": asdict(lesson), "log": f"{name}/log", "result": f"{name}/model"}
        progress.started(lesson.label, lesson.label, lesson.updates)
        self.ask({**request, "setting": self._setting}, progress, lesson.label)
        progress.finished(lesson.label)
        self.fetch(f"{name}/model", folder)

    def online(self, lesson: OnlineLesson, start: Path | None, unfinished: Path) -> "RemoteCourse":
        """As in `Teacher`."""
        name = f"{self.prefix}/{unfinished.name}"
        source = None
        if start is not None:
            source = f"{name}/start"
            files = {p.name: p.read_bytes() for p in start.iterdir() if p.suffix == ".safetensors"}
            self.artefacts.publish(source, files, {})
        request = {"kind": "begin", "lesson": asdict(lesson), "start": source, "course": name, "setting": self._setting}
        return RemoteCourse(self, name, request, unfinished)

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def ask(self, request: dict[str, Any], progress: Progress | None = None, stage: str = "") -> dict[str, Any]:
        """Has a job done; returns its result. Raises EnvironmentFault with the trainer's reason, LostCourse."""
        done = 0.0
        poll = POLL_S
        job = self._call("POST", "/v1/jobs", request)
        while job["state"] in ("waiting", "running"):
            time.sleep(poll)
            poll = min(SLOW_POLL_S, 1.2 * poll)
            job = self._call("GET", f"/v1/jobs/{job['job']}", None, again=request)
            if progress is not None and job["done"] > done:
                progress.advanced(stage, job["done"] - done, job["note"])
                done = job["done"]
        if job["lostCourse"]:
            raise LostCourse(job["error"])
        if job["state"] == "failed":
            raise EnvironmentFault(f"trainer {self._address}: {job['error']}")
        result: dict[str, Any] = job["result"]
        return result

    def fetch(self, name: str, folder: Path) -> None:
        """The files of an artefact into a folder."""
        artefact = self.artefacts.open(name)
        for file in artefact.files:
            (folder / file).write_bytes(artefact.read(file))

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None, again: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """One request, repeated while the trainer is away; a job that it has forgotten is posted `again`."""
        until = time.monotonic() + AWAY_LIMIT_S
        while True:
            try:
                answer = self._client.request(method, path, json=body)
            except httpx.HTTPError as error:
                if time.monotonic() > until:
                    remedy = "start it, or mend its address, and give the same command again"
                    raise EnvironmentFault(f"trainer {self._address}: away ({error}); {remedy}") from error
                time.sleep(SLOW_POLL_S)
                continue
            if answer.status_code == 404 and again is not None:
                return self._call("POST", "/v1/jobs", again)
            if answer.status_code >= 400:
                raise EnvironmentFault(f"trainer {self._address}{path}: {answer.status_code} {answer.text[:300]}")
            found: dict[str, Any] = answer.json()
            return found


class RemoteCourse:
    """An online course in the trainer."""

    def __init__(self, teacher: RemoteTeacher, name: str, begin: dict[str, Any], unfinished: Path) -> None:
        self._teacher, self._name, self._begin_request = teacher, name, begin
        self._attempt_file = unfinished.with_suffix(".attempt")
        self._since: list[str] = []
        """Logs of the updates since the checkpoint."""
        self.updates = 0
        self._actor = b""
        self._attempt = 0
        self._begin()

    def weights(self) -> ActorWeights:
        """As in `OnlineCourse`."""
        return ActorWeights.from_bytes(self._actor)

    def update(self, log: TaskLog) -> None:
        """As in `OnlineCourse`."""
        number = self.updates + 1
        name = f"{self._name}/logs/{self._attempt}-{number}"
        path = self._attempt_file.with_suffix(".log")
        write_log(path, log, {})
        self._teacher.artefacts.publish(name, {"log.parquet": path.read_bytes()}, {})
        path.unlink()
        self._since.append(name)
        try:
            self._update(number, name)
        except LostCourse:
            self._begin()
            self._again()

    def checkpoint(self) -> None:
        """As in `OnlineCourse`."""
        try:
            self._step("checkpoint")
        except LostCourse:
            self._begin()
            self._again()
            self._step("checkpoint")
        self._since.clear()

    def finish(self, folder: Path) -> None:
        """As in `OnlineCourse`."""
        name = f"{self._name}/model"
        try:
            self._step("finish", result=name)
        except LostCourse:
            self._begin()
            self._again()
            self._step("finish", result=name)
        self._teacher.fetch(name, folder)
        self._attempt_file.unlink(missing_ok=True)

    def _begin(self) -> None:
        """Begins under a number of its own, so that nothing of an earlier attempt is taken for this one's."""
        try:
            self._attempt = int(self._attempt_file.read_text()) + 1
        except (FileNotFoundError, ValueError):
            self._attempt = 1
        self._attempt_file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._attempt_file, str(self._attempt).encode())
        found = self._teacher.ask({**self._begin_request, "attempt": self._attempt})
        self.updates, self._actor = found["updates"], bytes.fromhex(found["actor"])

    def _again(self) -> None:
        """The updates since the checkpoint, after the trainer was started again."""
        for name in self._since:
            self._update(self.updates + 1, name)

    def _update(self, number: int, log: str) -> None:
        found = self._step("update", number=number, log=log)
        self.updates, self._actor = found["updates"], bytes.fromhex(found["actor"])

    def _step(self, kind: str, **more: Any) -> dict[str, Any]:
        request = {"kind": kind, "course": self._name, "attempt": self._attempt, "number": self.updates, **more}
        return self._teacher.ask(request, Silent())


def experiment_artefact(artefacts: ArtefactStore, folder: Path, name: str) -> str:
    """Publishes an experiment as run with the files that it reads; returns the artefact's name, by content."""
    paths = [folder / "experiment.yaml", *sorted((folder / "inputs").glob("*"))]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    content = hashlib.sha256(b"".join(name.encode() + data for name, data in files.items())).hexdigest()[:16]
    published = f"runs/{name}-{content}/experiment"
    artefacts.publish(published, files, {"experiment": name})
    return published
