"""A family of processes leaves nobody behind, however it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from edgebed.experiment.errors import EnvironmentFault
from edgebed.processes.family import Family

PARENT = """
import sys, time
import psutil
from pathlib import Path
from edgebed.processes.family import Family
folder = Path(sys.argv[1])
environment = {"EDGEBED_SPOOL": str(folder / "spool"), "EDGEBED_ARTEFACTS": f"file:{folder / 'artefacts'}"}
with Family(folder, awake=[0]) as family:
    pids = [family.start(f"node-{k}", "edge-node", environment).pid for k in range(3)]
    pids.append(family.start("generator", "task-generator", {}).pid)
    pids += [one.pid for one in psutil.Process(family._process.pid).children() if one.pid not in pids]
    print(family._process.pid, *pids, flush=True)
    time.sleep(60)
"""


def environment(folder: Path) -> dict[str, str]:
    return {"EDGEBED_SPOOL": str(folder / "spool"), "EDGEBED_ARTEFACTS": f"file:{folder / 'artefacts'}"}


def gone_within(pids: list[int], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(lives(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it may go between one look and the next
        return False


@pytest.fixture
def parent(tmp_path):
    """A process with a family, and the pids of zygote, services and idler."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 6, "zygote, three nodes, a generator, and who keeps a processor awake"
    yield process, pids
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nobody_survives_a_parent_that_ends(parent, number):
    process, pids = parent
    process.send_signal(number)
    assert gone_within(pids, 15)


def test_nobody_survives_a_zygote_that_is_killed(parent):
    _, pids = parent
    os.kill(pids[0], signal.SIGKILL)
    assert gone_within(pids[1:], 10)


def test_a_service_that_ends_is_told_and_is_started_again_at_its_address(tmp_path):
    with Family(tmp_path) as family:
        first = family.start("node", "edge-node", environment(tmp_path))
        assert httpx.get(f"{first.address}/healthz").status_code == 200
        os.kill(first.pid, signal.SIGKILL)
        until = time.monotonic() + 10
        while "node" not in family.gone and time.monotonic() < until:
            time.sleep(0.02)
        assert family.gone == {"node": -signal.SIGKILL}
        again = family.start("node", "edge-node", environment(tmp_path))
        assert again.address == first.address
        assert again.pid != first.pid
        assert httpx.get(f"{again.address}/healthz").status_code == 200
        assert family.gone == {}


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as taken, Family(tmp_path) as family:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=f"node: port {port} cannot be used"):
            family.start("node", "edge-node", environment(tmp_path), port)
        assert family.running == {}


def test_a_setting_that_is_wrong_ends_the_service_with_the_reason_in_the_log(tmp_path):
    with Family(tmp_path) as family:
        family.start("node", "edge-node", {**environment(tmp_path), "EDGEBED_PROT": "1"})
        until = time.monotonic() + 10
        while "node" not in family.gone and time.monotonic() < until:
            time.sleep(0.02)
        assert family.gone == {"node": 1}
    assert "did you mean EDGEBED_PORT?" in (tmp_path / "services.log").read_text()
