"""What a Nacos coordinator does to the process that has it: its death, its end, forks, logs, threads, memory and time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import servers
from tests.stores.coordinator_suite import LONG_S
from tests.stores.nacos_server import Server

BEGIN = """
import json, logging, os, sys, threading, time
from pathlib import Path
from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.coordination import open_coordinator
url, folder, light = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "light"
def make(): return open_coordinator(url, None, None, folder, light=light)
"""
ROOT = Path(__file__).parents[2]
both = pytest.mark.parametrize("kind", ["sdk", "light"])


@pytest.fixture(scope="module")
def server():
    return Server(servers.need("nacos"))


@pytest.fixture
def namespace(server):
    with server.namespace() as name:
        yield name


@pytest.fixture
def started(server, namespace, tmp_path):
    """Starts Python with a script after BEGIN; killed at the end."""
    processes = []

    def start(script, kind, address=server.address, more=None):
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        arguments = [f"nacos://{address}/{namespace}", str(tmp_path / "folder"), kind, *([more] if more else [])]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'services'}", "HOME": str(home)}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", BEGIN + script, *arguments],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def _done(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out, err


@both
def test_who_is_killed_vanishes(server, namespace, started, kind, record_property):
    """With the SDK its connection tells, otherwise its silence."""
    process = started(
        "c = make(); c.register('a', 'n', 'http://127.0.0.1:1', {}); print(1, flush=True); time.sleep(99)", kind
    )
    assert process.stdout.readline() == "1\n"
    assert server.names(namespace, "a") == ["n"]
    process.send_signal(signal.SIGKILL)
    begin = time.monotonic()
    while server.names(namespace, "a"):
        assert time.monotonic() - begin < LONG_S
        time.sleep(0.05)
    print(f"a killed process vanishes within {time.monotonic() - begin:.1f} s ({kind})")
    record_property("vanished_s", time.monotonic() - begin)


@both
def test_who_ends_is_gone(server, namespace, started, kind):
    """Also without close; the exit takes no long time."""
    script = "c = make(); c.register('a', 'n', 'http://127.0.0.1:1', {}); c.watch('k', print); print(time.time(), flush=True)"
    out, _ = _done(started(script, kind))
    assert time.time() - float(out.split()[0]) < LONG_S
    until = time.monotonic() + LONG_S
    while server.names(namespace, "a"):
        assert time.monotonic() < until
        time.sleep(0.05)


@both
def test_a_forked_child_makes_its_own(started, kind):
    """As nodes do, whose parent has none; what the parent made is no use to a child, which is told so."""
    script = """
assert not [name for name in sys.modules if name.split(".")[0] in ("v2", "grpc", "aiohttp")]
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        c = make()
        c.register("a", f"n{number}", f"http://127.0.0.1:{number + 1}", {})
        assert f"n{number}" in [i.name for i in c.instances("a")]
        c.publish(f"k{number}", "x")
        c.close()
        os._exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
c = make()
c.register("a", "parent", "http://127.0.0.1:9", {})
register, publish = lambda: c.register("a", "b", "http://127.0.0.1:8", {}), lambda: c.publish("k", "x")
for _ in range(20):  # the SDK's connection is at work at some of these moments
    child = os.fork()
    if child == 0:
        for work in (register, publish, lambda: c.watch("k", print)):
            try:
                work()
                os._exit(1)
            except RuntimeError as error:
                if "after the fork" not in str(error):
                    os._exit(2)
        c.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    time.sleep(0.02)
assert [i.name for i in c.instances("a")] == ["parent"]
"""
    _done(started(script, kind))


def test_the_light_way_needs_no_client(started):
    """Neither the SDK nor a library for HTTP is loaded."""
    script = """
c = make(); c.register("a", "n", "http://127.0.0.1:1", {}); c.publish("k", "x"); c.close()
assert not {"v2", "grpc", "aiohttp", "httpx", "requests", "asyncio"} & set(sys.modules)
"""
    _done(started(script, "light"))


def test_without_the_sdk_its_extra_is_named(started):
    script = """
from edgebed.experiment.errors import UserError
sys.modules["v2"] = None
try:
    make()
except UserError as error:
    assert "pip install 'edgebed[nacos]'" in str(error)
    sys.exit(0)
sys.exit(1)
"""
    _done(started(script, "sdk"))


QUIET = """
logging.getLogger("edgebed").setLevel(logging.ERROR)
away = len(sys.argv) > 4
both = make(), make()
for number, c in enumerate(both):
    c.watch("k", lambda _: None)
    for work in (lambda: c.publish("k", f"s3cret {number}"), lambda: c._line.hold("a", [])):
        try:
            work()
        except EnvironmentFault:
            assert away
        else:
            assert not away
if away:
    time.sleep(8)  # meanwhile the SDK tries to connect, and says so
handlers = {name: [type(h).__name__ for h in logging.getLogger(name).handlers] for name in ("naming", "config")}
assert handlers == {"naming": ["RotatingFileHandler"], "config": ["RotatingFileHandler"]}, handlers
assert logging.getLogger().handlers == []
for c in both:
    begin = time.monotonic()
    c.close()
    assert time.monotonic() - begin < 30
assert not [t for t in threading.enumerate() if t.name.startswith("nacos")]
assert not [t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
"""


@pytest.mark.parametrize("away", [False, True], ids=["there", "away"])
def test_the_sdk_is_tamed(started, tmp_path, away):
    """One handler for its loggers, none for the root's; no text in logs, nothing at home or on the terminal, no thread."""
    process = started(QUIET, "sdk", "127.0.0.1:9", "away") if away else started(QUIET, "sdk")
    out, err = _done(process)
    assert (out, err) == ("", "")
    assert list((tmp_path / "home").iterdir()) == []
    logs = list((tmp_path / "folder" / "log").iterdir())
    assert logs
    assert not [log for log in logs if "s3cret" in log.read_text()]


COST = """
def private_mb():
    found = dict(line.split()[:2] for line in open("/proc/self/smaps_rollup") if line.startswith("Private"))
    return sum(map(int, found.values())) / 1024
import asyncio  # every service has it
before, begin, threads = private_mb(), time.monotonic(), len(os.listdir("/proc/self/task"))
c = make()
made = time.monotonic() - begin
c.register("edge-node", "n", "http://127.0.0.1:1", {})
c.publish("k", "x")
for key in ("k", "l", "m"):
    c.watch(key, lambda _: None)
registered = time.monotonic() - begin
time.sleep(8)
begin, used = time.monotonic(), time.process_time()
time.sleep(20)
cpu = 100 * (time.process_time() - used) / (time.monotonic() - begin)
print(json.dumps({"private_mb": private_mb() - before, "made_s": made, "registered_s": registered,
    "threads": len(os.listdir("/proc/self/task")) - threads, "idle_cpu_percent": cpu}))
c.close()
"""


@both
def test_what_it_costs_is_known(started, kind, record_property):
    """Printed for docs/stores.md; with room for other machines, an edge node's budget is kept by the light way."""
    cost = json.loads(_done(started(COST, kind))[0])
    print(kind, {name: round(value, 2) for name, value in cost.items()})
    record_property(kind, cost)
    if kind == "light":
        assert cost["private_mb"] < 15
        assert cost["idle_cpu_percent"] < 5
