"""Pods are emulated nodes on this machine: it is kept awake for them, as docs/kubernetes.md tells users to."""

from collections.abc import Iterator

import pytest

from edgebed.emulation.awake import kept_awake, to_keep_awake


@pytest.fixture(autouse=True, scope="session")
def machine_awake() -> Iterator[None]:
    with kept_awake(to_keep_awake("auto")):
        yield
