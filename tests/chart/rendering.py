"""The chart as real Helm renders it.

`helm`, `kubeconform` and `kube-score` must be on the PATH; EDGEBED_TEST_SCHEMAS names a folder with the JSON schemas of a
cluster of Kubernetes 1.34 for kubeconform, as KIND-GROUP-VERSION.json. Without one of them a test is skipped and says so; in
CI it fails.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import cannot, prepared

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "edgebed"
SHAPES = tuple(sorted(path.stem.removesuffix("-values") for path in (CHART / "ci").glob("*-values.yaml")))
OLDEST, NEWEST = "1.27.0", "1.34.0"
MONITORING = "monitoring.coreos.com/v1"
LIMIT_S = 60

Item = dict[str, Any]


def program(name: str) -> str:
    """The path of a program; skips the test, or fails it in CI, where it is missing."""
    prepared()
    found = shutil.which(name)
    if found is None:
        cannot(f"no {name}: put it on the PATH")
    return str(found)


def schemas() -> Path:
    """The folder with schemas for kubeconform."""
    prepared()
    folder = os.environ.get("EDGEBED_TEST_SCHEMAS")
    if folder is None:
        cannot("no schemas: set EDGEBED_TEST_SCHEMAS to a folder with those of a cluster of Kubernetes 1.34")
    return Path(str(folder))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A program that ends in time."""
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def shape_file(shape: str) -> Path:
    """The values of a shape."""
    return CHART / "ci" / f"{shape}-values.yaml"


@cache
def text(shape: str = "middleware", *sets: str, version: str = NEWEST, knows: str = MONITORING) -> str:
    """The chart's objects as YAML, for a shape and some values (`a.b=c`), on a cluster that knows `knows`."""
    done = template(shape, *sets, version=version, knows=knows)
    assert done.returncode == 0, done.stderr
    return done.stdout


def template(
    shape: str, *sets: str, version: str = NEWEST, knows: str = MONITORING
) -> subprocess.CompletedProcess[str]:
    """The same, whether or not it is refused."""
    command = [program("helm"), "template", "edgebed", str(CHART), "--namespace", "lab", "--kube-version", version]
    command += ["--values", str(shape_file(shape))]
    command += [part for value in sets for part in ("--set", value)]
    command += ["--api-versions", knows] if knows else []
    return run(*command)


@cache
def items(shape: str = "middleware", *sets: str, **cluster: str) -> list[Item]:
    """The same as values, which nobody may change."""
    return [item for item in yaml.load_all(text(shape, *sets, **cluster), Loader=yaml.CSafeLoader) if item]


def find(found: list[Item], kind: str, name: str) -> Item:
    """The object of a kind and name; there must be one."""
    [item] = [item for item in found if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return item


def pods(found: list[Item]) -> Iterator[tuple[str, Item]]:
    """Name and pod template of everything that makes pods."""
    for item in found:
        if item["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield item["metadata"]["name"], item["spec"]["template"]
        elif item["kind"] == "Pod":
            yield item["metadata"]["name"], item
