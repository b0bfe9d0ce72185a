"""The example of `docs/plugin-policy.md`: a third party's policy, really installed and named in YAML."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "plugin-policy"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder in which the example is installed, by a real installer from a real build."""
    folder = tmp_path_factory.mktemp("plugin")
    source, target = folder / "source", folder / "site"
    shutil.copytree(EXAMPLE, source)  # the build leaves its own files beside the source
    if importlib.util.find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    else:
        command = ["uv", "pip", "install", "--python", sys.executable]
    command += ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture
def run_python(installed):
    """Runs Python with edgebed and the example on its path."""

    def python(*arguments: object) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(installed), str(ROOT / "services")])
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return python


def test_it_is_found_by_its_name(run_python):
    done = run_python(
        "-c", "from edgebed.systems.registry import find_policy; print(find_policy('nearest-of-two').__module__)"
    )
    assert done.stdout.strip() == "nearest_of_two", done.stderr
    assert "nearest-of-two" in run_python("-m", "edgebed", "policies").stdout


def test_an_experiment_names_it_and_runs_it(run_python, write, tmp_path):
    """One probe per task, some tasks go away and some stay; and without the package the name is refused."""
    names = ["local", "random", "nearest-of-two"]
    file = write(methods=[{"name": name, "policy": name} for name in names], evaluation={"episodes": 40})
    validated = run_python("-m", "edgebed", "validate", file)
    assert validated.returncode == 0, validated.stderr
    done = run_python("-m", "edgebed", "run", file, "--output", tmp_path / "out", "--jobs", "2", "--json")
    assert done.returncode == 0, done.stderr
    methods = json.loads(done.stdout)["methods"]
    assert methods["nearest-of-two"]["messagesPerTask"] == 1
    assert 0 < methods["nearest-of-two"]["offloadedShare"] < 1
    assert methods["nearest-of-two"]["successRate"]["mean"] > methods["random"]["successRate"]["mean"]


def test_without_the_package_the_name_is_refused(cli, write):
    answer = cli("validate", write(methods=[{"name": "a", "policy": "nearest-of-two"}]))
    assert answer.exit_code == 2
    assert "'nearest-of-two' is not an installed policy" in answer.stderr


def test_it_takes_at_most_twenty_lines_of_its_author():
    assert len((EXAMPLE / "nearest_of_two.py").read_text().splitlines()) <= 20


def test_the_page_shows_the_files_as_they_are():
    page = (ROOT / "docs" / "plugin-policy.md").read_text()
    for name in ("nearest_of_two.py", "pyproject.toml"):
        assert (EXAMPLE / name).read_text().strip() in page
