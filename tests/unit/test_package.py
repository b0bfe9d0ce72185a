"""What the distribution promises: a small base install, extras that say what they are for, pins that can be checked."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import edgebed
from edgebed.cli.guard import EXTRAS
from edgebed.systems import registry

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CASE = ROOT / "tests/data/golden/never-atEnd-drain.json"


def requirements(*names: str) -> set[str]:
    """The distributions that an extra lists itself, or the base install."""
    listed = [line for name in names for line in PROJECT["optional-dependencies"][name]]
    return {re.split(r"[\[<>=~! ]", line)[0] for line in (listed if names else PROJECT["dependencies"])} - {"edgebed"}


def base_install(script: str) -> subprocess.CompletedProcess[str]:
    """A Python script where what the extras bring is not to be had, as in an edge node's image."""
    block = (
        "import sys\n"
        f"missing = {sorted(requirements('simulator', 'trainer'))!r}\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in missing:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        f"sys.path.insert(0, {str(ROOT / 'services')!r})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", block + script], capture_output=True, text=True, timeout=60, check=False
    )


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`edgebed` of a base install."""
    argv = ["edgebed", *map(str, arguments)]
    return base_install(f"sys.argv = {argv!r}\nfrom edgebed.cli import main\nmain()")


@pytest.mark.parametrize("name", ["random", "local", "rda", "ratc", "price-mask", "actor"])
def test_an_edge_node_decides_without_extras(name):
    """Everything that a node imports to decide is in the base install, the trained actor included."""
    module = "edgebed.systems.cooperative.policies." + name.replace("-", "_")
    done = base_install(f"import {module}, edgebed.systems.cooperative.node, edgebed.systems.cooperative.actor")
    assert done.returncode == 0, done.stderr


def test_the_node_core_plays_without_extras():
    """The base install can replay a case in the node core, with the case's exact answer."""
    done = command("replay", "--backend", "virtual", CASE)
    assert done.returncode == 0, done.stderr
    expected = {task["id"]: task["status"] for task in json.loads(CASE.read_text())["expected"]}
    assert {task["id"]: task["status"] for task in json.loads(done.stdout)["tasks"]} == expected


def test_a_controller_plans_learning_without_torch():
    """A trainer elsewhere learns; the controller's image has no torch."""
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import edgebed.controller.main, edgebed.runner.remote_course, edgebed.runner.stages as stages\n"
        "stages.SacCqlSettings(), stages.PpoSettings(), stages.CandidatePpoSettings(), stages.OutcomesSettings()"
    )
    path = {**os.environ, "PYTHONPATH": str(ROOT / "services")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=path, check=False)
    assert done.returncode == 0, done.stderr


def test_what_needs_an_extra_names_it(tmp_path):
    """A missing package is the environment's fault, and the message is the command that brings it."""
    done = command("replay", CASE)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "edgebed: numba is not installed; pip install 'edgebed[simulator]'\n"


def test_every_package_of_an_extra_is_known_to_the_command_line():
    """Adding a dependency to an extra without telling the command line fails here."""
    for extra in ("simulator", "trainer"):
        assert {name for name, brought_by in EXTRAS.items() if brought_by == extra} == requirements(extra)
    assert not requirements() & set(EXTRAS)


def test_installed_or_not_the_same_policies_are_found():
    """The entry points of the installed package and the table for the source tree say the same."""
    assert PROJECT["entry-points"]["edgebed.policies"] == registry.BUILT_IN


LOCKS = sorted(path.stem for path in (ROOT / "requirements").glob("*.txt"))
ROLES = ("controller", "edge-node", "task-generator", "trainer")


@pytest.mark.parametrize("name", LOCKS)
def test_pins_carry_hashes_and_no_addresses(name):
    """Every pinned package can be checked, from whatever index it is fetched."""
    text = (ROOT / f"requirements/{name}.txt").read_text()
    pins = re.split(r"\n(?=[a-z])", "\n" + re.sub(r"^ *#.*\n", "", text, flags=re.M))[1:]
    assert pins
    assert [pin for pin in pins if not re.match(r"[a-z0-9-]+==\S+", pin) or "--hash=sha256:" not in pin] == []
    assert "://" not in text


def pins(name: str) -> set[tuple[str, str]]:
    """Packages of a lock with their versions."""
    return set(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (ROOT / f"requirements/{name}.txt").read_text(), re.M))


@pytest.mark.parametrize("name", [name for name in LOCKS if name != "dev"])
def test_what_is_shared_with_the_tests_has_their_version(name):
    """Images hold what was tested; and files that are installed one after the other do not want two versions of one package."""
    tested = pins("dev")
    known = {package for package, _ in tested}
    assert {pin for pin in pins(name) if pin[0] in known} <= tested


@pytest.mark.parametrize("role", ROLES)
def test_a_roles_lock_holds_its_extra(role):
    """After a change of pyproject.toml, `make lock`; torch has a lock of its own, because it may come from another index."""
    extras, direct = {role}, requirements()
    while extras:
        direct |= requirements(extra := extras.pop())
        for line in PROJECT["optional-dependencies"][extra]:
            extras |= (
                set(line.removeprefix("edgebed[").rstrip("]").split(",")) if line.startswith("edgebed[") else set()
            )
    packages = {package for package, _ in pins(role)}
    assert direct - {"torch"} <= packages
    assert "torch" not in packages
    assert ("torch" in direct) == (role == "trainer")


def test_one_version():
    """What is cited is what is installed."""
    assert f"\nversion: {edgebed.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\nARG VERSION={edgebed.__version__}\n" in (ROOT / "docker/Dockerfile").read_text()
