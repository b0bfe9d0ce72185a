"""Replicates side by side: one worker process per core, each with one replicate and training seed at a time.

A unit's stages are published atomically in a store that the workers share, so killing the workers at any moment loses
at most what the last checkpoint does not hold. Workers ignore Ctrl-C: the parent is told, and ends them.
"""

import multiprocessing
import os
import pickle
import queue
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebed.experiment.errors import EnvironmentFault
from edgebed.experiment.outcome import Outcome
from edgebed.experiment.specification import Experiment
from edgebed.runner.progress import Progress

if TYPE_CHECKING:
    from edgebed.experiment.stages import StageStore
    from edgebed.runner.ground import Ground
    from edgebed.runner.teacher import Teacher


@dataclass(frozen=True)
class Unit:
    """All methods of one replicate with one training seed, at one point of a sweep."""

    point: int
    replicate: int
    training_seed: int
    label: str
    experiment: Experiment


VERSIONS = {"results": "2"}
"""Part of every stage's key: raised when the same specification gives other results than before."""

Outcomes = dict[tuple[str, int, int], Outcome]
"""By method, replicate and training seed; a policy that is not trained has training seed 0 only."""


def run_units(units: Sequence[Unit], store: Path, progress: Progress, *, jobs: int, device: str) -> list[Outcomes]:
    """The outcomes of each unit, in order."""
    if jobs == 1 or len(units) == 1:
        return [run_unit(unit, store, progress, device) for unit in units]
    # Forking a process that may hold numba's or torch's threads is not safe, so workers start afresh.
    context = multiprocessing.get_context("spawn")
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # read by the workers when they import numpy
    events: Any = context.Queue()
    stop = threading.Event()
    listener = threading.Thread(target=_relay, args=(events, progress, stop), daemon=True)
    listener.start()
    workers = ProcessPoolExecutor(min(jobs, len(units)), context, _start_worker, (events, str(store), device))
    finished = False
    try:
        outcomes = [future.result() for future in [workers.submit(_work, unit) for unit in units]]
        finished = True
        return outcomes
    except BrokenProcessPool as error:
        raise EnvironmentFault(
            "a worker process was ended from outside, perhaps for want of memory; what was computed is kept: give the same "
            "command again, with fewer --jobs if memory was the reason"
        ) from error
    finally:
        workers.shutdown(wait=finished, cancel_futures=True)
        if not finished:
            for child in multiprocessing.active_children():
                child.terminate()
        stop.set()
        listener.join(timeout=5)


def run_unit(unit: Unit, store: Path, progress: Progress, device: str) -> Outcomes:
    """Everything that one unit asks for."""
    # A worker imports the simulator and numba; the command line, which imports this module, should start fast.
    from edgebed.experiment.inputs import read_inputs
    from edgebed.experiment.stages import StageStore
    from edgebed.runner.ground import SimulatorGround
    from edgebed.runner.setting import Setting
    from edgebed.runner.teacher import LocalTeacher

    if any(method.learned for method in unit.experiment.spec.methods):
        import torch

        # Units run side by side, so each has one core; and sums come out the same on every machine.
        torch.set_num_threads(1)
    setting = Setting.of(unit.experiment, unit.replicate, read_inputs(unit.experiment))
    return run_methods(
        unit, SimulatorGround(setting), LocalTeacher(setting, device), StageStore(store, VERSIONS), progress
    )


def run_methods(unit: Unit, ground: "Ground", teacher: "Teacher", store: "StageStore", progress: Progress) -> Outcomes:
    """All methods of a unit on a ground: the phases are the same for every backend."""
    from edgebed.runner.stages import Stages

    spec = unit.experiment.spec
    stages = Stages(ground, teacher, store, progress, training_seed=unit.training_seed, label=unit.label)
    outcomes: Outcomes = {}
    for method in spec.methods:
        if method.learned or unit.training_seed == 0:
            outcome = stages.outcome(method, spec.reward.attribution, spec.evaluation)
            outcomes[method.name, unit.replicate, unit.training_seed] = outcome
    return outcomes


class _Sender:
    """A worker's progress, sent to the parent."""

    def __init__(self, events: Any) -> None:
        self.events = events

    def started(self, stage: str, label: str, total: float | None) -> None:
        """As in `Progress`."""
        self.events.put(("started", (f"{os.getpid()} {stage}", label, total)))

    def advanced(self, stage: str, amount: float, note: str = "") -> None:
        """As in `Progress`."""
        self.events.put(("advanced", (f"{os.getpid()} {stage}", amount, note)))

    def finished(self, stage: str) -> None:
        """As in `Progress`."""
        self.events.put(("finished", (f"{os.getpid()} {stage}",)))


def _relay(events: Any, progress: Progress, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            name, arguments = events.get(timeout=0.2)
        except queue.Empty:
            continue
        getattr(progress, name)(*arguments)


_worker: tuple[_Sender, Path, str]


def _start_worker(events: Any, store: str, device: str) -> None:
    global _worker  # noqa: PLW0603  # what a pool hands to its workers has no other place
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()
    _worker = (_Sender(events), Path(store), device)


def _leave_with_the_parent() -> None:
    """A parent that was killed cannot end its workers; since stages are published whole, they may go at any moment."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker
    parent.join()
    os._exit(1)


def _work(unit: Unit) -> Outcomes:
    sender, store, device = _worker
    try:
        return run_unit(unit, store, sender, device)
    except Exception as error:
        raise _portable(error) from error


def _portable(error: Exception) -> Exception:
    """The error, or one that says the same: a pool waits for ever for an error that its parent cannot unpickle."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # what we have just pickled ourselves
    except Exception:  # whatever an author's exception raises when it is copied
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
