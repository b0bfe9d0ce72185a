"""A teacher elsewhere: the trainer service over HTTP, with logs and models as artefacts.

    name = experiment_artefact(artefacts, folder.path, "fig8")
    teacher = RemoteTeacher("http://127.0.0.1:8083", artefacts, name, replicate=0)

It does what `LocalTeacher` does, for the phases to the letter. A trainer that goes away is waited for, and one that was
started again goes on at its checkpoint: a job is known by its content, so it is simply given once more.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from edgebed.experiment.errors import EnvironmentFault
from edgebed.experiment.files import canonical
from edgebed.experiment.reading import to_yaml
from edgebed.experiment.specification import Experiment
from edgebed.runner.progress import Progress
from edgebed.runner.remote_course import LostCourse, RemoteCourse
from edgebed.runner.setting import ACTOR
from edgebed.runner.teacher import OfflineLesson, OnlineLesson
from edgebed.runner.training import TrainingLesson
from edgebed.stores.artefacts import ArtefactStore
from edgebed.wire.errors import problem_in, told

POLL_S = 0.02
SLOW_POLL_S = 0.2
AWAY_LIMIT_S = 60.0
"""How long a trainer that does not answer is waited for."""

ANSWER_LIMIT_S = 10.0
CONNECT_LIMIT_S = 2.0
"""For one attempt. A pod that has gone refuses nothing: who is to stop meanwhile shall not wait for it."""

CANCEL_LIMIT_S = 1.0


class RemoteTeacher:
    """Learns in the trainer service."""

    device = "cpu"

    def __init__(
        self,
        address: str,
        artefacts: ArtefactStore,
        experiment: str,
        replicate: int,
        *,
        token: str | None = None,
        pause: Callable[[float], object] = time.sleep,
        where: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`experiment` is an artefact of `experiment_artefact`; `pause` waits, and raises to end a wait for the trainer.

        `where` tells the address of a trainer that does not answer at its own any more, if that is known.
        """
        self.address, self.artefacts, self._pause = address, artefacts, pause
        self._where = where
        self._setting = {"experiment": experiment, "replicate": replicate}
        self.prefix = f"{experiment.rpartition('/')[0]}/learning/{replicate}"
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        limits = httpx.Timeout(ANSWER_LIMIT_S, connect=CONNECT_LIMIT_S)
        self._client = httpx.Client(base_url=address, headers=headers, timeout=limits, trust_env=False)

    def offline(self, lesson: OfflineLesson, log: Path, folder: Path, unfinished: Path, progress: Progress) -> None:
        """As in `Teacher`; checkpoints are the trainer's."""
        name = f"{self.prefix}/{unfinished.name}"
        self.artefacts.publish(f"{name}/log", {"log.parquet": log.read_bytes()}, {})
        request = {"kind": "offline", "lesson": asdict(lesson), "log": f"{name}/log", "result": f"{name}/model"}
        progress.started(lesson.label, lesson.label, lesson.updates)
        made = self.ask({**request, "setting": self._setting}, progress, lesson.label)
        self.fetch(made, folder)
        progress.finished(lesson.label)

    def online(self, lesson: OnlineLesson, start: Path | None, unfinished: Path) -> RemoteCourse:
        """As in `Teacher`."""
        name = f"{self.prefix}/{unfinished.name}"
        source = None
        if start is not None:
            source = f"{name}/start"
            files = {p.name: p.read_bytes() for p in start.iterdir() if p.suffix == ".safetensors"}
            self.artefacts.publish(source, files, {})
        begin = {"kind": "begin", "lesson": asdict(lesson), "start": source, "setting": self._setting}
        return RemoteCourse(self, name, begin, unfinished)

    def train(self, lesson: TrainingLesson, folder: Path, unfinished: Path, progress: Progress) -> None:
        """As in `Teacher`; checkpoints are the trainer's."""
        request = {"kind": "train", "lesson": asdict(lesson), "result": f"{self.prefix}/{unfinished.name}/model"}
        progress.started(lesson.label, lesson.label, lesson.updates)
        made = self.ask({**request, "setting": self._setting}, progress, lesson.label)
        self.fetch(made, folder)
        progress.finished(lesson.label)

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def ask(self, request: dict[str, Any], progress: Progress | None = None, stage: str = "") -> dict[str, Any]:
        """Has a job done; returns its result. Raises EnvironmentFault with the trainer's reason, LostCourse."""
        done = 0.0
        poll = POLL_S
        job = self._call("POST", "/v1/jobs", request)
        try:
            while job["state"] in ("waiting", "running"):
                self._pause(poll)
                poll = min(SLOW_POLL_S, 1.2 * poll)
                job = self._call("GET", f"/v1/jobs/{job['job']}", None, again=request)
                if progress is not None and job["done"] > done:
                    progress.advanced(stage, job["done"] - done, job["note"])
                    done = job["done"]
        except BaseException:  # the experiment was stopped, for example: the trainer is free for the next one
            with contextlib.suppress(httpx.HTTPError):
                self._client.delete(f"/v1/jobs/{job['job']}", timeout=CANCEL_LIMIT_S)
            raise
        if job["lostCourse"]:
            raise LostCourse(job["error"])
        if job["state"] == "failed":
            raise EnvironmentFault(f"trainer {self.address}: {job['error']}")
        result: dict[str, Any] = job["result"]
        return result

    def fetch(self, made: dict[str, Any], folder: Path) -> None:
        """The files of a job's result into a folder. Raises EnvironmentFault where another artefact has its name by now."""
        artefact = self.artefacts.open(made["artefact"])
        if artefact.files.get(ACTOR) != made["sha256"]:
            said = f"artefact {artefact.name} is not what trainer {self.address} says that it has made"
            raise EnvironmentFault(f"{said}; give both the same EDGEBED_ARTEFACTS, and the same command again")
        for file in artefact.files:
            (folder / file).write_bytes(artefact.read(file))

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None, again: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """One request, repeated while the trainer is away; a job that it has forgotten is posted `again`."""
        until = time.monotonic() + AWAY_LIMIT_S
        headers: dict[str, str] = {}
        while True:
            try:
                answer = self._client.request(method, path, json=body, headers=headers)
            except httpx.HTTPError as error:
                self._wait_for_it(until, error)
                continue
            if answer.is_success:
                found: dict[str, Any] = answer.json()
                return found
            problem = problem_in(answer.content)
            if problem is None:  # the next one ends the connection, which would lead there for good
                headers = {"Connection": "close"}
                self._wait_for_it(until, f"something else than edgebed answers there: {answer.status_code}")
                continue
            if answer.status_code == 404 and again is not None:
                return self._call("POST", "/v1/jobs", again)
            raise EnvironmentFault(f"trainer {self.address}{path}: {answer.status_code} {told(problem)}")

    def _wait_for_it(self, until: float, away: object) -> None:
        """The time between two attempts, and where the next one goes. Raises EnvironmentFault after `until`."""
        if time.monotonic() > until:
            remedy = "start it, or mend its address, and give the same command again"
            raise EnvironmentFault(f"trainer {self.address}: away ({away}); {remedy}")
        self._pause(SLOW_POLL_S)
        self._follow()

    def _follow(self) -> None:
        """A pod that was started again has another address."""
        address = self._where()
        if address is not None and address != self.address:
            self.address = address
            self._client.base_url = httpx.URL(address)


def experiment_artefact(artefacts: ArtefactStore, folder: Path, name: str, experiment: Experiment | None = None) -> str:
    """Publishes the experiment of a run's folder, or one point of its sweep, with the files that it reads.

    Returns the artefact's name, which holds the content's hash. The files lie in it as in the folder: `experiment.yaml` and
    `inputs/...`.
    """
    document = (folder / "experiment.yaml").read_bytes() if experiment is None else to_yaml(experiment).encode()
    files = {f"inputs/{path.name}": path.read_bytes() for path in sorted((folder / "inputs").glob("*"))}
    files["experiment.yaml"] = document
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    published = f"runs/{name}-{hashlib.sha256(canonical(digests)).hexdigest()[:16]}/experiment"
    artefacts.publish(published, files, {"experiment": name})
    return published
