"""Cases with exact answers, from an independent event-driven reference: statuses equal, end times within 1e-9 s."""

from pathlib import Path

import pytest

from edgebed.runner.replay import BACKENDS, read_case, replay_case

CASES = sorted((Path(__file__).parents[1] / "data" / "golden").glob("*.json"))


def test_the_cases_are_there() -> None:
    """Every drop policy with every failure time, drained and cut."""
    assert len(CASES) == 20


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_replay_is_exact(path: Path, backend: str) -> None:
    """The kernel and the node core give every task the fate that the reference gave it."""
    case = read_case(path)
    assert case.expected is not None
    answered = replay_case(case, backend)
    assert answered["name"] == path.stem
    for task, expected in zip(answered["tasks"], case.expected, strict=True):
        assert (task["id"], task["status"]) == (expected["id"], expected["status"])
        if expected["endSeconds"] is None:
            assert task["endSeconds"] is None
        else:
            assert abs(task["endSeconds"] - expected["endSeconds"]) <= 1e-9
