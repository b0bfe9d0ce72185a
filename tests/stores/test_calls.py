"""Calls to stores are counted and timed beside the store, which stays what it is."""

import pytest

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.artefacts import ArtefactError, LocalArtefacts
from edgebed.stores.calls import CALL_FAILURES, CALL_SECONDS, COORDINATION, TASK_LOG, Calls
from edgebed.stores.coordination import Coordinator, EmbeddedCoordinator
from edgebed.stores.task_log import TaskLogStore


def counted(calls):
    """(calls, failures) by operation."""
    seconds, failures = calls.collect()
    assert (seconds.name, failures.name) == (CALL_SECONDS.name, CALL_FAILURES.name)
    failed = {sample.labels["operation"]: sample.value for sample in failures.samples}
    return {
        s.labels["operation"]: (s.value, failed[s.labels["operation"]])
        for s in seconds.samples
        if s.name.endswith("_count")
    }


def test_an_artefact_store_is_measured_down_to_the_reading_of_a_file(tmp_path):
    """What is not there is an answer, and no failure."""
    calls = Calls("trainer")
    plain = LocalArtefacts(tmp_path)
    store = calls.of_artefacts(plain)
    assert store is plain
    assert counted(calls) == {"publish": (0, 0), "open": (0, 0), "names": (0, 0), "read": (0, 0)}
    store.publish("a/b", {"x.txt": b"1", "y.txt": b"2"}, {})
    artefact = store.open("a/b")
    assert (artefact.read("x.txt"), artefact.read("y.txt")) == (b"1", b"2")
    with pytest.raises(ArtefactError):
        store.open("a/c")
    assert store.names() == ["a/b"]
    assert counted(calls) == {"publish": (1, 0), "open": (2, 0), "names": (1, 0), "read": (2, 0)}


def test_a_call_that_fails_is_counted_and_raises_what_it_raised():
    """A store that is away is a failure; a wrong argument is not the store's."""
    calls = Calls("controller")
    answers = iter([EnvironmentFault("away; start it"), ValueError("wrong"), None])

    class Door:
        def knock(self):
            if (answer := next(answers)) is not None:
                raise answer

    door = calls.of("door", Door(), ["knock"])
    with pytest.raises(EnvironmentFault):
        door.knock()
    with pytest.raises(ValueError, match="wrong"):
        door.knock()
    door.knock()
    assert counted(calls) == {"knock": (3, 1)}


@pytest.mark.parametrize(
    ("kind", "operations"), [(Coordinator, COORDINATION), (EmbeddedCoordinator, COORDINATION), (TaskLogStore, TASK_LOG)]
)
def test_the_operations_that_are_measured_are_there(kind, operations):
    """An operation that was renamed would no longer be measured."""
    assert all(callable(getattr(kind, operation)) for operation in operations)


def test_a_measured_coordinator_is_still_one():
    calls = Calls("controller")
    coordinator = calls.of("coordination", EmbeddedCoordinator(), COORDINATION)
    assert isinstance(coordinator, EmbeddedCoordinator)
    coordinator.register("trainer", "t", "http://h:1", {})
    assert [i.name for i in coordinator.instances("trainer")] == ["t"]
    assert counted(calls)["register"] == (1, 0)
