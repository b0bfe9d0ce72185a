"""What only a process of its own shows: what is imported, what a signal does, what a full disk does."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

SERVICES = Path(__file__).parents[3] / "services"
HEAVY = {"torch", "numba", "matplotlib", "pyarrow", "scipy", "pettingzoo"}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SERVICES), "OMP_NUM_THREADS": "1"}


def edgebed(*arguments: object, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgebed", *map(str, arguments)],
        env=environment(),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["validate"], ["policies"], ["schema"]])
def test_what_needs_no_simulator_imports_none(write, arguments):
    """Help and mistakes answer at once: libraries that take seconds to import stay where they are."""
    if arguments == ["validate"]:
        arguments = ["validate", str(write(methods=[{"name": "p", "policy": "price-mask"}]))]
    script = (
        f"import sys; sys.argv = {['edgebed', *arguments]!r}\n"
        "from edgebed.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('IMPORTED', *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    imported = set(done.stderr.split("IMPORTED")[1].split())
    assert "edgebed" in imported
    assert not imported & HEAVY


def test_an_interrupted_run_goes_on_where_it_stopped(cli, write, tmp_path):
    """Ctrl-C goes to the whole group, as from a terminal; the same command then gives what one uninterrupted run gives.

    The other run has one worker instead of two, so results do not depend on that either.
    """
    names = ["random", "rda", "ratc", "price-mask", "least-completion"]
    file = write(methods=[{"name": name, "policy": name} for name in names], evaluation={"episodes": 700})
    folder, whole = tmp_path / "interrupted", tmp_path / "whole"
    command = [sys.executable, "-m", "edgebed", "run", str(file), "--output", str(folder), "--jobs", "2"]
    with subprocess.Popen(
        command,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        finished: list[str] = []
        while not any("evaluating rda" in line for line in finished):  # then its network's first stage is stored
            finished.append(process.stderr.readline())
            assert finished[-1], "the run ended before it could be interrupted"
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert not (folder / "results.json").exists()
    again = edgebed("run", file, "--output", folder, "--jobs", "2")
    assert again.returncode == 0, again.stderr
    assert not list(folder.rglob("*.tmp-*"))  # what the killed workers were writing is gone
    network = finished[-1].split(":")[0]
    assert f"{network}: evaluating random" not in again.stderr
    assert f"{network}: evaluating least-completion" in again.stderr
    assert cli("run", file, "--output", whole, "--jobs", 1).exit_code == 0
    assert (folder / "results.json").read_bytes() == (whole / "results.json").read_bytes()


def test_a_full_disk_is_the_environments_fault():
    """/dev/full is a disk without space."""
    with open("/dev/full", "w") as full:
        done = edgebed("schema", stdout=full)
    assert done.returncode == 3
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_is_no_error(write):
    """`edgebed schema | head -1`."""
    with subprocess.Popen(
        [sys.executable, "-m", "edgebed", "schema"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("{")
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


def test_no_colour_and_no_bars_in_a_pipe(write, tmp_path):
    """Standard error that is no terminal gets plain lines; standard output with --json is one document."""
    done = edgebed("run", write(), "--output", tmp_path / "out", "--jobs", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 4  # two methods on two networks
    assert set(json.loads(done.stdout)["methods"]) == {"ratc", "rda"}
