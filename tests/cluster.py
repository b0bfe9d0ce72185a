"""A real Kubernetes for tests: the one whose kubeconfig the environment names.

EDGEBED_TEST_KUBECONFIG names the file. Without it a test is skipped and says how to run it; in CI it fails. `kubectl` and
`helm` must be on the PATH. EDGEBED_TEST_CLUSTER_FILE names a file of such variables instead, which is written once the cluster
is up: who needs one waits for it, so that other tests can go first (`.ci/run`).
"""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "EDGEBED_TEST_KUBECONFIG"
FILE = "EDGEBED_TEST_CLUSTER_FILE"
LIMIT_S = 120
UP_LIMIT_S = 3000
"""A cluster that is built from nothing, and all images, beside other tests."""

_ASKED = count()


@dataclass(frozen=True)
class Cluster:
    """A cluster, and a namespace of it."""

    kubeconfig: str
    namespace: str = "default"

    def kubectl(self, *arguments: str, given: str | None = None, limit_s: float = LIMIT_S) -> "Answer":
        """Runs kubectl with text on its standard input, and never waits for ever."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "--namespace", self.namespace, *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=limit_s, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)

    def establish(self, crd: str) -> None:
        """Waits until the API server serves a new kind. `kubectl wait` ends at once while there are no conditions at all."""
        until = time.monotonic() + LIMIT_S / 2
        while True:
            answer = self.kubectl("wait", "--for=condition=Established", f"crd/{crd}", f"--timeout={LIMIT_S // 2}s")
            if answer.code == 0 or time.monotonic() > until:
                answer.fine()
                return
            time.sleep(0.2)


@dataclass(frozen=True)
class Answer:
    """What kubectl said."""

    code: int
    out: str
    error: str

    def fine(self) -> "Answer":
        """Itself; fails the test when kubectl was refused."""
        assert self.code == 0, self.error
        return self

    def refused(self) -> str:
        """Why it was refused; fails the test when it was not."""
        assert self.code != 0, self.out
        return self.error

    def json(self) -> Any:
        """Its answer, with `-o json`."""
        return json.loads(self.fine().out)


def need_cluster() -> Cluster:
    """A cluster that answers; skips the test, or fails it in CI, where there is none."""
    prepared()
    path = os.environ.get(VARIABLE)
    if path is None:
        cannot(f"no cluster: make images kind-up, then make e2e; or set {VARIABLE} to another's kubeconfig")
    for program in ("kubectl", "helm"):
        if shutil.which(program) is None:
            cannot(f"no {program}: put it on the PATH")
    cluster = Cluster(str(path))
    cluster.kubectl("version", "-o", "json").fine()
    return cluster


def cannot(reason: str) -> None:
    """Skips the test for want of something; in CI fails it."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}. In CI no test is skipped for want of anything")
    pytest.skip(reason)


@cache
def prepared() -> None:
    """Waits for the file that EDGEBED_TEST_CLUSTER_FILE names, if it does, and takes its variables into the environment.

    A file NAME.failed beside it, with the last words of who should have written it, says that it will not come.
    """
    if (name := os.environ.get(FILE)) is None:
        return
    file, failed, until = Path(name), Path(f"{name}.failed"), _asked_first() + UP_LIMIT_S
    while not file.exists():
        if failed.exists():
            pytest.fail(f"the cluster did not come up: {_last_words(failed)}", pytrace=False)
        if time.monotonic() > until:
            pytest.fail(f"the cluster did not come up: no {file} within {UP_LIMIT_S} s", pytrace=False)
        time.sleep(1)
    for line in file.read_text().splitlines():
        variable, value = line.split("=", 1)
        os.environ[variable] = value


def _last_words(failed: Path) -> str:
    """The end of a log for the first test that asks, its last line for the others."""
    lines = failed.read_text().splitlines()
    return "\n".join(lines[-60:] if next(_ASKED) == 0 else lines[-1:])


@cache
def _asked_first() -> float:
    """When a test first needed the cluster: the limit is one for all of them."""
    return time.monotonic()
