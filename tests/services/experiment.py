"""A small experiment on processes, run as a user runs it: by the command, in a process of its own."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

EXPERIMENT = """
apiVersion: edgebed.dev/v1alpha1
kind: Experiment
metadata: {name: small}
spec:
  backend: processes
  seed: 3
  onNodeLoss: %(on_node_loss)s
  network:
    nodes: 3
    cores: %(cores)s
    arrivalProbability: 0.8
    executionFailureRate: 0.2
    linkRateMBps: {uniform: [20, 40]}
    linkFailureRate: 0.03
  workload:
    slotSeconds: %(slot_seconds)g
    slots: %(slots)d
%(tasks)s
  methods:
    - {name: ratc, policy: ratc}
%(more)s
  evaluation: {episodes: %(episodes)d, every: 2}
"""

TASKS = """
    sizeKB: {uniform: [100, 400]}
    cyclesPerBit: {uniform: [400, 800]}
    deadlineSeconds: 0.5
"""

O2O = """
    - name: o2o
      collect: {policy: ratc, episodes: 3}
      offline: {algorithm: sac-cql, updates: 8, batchSlots: 8, hidden: 8}
      online: {algorithm: ppo, episodes: 4, episodesPerUpdate: 2, hidden: 8}
"""

DEFAULTS = {
    "on_node_loss": "fail",
    "slots": 10,
    "slot_seconds": 0.1,
    "episodes": 2,
    "cores": "{choice: [8, 16]}",
    "tasks": TASKS,
    "more": "",
}
"""What `specification` fills the experiment with."""

LIMIT_S = 150.0
TOKEN = "b1946ac92492d2347c6235b4d2611184"
"""Of services that are started by hand."""


def specification(**values: object) -> str:
    """The experiment as YAML, with some of the `DEFAULTS` changed."""
    if unknown := values.keys() - DEFAULTS.keys():
        raise TypeError(f"{sorted(unknown)} are not among {sorted(DEFAULTS)}")
    return EXPERIMENT % (DEFAULTS | values)


class Command:
    """`edgebed run` in a folder."""

    def __init__(self, folder: Path, **values: object) -> None:
        self.output = folder / "runs" / "small"
        self.file = folder / "small.yaml"
        self.file.write_text(specification(**values))
        self.process: subprocess.Popen[str] | None = None
        self.known: set[int] = set()

    def start(self, *options: str) -> "Command":
        """In the background, in a process group of its own."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgebed", "run", str(self.file), "--output", str(self.output), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        return self

    def end(self) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        assert self.process is not None
        out, err = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, out, err

    def run(self, *options: str) -> tuple[int, str, str]:
        """From start to end."""
        return self.start(*options).end()

    def interrupt(self) -> None:
        """Ctrl-C."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)

    def family(self) -> list[psutil.Process]:
        """The processes below the command; remembered, to see later that they have gone."""
        assert self.process is not None
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            found = []
        self.known |= {child.pid for child in found}
        return found

    def orphans(self) -> set[int]:
        """Those of the family that still run."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            alive = {pid for pid in self.known if psutil.pid_exists(pid)}
            alive = {pid for pid in alive if _status(pid) != psutil.STATUS_ZOMBIE}
            if not alive:
                return set()
            time.sleep(0.1)
        return alive

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Polls; fails when the command ends first, or the time is over."""
        assert self.process is not None
        until = time.monotonic() + LIMIT_S
        while not condition():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.05)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Of the task log; empty while there is none."""
        path = self.output / "testbed" / "tasks.db"
        if not path.exists():
            return []
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.OperationalError:  # the table is about to be made
            return []
        finally:
            connection.close()

    def finished_episodes(self) -> int:
        """Episodes that are accounted for."""
        return int((self.query("SELECT count(*) FROM episodes WHERE result IS NOT NULL") or [(0,)])[0][0])

    def tasks(self) -> int:
        """Tasks in the log."""
        return int((self.query("SELECT count(*) FROM tasks") or [(0,)])[0][0])

    def service(self, name: str) -> int:
        """Pid of a service, from its listening address in the controller's registry or by order of start."""
        order = [child for child in self.family() if child.ppid() != self.process.pid and not _idler(child.pid)]
        order.sort(key=lambda child: child.pid)
        names = ["controller", "node-000", "node-001", "node-002", "task-generator", "trainer"]
        return dict(zip(names, [child.pid for child in order], strict=False))[name]

    def results(self) -> dict[str, Any]:
        """Of results.json."""
        found: dict[str, Any] = json.loads((self.output / "results.json").read_text())
        return found


def _idler(pid: int) -> bool:
    """Whether a process only keeps a processor awake."""
    return hasattr(os, "SCHED_IDLE") and os.sched_getscheduler(pid) == os.SCHED_IDLE


def answers(address: str) -> None:
    """Waits until a service does."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        try:
            if httpx.get(f"{address}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"{address} does not answer")


def _status(pid: int) -> str:
    try:
        return str(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return str(psutil.STATUS_ZOMBIE)
