"""Policies by name: ours, those of other packages, and what is said when there is none."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from edgebed.systems.cooperative.distributions import Constant
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import NetworkModel
from edgebed.systems.cooperative.policies.actor import Actor
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import Policy, PolicyContext
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.workload import WorkloadModel
from edgebed.systems.registry import build_policy, check_parameters, find_policy, policy_names


@pytest.fixture(scope="module")
def context():
    workload = WorkloadModel(
        slot_s=0.1, slots=4, size_bits=Constant(1e6), cycles_per_bit=Constant(500), deadline_s=Constant(1)
    )
    network = NetworkModel(
        nodes=3,
        cores=Constant(4),
        core_frequency_hz=3e9,
        arrival_probability=Constant(0.5),
        execution_failure_rate=Constant(0.1),
        link_rate_bits_per_s=Constant(1e8),
        link_failure_rate=Constant(0.01),
    ).draw(1)
    return PolicyContext(network, workload, Rules(), 0.25, 1)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package that offers a policy, as pip leaves it: a module and a folder of metadata."""

    def package(name: str, entry: str, module: str) -> None:
        (tmp_path / f"{name.replace('-', '_')}_module.py").write_text(module)
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[edgebed.policies]\n{entry}\n")

    monkeypatch.syspath_prepend(str(tmp_path))
    return package


GOOD = """
from edgebed.systems.cooperative.policy import Policy
class Mine(Policy):
    def decide(self, view, answers):
        return view.source
class Tuned(Mine):
    def __init__(self, context, strength, *, limit=3):
        super().__init__(context)
        self.strength, self.limit = strength, limit
class Open(Mine):
    def __init__(self, context, **anything):
        super().__init__(context)
"""


def test_ours_are_found_without_being_installed():
    for name in ("random", "local", "ratc", "rda", "least-completion", "price-mask"):
        assert issubclass(find_policy(name), Policy)
    assert find_policy("ratc") is Ratc
    assert find_policy("actor") is Actor


def test_a_wrong_name_answers_with_near_matches_and_all_names():
    with pytest.raises(ModelError, match="did you mean ratc") as caught:
        find_policy("rtac")
    for name in policy_names():
        assert name in str(caught.value)


def test_another_packages_policy_is_found_by_name(install, context):
    install("good", "mine = good_module:Mine", GOOD)
    assert "mine" in policy_names()
    assert type(build_policy("mine", context, {})).__name__ == "Mine"


def test_a_package_cannot_take_one_of_our_names(install):
    install("good", "ratc = good_module:Mine", GOOD)
    assert find_policy("ratc") is Ratc
    assert policy_names().count("ratc") == 1


@pytest.mark.parametrize(
    ("entry", "module", "said"),
    [
        ("bad = broken_module:Mine", "import a_library_that_is_not_there", "a_library_that_is_not_there"),
        ("bad = broken_module:Missing", GOOD, "Missing"),
        ("bad = broken_module:Mine", "1 / 0", "ZeroDivisionError"),
        ("bad = broken_module:Mine", "class Mine: pass", "derived from Policy"),
        ("bad = broken_module:Mine", "def Mine(context): return None", "derived from Policy"),
    ],
)
def test_a_package_that_does_not_load_is_named(install, monkeypatch, entry, module, said):
    install("broken", entry, module)
    monkeypatch.delitem(sys.modules, "broken_module", raising=False)
    with pytest.raises(ModelError, match="package broken") as caught:
        find_policy("bad")
    assert said in str(caught.value)


def test_parameters_are_checked_by_name(install, context):
    install("tuned", "tuned = tuned_module:Tuned\nopen = tuned_module:Open", GOOD)
    policy = build_policy("tuned", context, {"strength": 2})
    assert (policy.strength, policy.limit) == (2, 3)
    with pytest.raises(ModelError, match=r"strenght.*did you mean strength\? tuned has strength, limit"):
        check_parameters("tuned", {"strenght": 2})
    with pytest.raises(ModelError, match=r"strength.*missing"):
        check_parameters("tuned", {"limit": 2})
    with pytest.raises(ModelError, match="ratc has no parameters"):
        build_policy("ratc", context, {"probes": 3})
    build_policy("open", context, {"whatever": 1})


@pytest.mark.parametrize("value", [-1, "much"])
def test_a_value_that_a_policy_refuses_names_the_policy(context, value):
    with pytest.raises(ModelError, match=f"policy rda.*{value}"):
        build_policy("rda", context, {"coefficient": value})


def test_an_error_survives_the_way_from_a_worker():
    """A pool waits for ever for a result whose error it cannot unpickle."""
    error = ModelError("nodes", 0, "give 2 or more")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.field, copy.value, copy.remedy, str(copy)) == ("nodes", 0, "give 2 or more", str(error))


def test_nothing_is_imported_before_it_is_asked_for():
    services = Path(__file__).parents[3] / "services"
    script = (
        f"import sys; sys.path.insert(0, {str(services)!r})\n"
        "from edgebed.systems.registry import policy_names; names = policy_names()\n"
        "print([m for m in sys.modules if m.startswith('edgebed.systems.cooperative.policies')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
