"""A stage is there as a whole or not at all, is computed once, and a folder belongs to one experiment."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgebed.experiment.errors import EnvironmentFault, UserError
from edgebed.experiment.files import write_atomically
from edgebed.experiment.folder import open_run_folder
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.reading import load
from edgebed.experiment.stages import StageStore
from edgebed.experiment.sweep import replacing
from edgebed.experiment.validation import validate


class Maker:
    """Writes two files and counts how often."""

    def __init__(self, text="x"):
        self.calls = 0
        self.text = text

    def __call__(self, folder):
        self.calls += 1
        (folder / "a.txt").write_text(self.text)
        (folder / "inner").mkdir()
        (folder / "inner" / "b.txt").write_text("b")


def leftovers(root):
    return [p for p in root.glob("*") if p.name != "locks"]


def test_equal_stages_are_computed_once(tmp_path):
    """Order of the inputs does not matter; a later store over the same folder finds the stage."""
    make = Maker()
    first = StageStore(tmp_path).compute("log", {"a": 1, "b": [2]}, make)
    second = StageStore(tmp_path).compute("log", {"b": [2], "a": 1}, make)
    assert first == second
    assert make.calls == 1
    assert (first / "inner" / "b.txt").read_text() == "b"


@pytest.mark.parametrize(
    ("kind", "inputs", "versions"),
    [("logs", {"a": 1}, {"k": "1"}), ("log", {"a": 2}, {"k": "1"}), ("log", {"a": 1}, {"k": "2"})],
)
def test_another_kind_input_or_version_is_another_stage(tmp_path, kind, inputs, versions):
    make = Maker()
    StageStore(tmp_path, {"k": "1"}).compute("log", {"a": 1}, make)
    StageStore(tmp_path, versions).compute(kind, inputs, make)
    assert make.calls == 2


def test_the_digest_follows_the_content_alone(tmp_path):
    store = StageStore(tmp_path)
    one, same, other = (store.compute("log", {"a": i}, Maker(text)) for i, text in enumerate(("x", "x", "y")))
    assert store.digest(one) == store.digest(same) != store.digest(other)


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "manifest"])
def test_a_damaged_stage_is_computed_again(tmp_path, damage):
    make = Maker("0123456789")
    store = StageStore(tmp_path)
    stage = store.compute("log", {}, make)
    file = stage / ("manifest.json" if damage == "manifest" else "a.txt")
    if damage == "remove":
        file.unlink()
    else:
        file.write_text({"truncate": "0123", "flip": "0123456780", "manifest": "{"}[damage])
    assert not store.present("log", {})
    assert store.compute("log", {}, make) == stage
    assert make.calls == 2
    assert (stage / "a.txt").read_text() == "0123456789"


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_a_stage_that_fails_leaves_nothing(tmp_path, error):
    def make(folder):
        (folder / "half").write_text("half")
        raise error

    store = StageStore(tmp_path)
    with pytest.raises(type(error)):
        store.compute("log", {}, make)
    assert leftovers(tmp_path) == []
    assert not store.present("log", {})


def test_a_full_disk_is_the_environments_fault(tmp_path):
    """Named with folder and remedy, exit code 3, nothing half-written."""

    def make(folder):
        (folder / "half").write_text("half")
        with open("/dev/full", "w") as full:
            full.write("x" * 10)

    with pytest.raises(EnvironmentFault, match="no space left") as error:
        StageStore(tmp_path).compute("log", {}, make)
    assert str(tmp_path) in str(error.value)
    assert error.value.exit_code == 3
    assert error.value.__cause__.errno == errno.ENOSPC
    assert leftovers(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_the_environments_fault(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        StageStore(tmp_path / "file" / "stages")


_SLOW = """
import sys, time
from pathlib import Path
from edgebed.experiment.stages import StageStore

def make(folder):
    (folder / "half").write_text("half")
    print("making", flush=True)
    time.sleep(60)

