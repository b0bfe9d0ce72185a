"""What all runs on processes share: the command, services by hand, and that nobody is left behind."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.services.experiment import TOKEN, Command


@pytest.fixture
def command(tmp_path):
    made = []

    def make(**options):
        made.append(Command(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()
        assert one.orphans() == set()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve(tmp_path):
    """`serve("edge-node", EDGEBED_NODE="node-1")`: the address of a service in a process of its own, and the process."""
    secret = tmp_path / "token"
    secret.write_text(f"{TOKEN}\n")
    started = []

    def start(service, **settings):
        port = free_port()
        clean = {key: value for key, value in os.environ.items() if not key.startswith("EDGEBED_")}
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        given = {"EDGEBED_PORT": str(port), "EDGEBED_TOKEN_FILE": str(secret), **settings}
        process = subprocess.Popen(
            [sys.executable, "-m", "edgebed", "serve", service],
            cwd=tmp_path,
            env=clean | path | given,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return f"http://127.0.0.1:{port}", process

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=20)[1] for process in started]
    assert [process.returncode for process in started] == [0] * len(started), said
