"""Containers of our images, as a careful cluster runs them: no rights, a root that cannot be written, an end by SIGTERM.

EDGEBED_TEST_IMAGES says what images are called, with ROLE for the role; `make images` calls them `edgebed/ROLE:dev`, which is
what is looked for by default. Where docker or an image is missing a test is skipped and says what to do; in CI it fails.
"""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx

from tests.cluster import cannot, prepared

PORTS = {"controller": 8080, "edge-node": 8081, "task-generator": 8082, "trainer": 8083}
VARIABLE = "EDGEBED_TEST_IMAGES"
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
LIMIT_S = 60.0


def docker(*arguments: str, limit_s: float = LIMIT_S) -> subprocess.CompletedProcess[str]:
    """What docker answers; never waits for ever."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=limit_s, check=False)


def fine(*arguments: str, limit_s: float = LIMIT_S) -> str:
    """Docker's standard output; fails the test when it was refused."""
    done = docker(*arguments, limit_s=limit_s)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def image(role: str) -> str:
    """The name of a role's image, which docker has."""
    prepared()
    name = os.environ.get(VARIABLE, "edgebed/ROLE:dev").replace("ROLE", role)
    if shutil.which("docker") is None or docker("version").returncode:
        cannot("docker does not answer; install and start it")
    if docker("image", "inspect", name).returncode:
        cannot(f"no image {name}; make images ROLES={role}, or name those that there are with {VARIABLE}")
    return name


def inspected(name: str) -> Any:
    """What docker knows of an image or a container."""
    return json.loads(fine("inspect", name))[0]


def said_by(role: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """The output of a command in a hardened container of a role."""
    return fine("run", "--rm", *HARDENED, *options, image(role), *arguments, limit_s=LIMIT_S * 3)


class Container:
    """A service that runs."""

    def __init__(self, name: str, role: str) -> None:
        self.name, self.role = name, role

    @property
    def address(self) -> str:
        """Where this machine reaches it."""
        return f"http://{fine('port', self.name, str(PORTS[self.role])).splitlines()[0]}"

    @property
    def log(self) -> str:
        """All that it said."""
        done = docker("logs", self.name)
        return done.stdout + done.stderr

    def serves(self) -> "Container":
        """Itself, once it answers; fails the test when it ends, or does not within a minute."""
        until = time.monotonic() + LIMIT_S
        while True:
            state = inspected(self.name)["State"]
            assert state["Running"], f"{self.role} ended with {state['ExitCode']}: {self.log}"
            try:
                if httpx.get(f"{self.address}/healthz", trust_env=False, timeout=2).status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            assert time.monotonic() < until, f"{self.role} does not answer: {self.log}"
            time.sleep(0.1)

    def terminate(self, within_s: float) -> int:
        """Its exit status after SIGTERM; 137 when it did not heed it in time and was killed."""
        fine("stop", "--time", str(round(within_s)), self.name)
        return int(inspected(self.name)["State"]["ExitCode"])


class Ground:
    """A network of containers, all of which go with it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.network = f"edgebed-test-{secrets.token_hex(4)}"
        fine("network", "create", self.network)
        stack.callback(docker, "network", "rm", self.network)

    def volume(self) -> str:
        """A volume of its own."""
        name = fine("volume", "create")
        self._stack.callback(docker, "volume", "rm", name)
        return name

    def start(
        self, role: str, *options: str, name: str | None = None, settings: Mapping[str, str] | None = None
    ) -> Container:
        """A hardened container, known to the others by its name; it does not serve yet."""
        called = name or f"{role}-{secrets.token_hex(4)}"
        given = [word for key, value in (settings or {}).items() for word in ("--env", f"{key}={value}")]
        where = ["--network", self.network, "--network-alias", called, "--hostname", called]
        published = ["--publish", f"127.0.0.1::{PORTS[role]}"]
        unique = f"{self.network}-{called}"
        # Removed even where docker run fails halfway, with the volumes that it has made for it.
        self._stack.callback(docker, "rm", "--force", "--volumes", unique)
        fine("run", "--detach", "--name", unique, *where, *published, *HARDENED, *given, *options, image(role))
        return Container(unique, role)


@contextmanager
def ground() -> Iterator[Ground]:
    """From nothing to nothing."""
    with ExitStack() as stack:
        yield Ground(stack)