StageStore(Path(sys.argv[1])).compute("log", {}, make)
"""


def test_a_killed_process_leaves_a_stage_that_can_be_computed(tmp_path):
    """After kill -9 in the middle, the temporary folder is swept and the stage is made anew."""
    process = subprocess.Popen([sys.executable, "-c", _SLOW, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "making\n"
        store = StageStore(tmp_path, wait_limit_s=0.2)
        assert len(leftovers(tmp_path)) == 1  # a living process is left alone
        with pytest.raises(EnvironmentFault, match=f"process {process.pid}"):
            store.compute("log", {}, Maker())
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
    StageStore(tmp_path)
    assert leftovers(tmp_path) == []
    make = Maker()
    StageStore(tmp_path).compute("log", {}, make)
    assert make.calls == 1


def _contend(root, barrier, results):
    def make(folder):
        with (root.parent / "calls").open("a") as calls:
            calls.write(f"{os.getpid()}\n")
        time.sleep(0.2)
        (folder / "a").write_text("a" * 100_000)

    store = StageStore(root)
    barrier.wait(20)
    results.put((store.compute("log", {}, make) / "a").stat().st_size)


def test_processes_that_want_the_same_stage_compute_it_once(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_contend, args=(tmp_path / "s", barrier, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    sizes = [results.get(timeout=20) for _ in workers]
    for worker in workers:
        worker.join(20)
    assert sizes == [100_000] * 4
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def test_json_stages(tmp_path):
    store = StageStore(tmp_path)
    assert store.compute_json("score", {"a": 1}, lambda: {"b": [1.5]}) == {"b": [1.5]}
    assert store.compute_json("score", {"a": 1}, lambda: pytest.fail("computed twice")) == {"b": [1.5]}


def test_small_files_are_replaced_as_a_whole(tmp_path):
    path = tmp_path / "results.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        write_atomically(tmp_path / "no" / "file", b"")


def test_a_run_folder_belongs_to_one_experiment(tmp_path, experiment):
    """The same experiment resumes; another is refused with the first difference."""
    folder = tmp_path / "runs" / "small"
    assert not open_run_folder(folder, experiment).resumed
    assert open_run_folder(folder, experiment).resumed
    with pytest.raises(UserError) as error:
        open_run_folder(folder, replacing(experiment, "seed", 8))
    assert "belongs to another experiment: it has `seed: 7`, this one has `seed: 8`" in str(error.value)
    assert str(folder) in str(error.value)


def test_the_experiment_as_run_can_be_run_again(tmp_path, experiment):
    folder = open_run_folder(tmp_path / "run", experiment)
    again = load(folder.path / "experiment.yaml")
    assert again.to_document() == experiment.to_document()
    assert open_run_folder(tmp_path / "run", again).resumed


def test_a_folder_with_other_things_is_refused(tmp_path, experiment):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="holds other things than a run"):
        open_run_folder(tmp_path, experiment)
    with pytest.raises(UserError, match="is not a folder"):
        open_run_folder(tmp_path / "thesis.tex", experiment)


def test_input_files_travel_with_the_run(tmp_path, experiment, document):
    """The folder has a copy, runs from it, and notices when the original has changed."""
    networks = [network.to_document() for network in read_inputs(experiment).networks]
    (tmp_path / "mine.json").write_text(json.dumps(networks))
    document["spec"]["network"] = {"file": "mine.json"}
    given = validate(document, folder=tmp_path)
    run = open_run_folder(tmp_path / "run", given)
    assert run.experiment.spec.network.file == "inputs/network.json"
    assert len(read_inputs(load(run.path / "experiment.yaml")).networks) == 2
    assert open_run_folder(tmp_path / "run", given).resumed
    assert open_run_folder(tmp_path / "run", load(run.path / "experiment.yaml")).resumed
    networks[0]["arrivalProbability"][0] = 0.123
    (tmp_path / "mine.json").write_text(json.dumps(networks))
    with pytest.raises(UserError, match=r"the content of inputs/network\.json is not the same"):
        open_run_folder(tmp_path / "run", given)


def test_the_platform_has_a_full_device():
    """The test of the full disk needs /dev/full to be what it is on Linux."""
    assert Path("/dev/full").is_char_device()
