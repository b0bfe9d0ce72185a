"""Progress: bars for people who look, a line per finished stage for everyone else."""

import sys
import threading

import pytest

from edgebed.cli.progress import RichProgress


def work(progress: RichProgress) -> None:
    """Two stages at once, told from two threads, and a third that ends."""

    def stage(name: str) -> None:
        progress.started(name, f"network {name}: online learning", 100)
        for _ in range(4):
            progress.advanced(name, 10, f"success 6{name}.0%")

    threads = [threading.Thread(target=stage, args=(name,)) for name in "12"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress.started("3", "network 3: evaluating", None)
    progress.finished("3")
    progress.finished("never begun")  # a stage that was in hand when its worker was ended


def test_bars_show_every_stage_with_rate_and_remaining_time(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("TERM", "xterm")
    with RichProgress() as progress:
        work(progress)
    shown = capsys.readouterr()
    assert shown.out == ""
    last = shown.err.split("network 1")[-1]
    assert "network 1: online learning" in shown.err
    assert "network 2: online learning" in last
    assert "40/100" in last
    assert "/s" in last
    assert "0:00:0" in last
    assert "success 62.0%" in last


def test_without_a_terminal_a_line_per_finished_stage(monkeypatch, capsys):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    if sys.stderr.isatty():
        pytest.skip("standard error is not captured")
    with RichProgress() as progress:
        work(progress)
        progress.finished("1")
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = [line.rsplit(": ", 1) for line in shown.err.splitlines()]
    assert [label for label, _ in lines] == ["network 3: evaluating", "network 1: online learning"]
    assert lines[1][1].endswith("s, success 61.0%")
