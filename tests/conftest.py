"""Two lanes for `pytest -n 2 --dist loadgroup`: what needs a cluster waits mostly, so it goes beside all the rest.

Within a lane tests run one after another, in a process of its own, as they would without these options: servers are stopped and
the clock is looked at there. What measures pods comes last, when the other lane has little left.
"""

from pathlib import Path
from typing import Any

import pytest

CLUSTER = ("tests/chart/", "tests/images/", "tests/e2e/")
MEASURES_PODS = ("tests/e2e/test_chart.py", "tests/e2e/test_experiment.py", "tests/e2e/test_replay.py")
ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.relative_to(ROOT).as_posix() in MEASURES_PODS)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of lanes; any other way of xdist to share tests out stays as it is."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    scheduler: Any = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda test: "cluster" if test.startswith(CLUSTER) else "others"
    return scheduler
