"""Tasks that really compute, on nodes that are processes, as a user runs them: measured, accounted for, and reported."""

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict

import psutil
import pytest

from edgebed.emulation.applications.videos import FORMATS, clip_path, find_ffmpeg


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with small clips in place of large ones, for every process of the test."""
    folder = tmp_path / "cache" / "edgebed" / "clips"
    folder.mkdir(parents=True)
    small = tmp_path / "small.mp4"
    pattern = "testsrc2=size=128x72:rate=10:duration=1"
    subprocess.run([find_ffmpeg(), "-loglevel", "error", "-f", "lavfi", "-i", pattern, str(small)], check=True)
    for source in FORMATS:
        shutil.copy(small, clip_path(folder, source))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def edgebed(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "edgebed", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def everything_is_accounted_for(one):
    """As many tasks in the log as in each finished episode, each with a status that ends it."""
    episodes = one.query("SELECT episode, result FROM episodes WHERE result IS NOT NULL")
    assert episodes
    for episode, result in episodes:
        found = one.query(f"SELECT status, count(*) FROM tasks WHERE episode = {episode} GROUP BY status")
        assert sum(count for _, count in found) == json.loads(result)["tasks"]
        assert {status for status, _ in found} <= {1, 2, 3}


def executions(one):
    """(cycles, seconds) of every task that succeeded."""
    return one.query("SELECT cycles, ended_s - started_s FROM tasks WHERE status = 1")


def test_cpu_burns_the_time_that_a_task_is_to_take(command):
    """On a core, by a process that works for the node."""
    tasks = "    sizeKB: 100\n    cyclesPerBit: {uniform: [400, 1600]}\n    deadlineSeconds: 2\n    application: {kind: cpu}"
    one = command(cores="3", slots=6, slot_seconds=0.4, tasks=tasks)
    one.start()
    burnt = {}

    def over():
        for child in one.family():
            try:
                if any("worker_process" in word for word in child.cmdline()):
                    burnt[child.pid] = sum(child.cpu_times()[:2])  # asking for the time is the system's work
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                pass
        return one.finished_episodes() == 2

    one.wait_until(over)
    status, _, err = one.end()
    assert status == 0, err
    everything_is_accounted_for(one)
    done = executions(one)
    assert len(done) > 10
    for cycles, took_s in done:
        assert took_s >= cycles / 9e9 - 1e-6
    assert len(burnt) == 3
    assert sum(burnt.values()) > 0.8 * sum(cycles / 9e9 for cycles, _ in done)
    fidelity = one.results()["fidelity"]
    assert fidelity["tasks"] == one.tasks()
    assert fidelity["executionErrorSeconds"]["p50"] >= 0


def test_ffmpeg_converts_tasks_of_measured_costs(command, cache, tmp_path):
    """Calibrated, then run; executions take what they take, and the report says how far that is from the costs."""
    costs = tmp_path / "costs.json"
    for pattern in ("720p30-480p30-2s", "720p30-480p30-*"):  # what is measured already is not measured again
        done = edgebed("calibrate", "ffmpeg", "--only", pattern, "--output", costs)
        assert done.returncode == 0, done.stderr
        assert "720p30-480p30-2s" in done.stdout
    document = json.loads(costs.read_text())
    assert len(document["profiles"]) == 3
    for row in document["profiles"]:
        row["cpuSeconds"] += 0.5  # a cost that is not so
    costs.write_text(json.dumps(document))

    tasks = f"    deadlineSeconds: 5\n    application: {{kind: ffmpeg, costs: {costs}}}"
    one = command(cores="1", slots=4, slot_seconds=0.8, tasks=tasks)
    status, _, err = one.run()
    assert status == 0, err
    everything_is_accounted_for(one)
    done = executions(one)
    wanted = {row["cpuSeconds"] * 3e9 for row in document["profiles"]}
    assert len(done) > 5
    assert {cycles for cycles, _ in done} <= wanted
    took = defaultdict(set)
    for cycles, took_s in done:
        took[cycles].add(round(took_s, 6))
        assert took_s > 0
    assert all(len(times) > 1 for times in took.values() if len(times) > 2)
    errors = one.results()["fidelity"]["executionErrorSeconds"]
    assert errors["p50"] > 0.1
    assert (one.output / "inputs" / "costs.json").read_bytes() == costs.read_bytes()
    assert "inputs/costs.json" in one.results()["files"]


def test_a_missing_ffmpeg_is_told_before_anything_starts(command, cache, tmp_path, monkeypatch):
    """What is to be installed; no folder, no process."""
    costs = tmp_path / "costs.json"
    row = {"profile": 28, "name": "720p30-480p30-2s", "cpuSeconds": 0.1, "inputBytes": 1000}
    costs.write_text(json.dumps({"application": "ffmpeg", "profiles": [row]}))
    one = command(cores="1", tasks=f"    deadlineSeconds: 5\n    application: {{kind: ffmpeg, costs: {costs}}}")
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _, err = one.run()
    assert status == 3
    assert "ffmpeg, which is not on the PATH; install it" in err
    assert not one.output.exists()
    assert edgebed("calibrate", "ffmpeg", "--output", tmp_path / "more.json").returncode == 3


def test_costs_of_another_profile_are_refused_before_anything_starts(command, tmp_path):
    """With entry and remedy."""
    costs = tmp_path / "costs.json"
    rows = [
        {"profile": 28, "name": "1080p60-480p30-2s", "cpuSeconds": 0.1, "inputBytes": 1000},
        {"profile": 31, "name": "8k-480p30-2s", "cpuSeconds": 0.1, "inputBytes": 1000},
    ]
    costs.write_text(json.dumps({"application": "ffmpeg", "profiles": rows}))
    one = command(cores="1", tasks=f"    deadlineSeconds: 5\n    application: {{kind: ffmpeg, costs: {costs}}}")
    status, _, err = one.run()
    assert status == 2
    assert "profiles[0].profile: 28 is 720p30-480p30-2s; not 1080p60-480p30-2s; calibrate again" in err
    assert "profiles[1].profile: 31 is not allowed; ffmpeg has profiles 1 to 30" in err
    assert not one.output.exists()
