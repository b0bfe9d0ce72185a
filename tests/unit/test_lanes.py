"""The lanes of `make test` (tests/conftest.py), with tests that write down when they ran."""

import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import os, time
import pytest

def note(name, seconds):
    began = time.monotonic()
    time.sleep(seconds)
    with open("times", "a") as file:
        file.write(f"{name} {os.getpid()} {began} {time.monotonic()}\\n")

"""
HERE = """
def test_here():
    note("here", 0.1)

@pytest.mark.parametrize("number", range(20))
def test_more(number):
    note("more", 0.1)
"""
POD = """
def test_beside():
    note("beside", 0.5)

@pytest.mark.alone
def test_alone():
    note("alone", 0.5)
"""


def test_a_lane_is_one_process_and_who_is_alone_has_nobody_beside(tmp_path):
    for folder, tests in (("unit", HERE), ("e2e", POD)):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        (tmp_path / "tests" / folder / "test_times.py").write_text(TESTS + tests)
    shutil.copy(CONFTEST, tmp_path / "tests")
    (tmp_path / "tests" / "cluster.py").touch()
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --import-mode=importlib\nmarkers = alone: nobody beside\n"
    )
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "tests/unit", "tests/e2e"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [line.split() for line in (tmp_path / "times").read_text().splitlines()]
    assert len({pid for name, pid, *_ in found if name in ("here", "more")}) == 1
    assert len({pid for name, pid, *_ in found if name in ("beside", "alone")}) == 1
    times = [(name, float(began), float(ended)) for name, _, began, ended in found]
    [(_, began, ended)] = [one for one in times if one[0] == "alone"]
    assert [name for name, a, b in times if a < ended and b > began] == ["alone"]
