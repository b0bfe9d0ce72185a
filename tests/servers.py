"""Real servers for tests: those whose addresses the environment gives, or those that a folder of scripts starts.

EDGEBED_TEST_MYSQL_URL, EDGEBED_TEST_HDFS_URL and EDGEBED_TEST_NACOS_ADDRESS name servers that run. Where one is not set,
scripts `up`, `stop` and `start` in the folder EDGEBED_TEST_SERVERS (by default `shared/servers` beside the project) start it
once a session; only such servers can be stopped by a test. Without either a test is skipped and says how to run it; in CI
it fails.

Programs that a test starts by itself, with a configuration of its own, are found with `program`.
"""

import os
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

SCRIPTS = Path(os.environ.get("EDGEBED_TEST_SERVERS", Path(__file__).parents[2] / "shared" / "servers"))
VARIABLES = {
    "mysql": "EDGEBED_TEST_MYSQL_URL",
    "hdfs": "EDGEBED_TEST_HDFS_URL",
    "nacos": "EDGEBED_TEST_NACOS_ADDRESS",
}
START_LIMIT_S = 900
"""The first time, a server's packages are fetched."""


def need(server: str) -> str:
    """The address of mysql, hdfs or nacos, which answers; skips the test, or fails it in CI, where there is none."""
    variable = VARIABLES[server]
    if address := os.environ.get(variable):
        return address
    if not (SCRIPTS / "up").exists():
        _cannot(f"no {server}: set {variable}, or EDGEBED_TEST_SERVERS to a folder with scripts that start it")
    return _started(server)[variable]


def need_to_stop(server: str) -> str:
    """The same, for a test that stops the server: it must be one that the scripts started."""
    if os.environ.get(VARIABLES[server]):
        _cannot(f"{VARIABLES[server]} names a server that a test may not stop; unset it to have one started")
    return need(server)


def program(name: str, server: str) -> str:
    """The path of a program, such as promtool, which comes with a server; skips or fails like `need` where it is missing."""
    found = shutil.which(name)
    if found is None and (SCRIPTS / "up").exists():
        _started(server)  # which installs it
        found = shutil.which(name)
    if found is None:
        _cannot(f"no {name}: install {server}, or set EDGEBED_TEST_SERVERS to a folder with scripts that do")
    return str(found)


def stop(server: str, how: str = "") -> None:
    """Stops mysql, namenode, datanode or nacos; `how` is --kill or --pause, otherwise it is asked to end."""
    _script("stop", server, *([how] if how else []))


def start(server: str) -> None:
    """Starts it again with its data; returns when it answers."""
    _script("start", server)


def _cannot(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}. In CI no test is skipped for want of a server")
    pytest.skip(reason)


@cache
def _started(server: str) -> dict[str, str]:
    """What `up` prints: `export NAME=VALUE` lines."""
    words = shlex.split(_script("up", server))
    return dict(word.split("=", 1) for word in words if "=" in word)


def _script(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [SCRIPTS / name, *arguments], stdout=subprocess.PIPE, text=True, timeout=START_LIMIT_S, check=True
    )
    return done.stdout
