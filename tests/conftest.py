"""Two lanes for `pytest -n 2 --dist loadgroup`: what needs a cluster waits mostly, so it goes beside all the rest.

Within a lane tests run one after another, in a process of its own, as they would without these options, because they stop
servers and look at the clock. Those that measure pods, or start all servers as pods, are marked `alone`: the other lane waits
for them.
"""

import fcntl
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

CLUSTER = ("tests/chart/", "tests/images/", "tests/e2e/")
LAST = ("tests/e2e/test_chart.py", "tests/e2e/test_experiment.py", "tests/e2e/test_replay.py")
"""Their pods are busy: they come when the other lane has little left."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.nodeid.startswith(LAST))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of lanes; any other way of xdist to share tests out stays as it is."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    scheduler: Any = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda test: "cluster" if test.startswith(CLUSTER) else "others"
    return scheduler


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """One lane at a time, while a test runs that has to be alone."""
    beside = item.nodeid.startswith(CLUSTER) and item.get_closest_marker("alone") is None
    if beside or "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    # Who waits for the room holds the door, so that the other lane does not go in again before. Any files can be locked.
    with Path(__file__).open() as door, Path(__file__).with_name("cluster.py").open() as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            return (yield)
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)  # closing it is not enough where a child has it too
