"""An experiment on processes as a user meets it: whole, interrupted, and with each kind of process killed in the middle."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess

import pytest

from tests.services.experiment import O2O


def each_episode_once(command):
    """Every finished episode of a phase has one number, and every task of it one status."""
    doubled = command.query(
        "SELECT phase, position, count(*) FROM episodes WHERE result IS NOT NULL GROUP BY phase, position HAVING count(*) > 1"
    )
    return doubled == []


def test_a_whole_run_ends_with_results_a_report_and_nobody_left(command):
    one = command(more=O2O)
    one.start("--json")
    one.wait_until(lambda: one.finished_episodes() >= 1)
    assert len(one.family()) >= 6
    status, _, err = one.end()
    assert status == 0, err
    results = one.results()
    assert results["backend"] == "processes"
    assert results["order"] == ["ratc", "o2o"]
    fidelity = results["fidelity"]
    assert fidelity["tasks"] == sum(m["tasks"] for m in fidelity["methods"].values()) > 50
    assert fidelity["sameStatus"] > 0.9
    assert fidelity["methods"]["ratc"]["probesPerTask"] > 0
    curve = results["methods"]["o2o"]["learningCurve"]
    assert [point["onlineEpisodes"] for point in curve] == [0, 2, 4]
    report = (one.output / "report.html").read_text()
    assert "Measured against configured" in report
    assert {path.stem for path in (one.output / "figures").glob("*.png")} >= {"comparison", "fidelity", "links"}
    assert each_episode_once(one)


def test_an_interrupted_run_goes_on_where_it_stopped(command):
    one = command(episodes=4)
    one.start()
    one.wait_until(lambda: one.finished_episodes() >= 2)
    one.family()
    one.interrupt()
    status, _, err = one.end()
    assert status == 130
    assert "the same command goes on from there" in err
    assert one.orphans() == set()
    before = one.query("SELECT phase, position, episode FROM episodes WHERE result IS NOT NULL")
    status, _, err = one.run()
    assert status == 0, err
    after = one.query("SELECT phase, position, episode FROM episodes WHERE result IS NOT NULL")
    assert set(before) <= set(after)
    assert each_episode_once(one)


def test_a_controller_that_is_killed_in_the_middle_of_a_phase_continues_it(command):
    one = command(more=O2O)
    one.start()
    one.wait_until(lambda: one.finished_episodes() >= 3)
    os.kill(one.service("controller"), signal.SIGKILL)
    status, _, err = one.end()
    assert status == 0, err
    assert each_episode_once(one)
    assert one.results()["fidelity"]["tasks"] > 50


def test_a_trainer_that_is_killed_is_started_again(command):
    one = command(more=O2O)
    one.start()
    one.wait_until(lambda: bool(one.query("SELECT 1 FROM episodes WHERE phase LIKE 'online%'")))
    os.kill(one.service("trainer"), signal.SIGKILL)
    status, _, err = one.end()
    assert status == 0, err


def test_a_lost_node_stops_the_run_with_the_reason_and_the_same_command_goes_on(command):
    one = command(slots=30, episodes=4)
    one.start()
    one.wait_until(lambda: one.finished_episodes() >= 1)
    seen = one.tasks()
    one.wait_until(lambda: one.tasks() > seen)
    os.kill(one.service("node-001"), signal.SIGKILL)
    status, _, err = one.end()
    assert status == 3
    assert "1 of 3 nodes went away" in err
    assert "onNodeLoss" in err
    status, _, err = one.run()
    assert status == 0, err
    assert each_episode_once(one)


def test_with_on_node_loss_continue_the_lost_tasks_fail_visibly_and_the_run_goes_on(command):
    one = command(on_node_loss="continue", slots=40, episodes=3)
    one.start()
    one.wait_until(lambda: one.tasks() >= 20)
    os.kill(one.service("node-002"), signal.SIGKILL)
    status, _, err = one.end()
    assert status == 0, err
    lost = one.query("SELECT count(*), min(status), max(status) FROM tasks WHERE reason = 'nodeLost'")
    assert lost[0][0] > 0
    assert lost[0][1:] == (3, 3)
    assert one.results()["fidelity"]["methods"]["ratc"]["lost"] == lost[0][0]


def test_a_port_in_use_is_named_before_anything_starts(command):
    one = command()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, _, err = one.run("--port", str(port))
    assert status == 3
    assert f"port {port} cannot be used" in err
    assert one.finished_episodes() == 0


def test_a_policy_that_no_node_can_run_is_refused_before_anything_starts(command):
    one = command(more="    - {name: least, policy: least-completion}")
    status, _, err = one.run()
    assert status == 2
    assert "centralised" in err
    assert not one.output.exists()


def test_a_locked_database_stops_the_run_with_the_reason_and_the_same_command_goes_on(command):
    one = command(episodes=4)
    one.start()
    one.wait_until(lambda: one.finished_episodes() >= 1)
    holder = sqlite3.connect(one.output / "testbed" / "tasks.db", timeout=30, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        status, _, err = one.end()
    finally:
        holder.close()
    assert status == 3
    assert "locked" in err
    assert "tasks.db" in err
    status, _, err = one.run()
    assert status == 0, err
    assert each_episode_once(one)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root; run the tests as root to see this one")
def test_a_full_disk_stops_the_run_with_the_reason_and_the_same_command_goes_on(command, tmp_path):
    disk = tmp_path / "runs"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        one = command(episodes=4)
        one.start()
        one.wait_until(lambda: one.finished_episodes() >= 1)
        ballast = disk / "ballast"
        with ballast.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        status, _, err = one.end()
        assert status == 3
        assert "space" in err or "full" in err
        ballast.unlink()
        status, _, err = one.run()
        assert status == 0, err
        assert each_episode_once(one)
        assert one.orphans() == set()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_generalist_decides_on_real_nodes_with_the_bits_of_all(command):
    """The model that comes along asks over HTTP, decides on the nodes, and ends as in the simulator."""
    more = "    - {name: generalist, policy: generalist}\n    - {name: informed, policy: {kind: generalist, ask: all}}"
    one = command(more=more)
    one.start("--json")
    status, _, err = one.end()
    assert status == 0, err
    results = one.results()
    assert results["order"] == ["ratc", "generalist", "informed"]
    for name in ("generalist", "informed"):
        assert results["fidelity"]["methods"][name]["probesPerTask"] == pytest.approx(2)
    assert results["fidelity"]["sameStatus"] > 0.9
