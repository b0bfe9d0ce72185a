"""Policies by name: ours, mistakes in names and parameters, and the example package as its author would install it."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgebed.systems.cooperative.distributions import Constant
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import NetworkModel
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import Answers, PolicyContext, View
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.workload import WorkloadModel
from edgebed.systems.registry import build_policy, find_policy, policy_names

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "plugin-policy"
PAGE = ROOT / "docs" / "plugin-policy.md"
OURS = ["random", "local", "rda", "ratc", "price-mask", "least-completion"]
TINY = """
apiVersion: edgebed.dev/v1alpha1
kind: Experiment
metadata: {name: tiny}
spec:
  network:
    {nodes: 3, cores: {choice: [4, 8]}, arrivalProbability: 0.8, executionFailureRate: 0.05, linkRateMBps: 20,
     linkFailureRate: 0.01}
  workload: {slotSeconds: 0.5, slots: 5, sizeKB: 4000, cyclesPerBit: 1600, deadlineSeconds: 4}
  methods:
    - {name: nearest, policy: NEAREST}
    - {name: local, policy: local}
  evaluation: {episodes: 4}
"""


@pytest.fixture(scope="module")
def context() -> PolicyContext:
    """What a policy of three equal nodes is built for."""
    one = Constant(1)
    network = NetworkModel(3, Constant(4), 3e9, one, one, Constant(1e8), one).draw(1)
    return PolicyContext(network, WorkloadModel(0.5, 5, one, one, one), Rules(), 0.25, 1)


def install(source: Path, target: Path, scratch: Path) -> None:
    """Installs a package as its author would, from a copy, so that building leaves nothing in the repository."""
    shutil.copytree(source, scratch)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not installed")
    options = ["--quiet", "--offline", "--no-deps", "--no-build-isolation", "--python", sys.executable]
    subprocess.run(
        [uv, "pip", "install", *options, "--target", str(target), str(scratch)], check=True, capture_output=True
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package, to go on the Python path."""
    folder = tmp_path_factory.mktemp("plugin")
    install(EXAMPLE, folder / "target", folder / "source")
    return folder / "target"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Likewise, with a package whose module does not import."""
    folder = tmp_path_factory.mktemp("broken-plugin")
    broken = folder / "written"
    broken.mkdir()
    project = (EXAMPLE / "pyproject.toml").read_text()
    for ours, theirs in (("edgebed-nearest", "edgebed-broken"), ("nearest-idle", "broken"), ("nearest_idle", "broken")):
        project = project.replace(ours, theirs)
    (broken / "pyproject.toml").write_text(project)
    (broken / "broken.py").write_text("import a_module_that_nobody_has\n")
    install(broken, folder / "target", folder / "source")
    return folder / "target"


def edgebed(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line with the packages of a folder installed."""
    path = os.pathsep.join([str(installed), str(ROOT / "services")])
    return subprocess.run(
        [sys.executable, "-m", "edgebed", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_ours_are_there_in_order_of_strength() -> None:
    """The policies that come along are found without being installed, before those of other packages."""
    assert policy_names()[: len(OURS)] == OURS
    assert find_policy("ratc") is Ratc


@pytest.mark.parametrize(
    ("name", "near"), [("rtac", "did you mean ratc"), ("least-complet", "did you mean least-completion")]
)
def test_near_match_is_offered(name: str, near: str) -> None:
    """A mistyped name is answered with the nearest ones and with all that are installed."""
    with pytest.raises(ModelError, match=near) as caught:
        find_policy(name)
    assert ", ".join(OURS) in str(caught.value)


def test_name_like_no_other_lists_what_is_installed() -> None:
    """A name that resembles nothing gets no guess, but the list."""
    with pytest.raises(ModelError, match="installed are random") as caught:
        find_policy("zzzzzz")
    assert "did you mean" not in str(caught.value)


def test_unknown_parameter_is_named_with_the_accepted_ones(context: PolicyContext) -> None:
    """A parameter that the policy does not have is refused by name, with those that it has, if any."""
    with pytest.raises(ModelError, match=r"policy rda: coeficient.*did you mean coefficient\? rda has coefficient"):
        build_policy("rda", context, {"coeficient": 0.5})
    with pytest.raises(ModelError, match=r"policy ratc: probes.*ratc has no parameters"):
        build_policy("ratc", context, {"probes": 3})


def test_missing_parameter_is_named(context: PolicyContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter without default that is not given is named, with how to write it."""

    class Needy(Ratc):
        def __init__(self, context: PolicyContext, probes: int) -> None:
            super().__init__(context)

    monkeypatch.setattr("edgebed.systems.registry.find_policy", {"needy": Needy}.__getitem__)
    with pytest.raises(ModelError, match=r"policy needy: probes.*kind: needy, probes: \.\.\."):
        build_policy("needy", context, {})
    assert isinstance(build_policy("needy", context, {"probes": 2}), Needy)


def test_example_is_listed(installed: Path, tmp_path: Path) -> None:
    """Installing the example package is all it takes for its policy to be known, after ours and with its docstring."""
    found = edgebed(installed, "policies", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    listed = json.loads(found.stdout)
    assert set(OURS) | {"nearest-idle"} <= set(listed)
    assert listed["nearest-idle"].startswith("Asks the nodes at the fastest links")


def test_example_is_named_in_an_experiment_and_runs(installed: Path, tmp_path: Path) -> None:
    """An experiment that names the installed policy is valid and runs; without the package it is refused."""
    (tmp_path / "tiny.yaml").write_text(TINY.replace("NEAREST", "{kind: nearest-idle, asked: 2}"))
    valid = edgebed(installed, "validate", "tiny.yaml", cwd=tmp_path)
    assert valid.returncode == 0, valid.stderr
    assert "nearest" in valid.stdout
    run = edgebed(installed, "run", "tiny.yaml", "--jobs", "1", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    methods = json.loads(run.stdout)["methods"]
    assert 0 < methods["nearest"]["successRate"]["mean"] <= 1
    refused = edgebed(tmp_path, "validate", "tiny.yaml", cwd=tmp_path)
    assert refused.returncode == 2
    assert "'nearest-idle' is not an installed policy" in refused.stderr


def test_example_refuses_wrong_parameters(
    installed: Path, context: PolicyContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parameter that the installed policy does not have, or a value that it does not allow, is refused with what is."""
    monkeypatch.syspath_prepend(installed)
    with pytest.raises(ModelError, match="policy nearest-idle: askd: 2 is not allowed; did you mean asked"):
        build_policy("nearest-idle", context, {"askd": 2})
    with pytest.raises(ModelError, match="policy nearest-idle: asked: 3 is not allowed; give at least 1"):
        build_policy("nearest-idle", context, {"asked": 3})
    with pytest.raises(ModelError, match=r"policy nearest-idle: .*nearest-idle does not take these values"):
        build_policy("nearest-idle", context, {"asked": "two"})


def test_broken_package_is_named(broken: Path, tmp_path: Path) -> None:
    """A package whose module does not import is named with what it raised, and hides no other policy."""
    found = edgebed(broken, "policies", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    line = next(line for line in found.stdout.splitlines() if line.startswith("broken "))
    assert "of the package edgebed-broken does not load" in line
    assert "a_module_that_nobody_has" in line
    assert all(name in found.stdout for name in OURS)
    (tmp_path / "tiny.yaml").write_text(TINY.replace("NEAREST", "broken"))
    refused = edgebed(broken, "validate", "tiny.yaml", cwd=tmp_path)
    assert refused.returncode == 2
    assert "of the package edgebed-broken does not load" in refused.stderr


def test_author_writes_at_most_twenty_lines() -> None:
    """The example's module has at most 20 lines of code beside docstrings and blank lines."""
    source = (EXAMPLE / "nearest_idle.py").read_text()
    prose = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    code = [
        line for number, line in enumerate(source.splitlines(), 1) if number not in prose and line.strip().strip("#")
    ]
    assert 0 < len(code) <= 20


def test_page_shows_the_files_of_the_example() -> None:
    """The code in the page is the example's code, letter for letter."""
    page = PAGE.read_text()
    for name, language in (("nearest_idle.py", "python"), ("pyproject.toml", "toml"), ("try_it.py", "python")):
        assert f"```{language}\n{(EXAMPLE / name).read_text()}```" in page, name


def test_page_tests_the_policy_alone(installed: Path, tmp_path: Path) -> None:
    """What the page shows for trying a policy without an experiment runs."""
    path = os.pathsep.join([str(installed), str(ROOT / "services")])
    tried = subprocess.run(
        [sys.executable, str(EXAMPLE / "try_it.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 0, tried.stderr
    assert "3.0 messages per task" in tried.stdout


def test_page_names_what_views_and_answers_offer() -> None:
    """Every public attribute of a view and of answers is in the page."""
    page = PAGE.read_text()
    for kind in (View, Answers):
        names = {*kind.__dataclass_fields__, *(n for n in vars(kind) if not n.startswith("_"))}
        missing = {name for name in names if f"`{name}" not in page and f"view.{name}" not in page}
        assert missing <= {"rows", "nodes", "decision_key"}, missing
