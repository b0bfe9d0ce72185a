"""The queue of a trainer: jobs are done one after the other in a thread, each once.

A job is known by the hash of what it asks for, so a controller that lost its answer asks again and finds the same job.
"""

import hashlib
import logging
import math
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgebed.experiment.errors import EdgebedError
from edgebed.experiment.files import canonical
from edgebed.live.documents import TrainerSettings
from edgebed.live.in_use import InUse
from edgebed.stores.artefacts import ArtefactStore
from edgebed.stores.patience import LIMIT_S, PatientArtefacts
from edgebed.systems.cooperative.errors import ModelError
from edgebed.trainer.lessons import Lessons, Measured, UnknownCourse
from edgebed.trainer.requests import Job as Request

KEPT_JOBS = 100
"""Jobs that ended and can still be asked for. Each may hold an actor."""

CANCELLED_S = 0.1
"""How soon a job that waits for a store notices that it was cancelled."""

_log = logging.getLogger(__name__)


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
    """In offline updates."""
    note: str = ""
    error: str | None = None
    lost_course: bool = False
    """It failed because the course is not known here."""
    result: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """What learning has measured, such as valueError and entropy; see `learning.ppo` and `learning.sac_cql`."""
    cancelled: bool = False

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in ("succeeded", "failed")

    def document(self) -> dict[str, Any]:
        """As JSON."""
        # The state first: the thread that works sets it last, so all that follows is at least as new.
        return {
            "state": self.state,
            "job": self.key,
            "kind": self.kind,
            "done": self.done,
            "total": self.total,
            "note": self.note,
            "error": self.error,
            "lostCourse": self.lost_course,
            "result": self.result,
            "metrics": {name: value if math.isfinite(value) else None for name, value in self.metrics.items()},
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
    """The jobs of one process."""

    def __init__(
        self,
        artefacts: ArtefactStore,
        folder: Path,
        device: str = "cpu",
        settings: InUse[TrainerSettings] | None = None,
        away_s: float = LIMIT_S,
    ) -> None:
        """`folder` keeps checkpoints; it must outlive the process. `settings` may change while it runs.

        The artefacts may be away for `away_s`.
        """
        self._settings = settings or InUse(TrainerSettings)
        self._lessons = Lessons(PatientArtefacts(artefacts, self._pause, away_s), folder, device)
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._current: Job | None = None
        """What the thread works at."""
        self._pool = ThreadPoolExecutor(1, "trainer")
        self.ended: Counter[tuple[str, str]] = Counter()
        """Jobs by kind and state."""
        self.seconds: dict[str, float] = {}
        """Time spent, by kind."""

    def submit(self, request: Request) -> Job:
        """Does it once; the same request again finds the same job, unless that failed or was cancelled."""
        key = hashlib.sha256(canonical(request.model_dump(mode="json"))).hexdigest()[:32]
        with self._lock:
            job = self._jobs.pop(key, None)
            if job is None or job.state == "failed" or job.cancelled:
                job = Job(key, request.kind)
                self._pool.submit(self._run, job, request)
            self._jobs[key] = job  # as the latest
            for old in [k for k, j in self._jobs.items() if j.ended][:-KEPT_JOBS]:
                del self._jobs[old]
        return job

    def job(self, key: str) -> Job | None:
        """A job by its key."""
        with self._lock:
            return self._jobs.get(key)

    def unfinished(self) -> list[Job]:
        """Those that wait, and the one that is being done."""
        with self._lock:
            return [job for job in self._jobs.values() if not job.ended]

    def latest(self) -> list[Job]:
        """The job of each kind that was given last."""
        with self._lock:
            return list({job.kind: job for job in self._jobs.values()}.values())

    @property
    def measured(self) -> Measured:
        """What learning has measured last."""
        return self._lessons.measured

    def cancel(self, job: Job) -> None:
        """Ends a job before it begins, or when it next tells its progress; one that ended stays as it is."""
        if not job.ended:
            job.cancelled = True

    def close(self) -> None:
        """Ends what runs as soon as it tells its progress."""
        with self._lock:
            for job in self._jobs.values():
                self.cancel(job)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _pause(self, seconds: float) -> None:
        """Waits for a store that is away; ends a cancelled job."""
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            if self._current is not None and self._current.cancelled:
                raise Cancelled
            time.sleep(min(left_s, CANCELLED_S))

    def _run(self, job: Job, request: Request) -> None:
        begin = time.monotonic()
        state: Literal["succeeded", "failed"] = "failed"
        try:
            if job.cancelled:
                raise Cancelled
            job.state, self._current = "running", job
            _use_threads(self._settings.values.threads)
            job.result = self._lessons.do(job.key, request, _JobProgress(job))
            job.metrics = self._lessons.metrics
            state = "succeeded"
        except Cancelled:
            job.error = "cancelled"
        except UnknownCourse as error:
            job.error, job.lost_course = str(error), True
        except (EdgebedError, ModelError, ValueError, OSError) as error:
            job.error = str(error)
        except Exception as error:  # whatever it is, the controller is told
            _log.exception("job %s failed", job.key)
            job.error = f"{type(error).__name__}: {error}"
        self.ended[job.kind, state] += 1
        self.seconds[job.kind] = self.seconds.get(job.kind, 0.0) + time.monotonic() - begin
        job.state = state


def _use_threads(count: int) -> None:
    """One by default: nodes may share the machine; and sums come out the same everywhere, as where units run side by side."""
    import torch

    torch.set_num_threads(count)
