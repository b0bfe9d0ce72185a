"""Processors that do not sleep: only where nobody else wants to run, and not for longer than who asked for it."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from edgebed.emulation import awake
from edgebed.emulation.awake import kept_awake, processors, to_keep_awake

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has SCHED_IDLE")


def idlers(parent: int) -> list[psutil.Process]:
    """Children of a process that run only where nobody else wants to, once all of them do."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        found = [p for p in psutil.Process(parent).children() if os.sched_getscheduler(p.pid) == os.SCHED_IDLE]
        if len(found) == len(processors()):
            return found
        time.sleep(0.02)
    raise AssertionError("not every processor is kept awake")


def test_auto_means_virtual_machines(tmp_path, monkeypatch):
    for flags, kept in (("fpu hypervisor lahf_lm", processors()), ("fpu lahf_lm", [])):
        (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
        monkeypatch.setattr(awake, "_CPUINFO", tmp_path / "cpuinfo")
        assert to_keep_awake("auto") == kept
        assert to_keep_awake("on") == processors()
        assert to_keep_awake("off") == []


def test_each_processor_has_its_idler_within_the_block():
    with kept_awake(processors()):
        found = idlers(os.getpid())
        assert sorted(next(iter(os.sched_getaffinity(p.pid))) for p in found) == processors()
        before = [p.cpu_times().user for p in found]
        time.sleep(0.5)
        assert sum(p.cpu_times().user for p in found) > sum(before)
    assert not any(p.is_running() for p in found)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_command_leaves_nobody_behind(number):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "edgebed", "awake"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert "are kept awake" in process.stdout.readline()
        found = idlers(process.pid)
        process.send_signal(number)
        process.wait(10)
    _, alive = psutil.wait_procs(found, 10)
    assert not alive
    assert process.returncode == (-number if number == signal.SIGKILL else 0)
