"""A run: the same bytes from any number of workers, from one piece or from many, and each stage computed once."""

import copy
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgebed.experiment.errors import UserError
from edgebed.experiment.files import write_atomically
from edgebed.experiment.specification import Experiment
from edgebed.experiment.validation import validate
from edgebed.runner import stages
from edgebed.runner.progress import Silent
from edgebed.runner.run import run_experiment

ROOT = Path(__file__).parents[3]
COLLECT = {"policy": "ratc", "episodes": 4}
OFFLINE = {"algorithm": "sac-cql", "updates": 6, "batchSlots": 8, "hidden": 8}
ONLINE = {"algorithm": "ppo", "episodes": 6, "episodesPerUpdate": 2, "epochs": 1, "minibatches": 1, "warmupEpochs": 1}
ONLINE_ONLY = {"name": "online-only", "online": {**ONLINE, "hidden": 8}}
DOCUMENT: dict[str, Any] = {
    "apiVersion": "edgebed.dev/v1alpha1",
    "kind": "Experiment",
    "metadata": {"name": "tiny"},
    "spec": {
        "seed": 3,
        "replicates": 2,
        "network": {
            "nodes": 3,
            "cores": {"choice": [4, 8]},
            "arrivalProbability": {"uniform": [0.3, 1]},
            "executionFailureRate": {"uniform": [0, 0.1]},
            "linkRateMBps": {"uniform": [10, 40]},
            "linkFailureRate": 0.01,
        },
        "workload": {
            "slotSeconds": 0.5,
            "slots": 5,
            "sizeKB": {"uniform": [1000, 8000]},
            "cyclesPerBit": {"uniform": [800, 2400]},
            "deadlineSeconds": 4,
        },
        "methods": [
            {"name": "random", "policy": "random"},
            {"name": "ratc", "policy": "ratc"},
            {"name": "offline-only", "collect": COLLECT, "offline": OFFLINE},
            ONLINE_ONLY,
            {"name": "o2o", "collect": COLLECT, "offline": OFFLINE, "online": ONLINE},
        ],
        "evaluation": {"episodes": 3, "every": 2, "curveEpisodes": 2},
    },
}


def document(**spec: Any) -> dict[str, Any]:
    """The tiny experiment with some fields of its spec replaced."""
    changed = copy.deepcopy(DOCUMENT)
    changed["spec"] |= copy.deepcopy(spec)
    return changed


MANY = document(replicates=30, methods=[{"name": "random", "policy": "random"}, {"name": "ratc", "policy": "ratc"}])
"""Sixty short stages, so that an interruption comes between the first and the last."""


def alone(**spec: Any) -> Experiment:
    """Online learning alone, on one network."""
    return validate(document(methods=[ONLINE_ONLY], replicates=1, **spec))


def results(folder: Path) -> bytes:
    """What a run wrote for programs."""
    return (folder / "results.json").read_bytes()


def models(folder: Path) -> list[bytes]:
    """What it learned: every actor and learning curve."""
    found = [*folder.glob("stages/*/actor.safetensors"), *folder.glob("stages/*/curve.json")]
    return [path.read_bytes() for path in sorted(found)]


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """The tiny experiment: heuristics, each stage of learning by itself, and all of them."""
    return validate(DOCUMENT)


