"""What the commands answer: results on standard output, mistakes on standard error, and an exit code for scripts."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest

GOLDEN = sorted((Path(__file__).parents[2] / "data" / "golden").glob("*.json"))


def test_validate_lists_what_would_run(cli, write):
    """Stages with their sizes, trainings counted over networks and seeds."""
    learned = {
        "name": "o2o",
        "collect": {"policy": "ratc", "episodes": 7},
        "offline": {"algorithm": "sac-cql", "updates": 1500},
        "online": {"algorithm": "ppo", "episodes": 9},
    }
    file = write(methods=[{"name": "rda", "policy": "rda"}, learned], trainingSeeds=3)
    answer = cli("validate", file, "--json")
    assert answer.exit_code == 0
    plan = json.loads(answer.stdout)
    assert plan["networks"] == 2
    assert plan["trainings"] == 6
    assert plan["stages"]["rda"] == ["evaluate 4 episodes of rda"]
    assert plan["stages"]["o2o"] == [
        "collect 7 episodes of ratc",
        "sac-cql for 1,500 updates",
        "ppo for 9 episodes",
        "evaluate 4 episodes",
    ]
    assert "1,500 updates" in cli("validate", file).stdout


def test_validate_lists_swept_values(cli, write):
    answer = cli("validate", write(sweep={"field": "network.nodes", "values": [3, 5]}), "--json")
    assert json.loads(answer.stdout)["sweep"] == ["3", "5"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"methods": [{"name": "a", "policy": "rtac"}]}, ["spec.methods[0].policy", "'rtac'", "ratc"]),
        (
            {"methods": [{"name": "a", "policy": {"kind": "rda", "coeficient": 1}}]},
            ["spec.methods[0].policy", "coeficient", "did you mean coefficient?"],
        ),
        ({"methods": [{"name": "a", "policy": {"kind": "ratc", "probes": 3}}]}, ["probes", "ratc has no parameters"]),
        ({"replicates": 0}, ["spec.replicates", "0"]),
        ({"network": {"file": "networks.json"}}, ["spec.network.file", "networks.json", "no such file"]),
        ({"workload": {"file": "t.parquet", "slotSeconds": 0.1, "slots": 5}}, ["spec.workload.file", "t.parquet"]),
        ({"colour": "red"}, ["spec.colour", "unknown"]),
    ],
)
def test_validate_names_field_value_and_remedy(cli, write, spec, said):
    """A wrong file is exit code 2 and a message without a traceback, before anything is computed."""
    answer = cli("validate", write(**spec))
    assert answer.exit_code == 2
    assert answer.stdout == ""
    for words in said:
        assert words in answer.stderr
    assert "Traceback" not in answer.stderr


def test_validate_says_all_at_once(cli, write):
    """Two policies with wrong parameters are two lines."""
    methods = [{"name": name, "policy": {"kind": name, "speed": 1}} for name in ("local", "random")]
    answer = cli("validate", write(methods=methods))
    assert answer.exit_code == 2
    assert len(answer.stderr.splitlines()) == 2
    assert "spec.methods[0].policy: policy local: speed" in answer.stderr
    assert "spec.methods[1].policy: policy random: speed" in answer.stderr


def test_a_missing_file_names_its_neighbours(cli, write):
    answer = cli("validate", write().with_name("tinny.yaml"))
    assert answer.exit_code == 2
    assert "no such file; did you mean tiny.yaml?" in answer.stderr


def test_an_unreadable_file_is_the_environments_fault(cli, tmp_path):
    """A link to itself cannot be read, not even by root."""
    file = tmp_path / "loop.yaml"
    file.symlink_to(file)
    assert cli("validate", file).exit_code == 3


def test_run_prints_the_table_and_leaves_a_report(cli, write, tmp_path):
    folder = tmp_path / "out"
    answer = cli("run", write(), "--output", folder, "--jobs", 1)
    assert answer.exit_code == 0, answer.stderr
    assert "ratc" in answer.stdout
    assert "report.html" in answer.stdout
    assert (folder / "report.html").stat().st_size > 1000
    assert "network 2: evaluating rda" in answer.stderr  # a plain line per stage: nobody sees bars here
    (folder / "report.html").unlink()
    assert cli("report", folder).exit_code == 0
    assert (folder / "report.html").exists()


def test_run_as_json_prints_nothing_else(cli, write, tmp_path):
    """Standard output is one JSON document, the same as results.json."""
    folder = tmp_path / "out"
    answer = cli("run", write(), "--output", folder, "--jobs", 1, "--json")
    assert json.loads(answer.stdout) == json.loads((folder / "results.json").read_text())
    again = cli("run", write(), "--output", folder, "--jobs", 1, "--json")
    assert again.stdout == answer.stdout
    assert "evaluating" not in again.stderr  # nothing is computed twice


def test_run_refuses_the_folder_of_another_experiment(cli, write, tmp_path):
    folder = tmp_path / "out"
    assert cli("run", write(), "--output", folder, "--jobs", 1).exit_code == 0
    answer = cli("run", write(seed=4), "--output", folder, "--jobs", 1)
    assert answer.exit_code == 2
    assert "another experiment" in answer.stderr
    assert "--output" in answer.stderr


def test_a_policys_own_objection_reaches_the_user_from_a_worker(cli, write, tmp_path):
    """The value is refused where the policy is built, in another process."""
    methods = [{"name": "rda", "policy": {"kind": "rda", "coefficient": -1}}]
    answer = cli("run", write(methods=methods), "--output", tmp_path / "out", "--jobs", 2)
    assert answer.exit_code == 2
    assert "policy rda: coefficient: -1" in answer.stderr


def test_a_value_that_a_policy_cannot_compute_with_is_the_users_mistake(cli, write, tmp_path):
    methods = [{"name": "rda", "policy": {"kind": "rda", "coefficient": "much"}}]
    answer = cli("run", write(methods=methods), "--output", tmp_path / "out", "--jobs", 1)
    assert answer.exit_code == 2
    assert "much" in answer.stderr


def test_an_output_below_a_file_is_the_environments_fault(cli, write, tmp_path):
    answer = cli("run", write(), "--output", write() / "out", "--jobs", 1)
    assert answer.exit_code == 3
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--backend", "kubernetes"), ("--backend", "cloud"), ("--device", "gpu"), ("--jobs", "0")],
)
def test_options_that_cannot_be(cli, write, tmp_path, arguments):
    answer = cli("run", write(), "--output", tmp_path / "out", *arguments)
    assert answer.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("backend", ["simulator", "virtual"])
def test_replay_prints_a_line_per_case(cli, backend):
    """Status equal and end within a nanosecond of what the cases expect."""
    answer = cli("replay", *GOLDEN, "--backend", backend)
    assert answer.exit_code == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert len(lines) == len(GOLDEN) >= 20
    for path, line in zip(GOLDEN, lines, strict=True):
        case, answered = json.loads(path.read_text()), json.loads(line)
        assert answered["name"] == case["name"]
        for task, expected in zip(answered["tasks"], case["expected"], strict=True):
            assert (task["id"], task["status"]) == (expected["id"], expected["status"])
            ends = [x["endSeconds"] for x in (task, expected)]
            assert ends[0] == ends[1] or abs(ends[0] - ends[1]) < 1e-9


def test_replay_refuses_a_truncated_case(cli, tmp_path):
    path = tmp_path / "cut.json"
    path.write_text(GOLDEN[0].read_text()[:300])
    answer = cli("replay", path)
    assert answer.exit_code == 2
    assert str(path) in answer.stderr
    missing = cli("replay", tmp_path / "none.json")
    assert missing.exit_code == 2
    assert "none.json" in missing.stderr
    assert cli("replay", GOLDEN[0], "--backend", "kubernetes").exit_code == 2


def test_convert_writes_the_transitions_of_a_log(cli, write, tmp_path):
    from edgebed.experiment.inputs import read_inputs
    from edgebed.experiment.reading import load
    from edgebed.runner.setting import Setting
    from edgebed.stores.log_files import write_log
    from edgebed.systems.cooperative.policies.ratc import Ratc
    from edgebed.systems.cooperative.randomness import Stream

    file = write()
    experiment = load(file)
    setting = Setting.of(experiment, 1, read_inputs(experiment))
    log = setting.play(Ratc(setting.context), setting.tasks(Stream.COLLECT, range(3))).log
    write_log(tmp_path / "log.parquet", log, {})
    target = tmp_path / "t.npz"
    answer = cli("convert", tmp_path / "log.parquet", "--experiment", file, "--replicate", 1, "--output", target)
    assert answer.exit_code == 0, answer.stderr
    assert f"{len(log):,} records" in answer.stdout
    with np.load(target) as written:
        assert written["action"].shape == (3, 10, 4)
        assert int(written["has_task"].sum()) == len(log)
    wrong = cli("convert", file, "--experiment", file, "--output", tmp_path / "no.npz")
    assert wrong.exit_code == 2
    assert not (tmp_path / "no.npz").exists()
    missing = cli(
        "convert", tmp_path / "log.parquet", "--experiment", file, "--replicate", 2, "--output", tmp_path / "no.npz"
    )
    assert missing.exit_code == 2
    assert "--replicate" in missing.stderr


def test_policies_and_schema_are_for_programs_too(cli):
    listed = json.loads(cli("policies", "--json").stdout)
    assert {"random", "local", "ratc", "rda", "least-completion", "price-mask"} <= set(listed)
    assert all(listed.values())
    assert json.loads(cli("schema").stdout)["title"] == "Experiment"


def test_a_mistake_of_ours_leaves_its_traceback_in_a_file(cli, write, tmp_path, monkeypatch):
    """A short message, the path of the traceback, exit code 1."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("edgebed.cli.plan.plan", lambda _: 1 / 0)
    answer = cli("validate", write())
    assert answer.exit_code == 1
    assert "Traceback" not in answer.stderr
    (trace,) = tmp_path.glob("edgebed-*.log")
    assert str(trace) in answer.stderr
    assert "ZeroDivisionError" in trace.read_text()


@pytest.mark.parametrize("command", ["run", "validate", "replay", "convert", "report"])
def test_help_teaches_by_example(cli, command):
    assert f"edgebed {command} " in cli(command, "--help").stdout


def test_run_publishes_its_results(cli, write, tmp_path, monkeypatch):
    from edgebed.stores.artefacts import open_artefacts

    store = f"file:{tmp_path / 'artefacts'}"
    command = ["run", str(write()), "--output", str(tmp_path / "run"), "--jobs", "1", "--publish", "tiny-1"]
    refused = cli(*command)
    assert refused.exit_code == 2
    assert "EDGEBED_ARTEFACTS" in refused.stderr
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("EDGEBED_ARTEFACTS", store)
    for _ in range(2):  # a run that is there already is published again
        assert cli(*command).exit_code == 0
        assert {"results.json", "report.html"} <= open_artefacts(store).open("results/tiny-1").files.keys()
