"""The words of the status, held to those of the runner: a real experiment is run, and every stage that it tells of is known."""

import pytest

from edgebed.experiment.status import Status
from edgebed.experiment.validation import validate
from edgebed.operator.demand import demand
from edgebed.operator.progress import concluded, mirrored, phase_of, simulated
from tests.unit.operator.world import LEARNED, experiment


class Listening:
    def __init__(self):
        self.labels, self.lines = [], []

    def started(self, stage, label, total):
        self.labels.append(label)

    def advanced(self, stage, amount, note=""):
        pass

    def finished(self, stage):
        self.lines.append(f"{self.labels[-1]}: 0.1 s")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    pytest.importorskip("torch")
    from edgebed.runner.run import run_experiment

    item = experiment(backend="simulator", replicates=2, methods=LEARNED)
    need, progress = demand("quick", item["spec"]), Listening()
    results = run_experiment(validate(need.document), tmp_path_factory.mktemp("run"), jobs=1, progress=progress)
    return need, progress, results


def test_every_stage_of_the_runner_has_a_phase(told):
    _, progress, _ = told
    assert {phase_of(label) for label in progress.labels} == {"Collecting", "Training", "FineTuning", "Evaluating"}


def test_as_many_stages_as_expected(told):
    need, progress, _ = told
    assert len(progress.lines) == need.stages
    percents = [simulated(progress.lines[:k], need)["progressPercent"] for k in range(need.stages + 1)]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0, 99)
    assert simulated(progress.lines, need)["method"] == "o2o"


def test_the_results_of_a_run_are_understood(told):
    need, _, results = told
    found = concluded(results, need)
    assert [method["name"] for method in found["methods"]] == ["ratc", "o2o"]
    assert all(0 <= method["successRate"] <= 1 for method in found["methods"])
    assert found["method"] in ("ratc", "o2o")


def test_results_of_a_sweep_are_means_without_an_interval():
    need = demand("quick", experiment()["spec"])
    rate = lambda mean: {"methods": {"ratc": {"successRate": {"mean": mean, "ci95": [0, 1]}}}}  # noqa: E731
    found = concluded({"sweep": {"points": [rate(0.4), rate(0.8)]}}, need)
    assert found["methods"] == [{"name": "ratc", "successRate": 0.6}]


def test_without_results_it_is_over_all_the_same():
    need = demand("quick", experiment()["spec"])
    assert concluded(None, need) == {"progress": "100 %", "progressPercent": 100}


@pytest.mark.parametrize(
    ("label", "phase"),
    [
        (None, "Deploying"),
        ("network 1: collecting with ratc", "Collecting"),
        ("a = 5, network 2, seed 1: offline learning", "Training"),
        ("network 1: online learning", "FineTuning"),
        ("network 1: evaluating online learning", "Evaluating"),
        ("network 1: evaluating ratc: the same in the simulator", "Evaluating"),
        ("network 1: collecting with ratc: deploying", "Deploying"),
        ("writing results and report", "Reporting"),
    ],
)
def test_phases(label, phase):
    assert phase_of(label) == phase


def test_the_method_is_named_whatever_it_is_called():
    need = demand("quick", experiment(methods=[{"name": "a.b_c+d-1", "policy": "ratc"}])["spec"])
    for within in ("", ": deploying", ": the same in the simulator"):
        assert mirrored({"phase": f"network 1: evaluating a.b_c+d-1{within}"}, need)["method"] == "a.b_c+d-1"


def test_what_is_the_same_is_counted_once():
    methods = [
        {"name": "a", "policy": "ratc"},
        {"name": "b", "policy": "ratc"},
        *LEARNED[1:],
        LEARNED[1] | {"name": "again"},
    ]
    need = demand("quick", experiment(methods=methods, replicates=2, trainingSeeds=3)["spec"])
    assert need.episodes == 2 * (10 + 4 + 3 * (4 + 6))
    assert need.online == {"o2o": 36, "again": 36}


def test_an_interval_of_a_share_ends_where_shares_do():
    """With few episodes the interval by Student's t goes beyond 1, which the kind Experiment refuses."""
    rate = {"mean": 0.98, "ci95": [-0.02, 1.006]}
    found = concluded({"methods": {"ratc": {"successRate": rate}}}, demand("quick", experiment()["spec"]))
    assert found["methods"] == [{"name": "ratc", "successRate": 0.98, "ci95": [0.0, 1.0]}]
    Status.model_validate(found)