@pytest.fixture(scope="module")
def whole(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of it in one piece, by one process."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run_experiment(experiment, folder, jobs=1, progress=Silent())
    return folder


def test_two_workers_give_the_same_bytes(experiment: Experiment, whole: Path, tmp_path: Path) -> None:
    """Results do not depend on how many processes computed them, nor on the folder."""
    run_experiment(experiment, tmp_path / "other", jobs=2, progress=Silent())
    assert results(tmp_path / "other") == results(whole)
    assert models(tmp_path / "other") == models(whole) != []


def test_equal_stages_are_computed_once(whole: Path) -> None:
    """Two methods that start from the same log and the same offline stage share both, on each of two networks."""
    names = [path.name.split("-")[0] for path in (whole / "stages").iterdir()]
    assert {kind: names.count(kind) for kind in ("collect", "offline", "online", "evaluate")} == {
        "collect": 2,
        "offline": 2,
        "online": 4,
        "evaluate": 10,
    }


def test_finished_run_is_not_computed_again(experiment: Experiment, whole: Path) -> None:
    """Giving a finished experiment again starts no stage and leaves its results as they are."""
    before = results(whole)

    class Refusing(Silent):
        def started(self, stage: str, label: str, total: float | None) -> None:
            raise AssertionError(f"{label} is computed again")

    run_experiment(experiment, whole, jobs=1, progress=Refusing())
    assert results(whole) == before


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with many stages in one piece."""
    folder = tmp_path_factory.mktemp("many") / "run"
    run_experiment(validate(MANY), folder, jobs=1, progress=Silent())
    return folder


@pytest.mark.parametrize(("how", "jobs"), [(signal.SIGINT, 1), (signal.SIGKILL, 2)])
def test_interrupted_run_goes_on_to_the_same_bytes(many: Path, tmp_path: Path, how: signal.Signals, jobs: int) -> None:
    """A run that was interrupted or killed leaves no half results, and goes on to those of a run in one piece."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(MANY))
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "edgebed", "run", "tiny.yaml", "--output", str(folder), "--jobs", str(jobs)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "services")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not list(folder.glob("stages/*/manifest.json")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    # A terminal sends Ctrl-C to the workers, too; a killed parent leaves them behind with their locks.
    if how is signal.SIGINT:
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert not (folder / "results.json").exists(), "the run was over before it could be interrupted"
    if how is signal.SIGINT:
        assert process.returncode == 130, said
        assert said.splitlines()[-1].startswith("edgebed: interrupted; what was computed is kept")
        assert "Traceback" not in said
    else:
        assert process.returncode == -signal.SIGKILL
    run_experiment(validate(MANY), folder, jobs=1, progress=Silent())
    assert results(folder) == results(many)
    assert not list(folder.glob("stages/*.tmp-*")), "what the interrupted run left is swept away"


def children(pid: int) -> list[int]:
    """The workers of a run."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for task in tasks for child in task.read_text().split()]
    return [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes where Linux lists them")
@pytest.mark.parametrize("victim", ["worker", "parent"])
def test_a_killed_process_takes_the_run_with_it(tmp_path: Path, victim: str) -> None:
    """A worker that is killed ends the run with the reason instead of for ever; a killed parent leaves no worker."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(MANY))
    process = subprocess.Popen(
        [sys.executable, "-m", "edgebed", "run", "tiny.yaml", "--output", "run", "--jobs", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "services")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    while not list(tmp_path.glob("run/stages/*/manifest.json")) and time.monotonic() < until:
        time.sleep(0.01)
    workers = children(process.pid)
    assert len(workers) == 2
    os.kill(workers[0] if victim == "worker" else process.pid, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    if victim == "worker":
        assert process.returncode == 3
        assert "a worker process was ended from outside" in said
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


class Stopping(Silent):
    """Stops a run like Ctrl-C when online learning has come so far."""

    def __init__(self, after: int) -> None:
        self.after = after

    def advanced(self, stage: str, amount: float, note: str = "") -> None:
        """Counts what is learned online."""
        if "online" in stage:
            self.after -= int(amount)
            if amount and self.after <= 0:
                raise KeyboardInterrupt


class Watching(Silent):
    """Notes where online learning begins."""

    first: float | None = None

    def advanced(self, stage: str, amount: float, note: str = "") -> None:
        """The first amount is what a checkpoint already held."""
        if "online" in stage and self.first is None:
            self.first = amount


def test_online_learning_resumes_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Online learning that was interrupted goes on from its last checkpoint, to the results of learning in one piece."""
    monkeypatch.setattr(stages, "POINTS_PER_CHECKPOINT", 1)
    run_experiment(alone(), tmp_path / "whole", jobs=1, progress=Silent())
    with pytest.raises(KeyboardInterrupt):
        run_experiment(alone(), tmp_path / "parts", jobs=1, progress=Stopping(after=4))
    watching = Watching()
    run_experiment(alone(), tmp_path / "parts", jobs=1, progress=watching)
    assert watching.first == 4
    assert results(tmp_path / "parts") == results(tmp_path / "whole")
    assert models(tmp_path / "parts") == models(tmp_path / "whole") != []
    assert not list(tmp_path.glob("parts/stages/unfinished/*")), "a finished stage needs no checkpoint"


@pytest.mark.parametrize("write", range(1, 5))
def test_checkpoint_and_curve_fit_whenever_a_run_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """A run that dies between the files of a checkpoint goes on to the same results: no episode is learned twice."""
    monkeypatch.setattr(stages, "POINTS_PER_CHECKPOINT", 1)
    run_experiment(alone(), tmp_path / "whole", jobs=1, progress=Silent())
    from edgebed.learning import checkpoints

    count = 0

    def dying(real: Any) -> Any:
        def instead(path: Path, *arguments: Any) -> None:
            nonlocal count
            count += path.parent.name == "unfinished"
            if count == write:
                raise OSError(errno.EIO, "the machine is gone")
            real(path, *arguments)

        return instead

    with monkeypatch.context() as patch:
        patch.setattr(stages, "write_atomically", dying(write_atomically))
        patch.setattr(checkpoints, "save_checkpoint", dying(checkpoints.save_checkpoint))
        with pytest.raises(OSError, match="the machine is gone"):
            run_experiment(alone(), tmp_path / "parts", jobs=1, progress=Silent())
    run_experiment(alone(), tmp_path / "parts", jobs=1, progress=Silent())
    assert results(tmp_path / "parts") == results(tmp_path / "whole")
    assert models(tmp_path / "parts") == models(tmp_path / "whole") != []


def test_folder_of_another_experiment_is_refused(whole: Path) -> None:
    """A folder belongs to one experiment; another one is refused with what differs, and nothing of it is touched."""
    before = results(whole)
    with pytest.raises(
        UserError, match="belongs to another experiment: it has `seed: 3`, this one has `seed: 4`"
    ) as caught:
        run_experiment(validate(document(seed=4)), whole, jobs=1, progress=Silent())
    assert caught.value.exit_code == 2
    assert results(whole) == before


def test_training_seeds_give_different_models(tmp_path: Path) -> None:
    """Two training seeds of one method on one network are two learning runs with different outcomes."""
    run_experiment(alone(trainingSeeds=2), tmp_path / "run", jobs=1, progress=Silent())
    actors = {path.read_bytes() for path in tmp_path.glob("run/stages/online-*/actor.safetensors")}
    assert len(actors) == 2
