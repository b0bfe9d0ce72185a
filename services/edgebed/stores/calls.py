"""How long calls to stores take, and which fail: counted beside the stores, whichever they are.

    calls = Calls("controller")
    artefacts = calls.of_artefacts(open_artefacts(url))
    coordinator = calls.of("coordination", coordinator, COORDINATION)

A store is measured in place: its methods are replaced on the object, so it stays what it is to everybody who has it, and no
store knows of metrics. A call fails when it raises EnvironmentFault, except where it only says that an artefact is not there.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import ParamSpec, TypeVar

from prometheus_client.core import Metric

from edgebed.experiment.errors import EnvironmentFault
from edgebed.metrics import Histogram, counter, histogram
from edgebed.stores.artefacts import Artefact, ArtefactError, ArtefactStore
from edgebed.stores.coordination import Coordinator

CALL_SECONDS = histogram(
    "edgebed_store_call_seconds", "Duration of calls to a store, failed ones included", "role", "store", "operation"
)
CALL_FAILURES = counter(
    "edgebed_store_call_failures", "Calls that failed because the store was away or full", "role", "store", "operation"
)

EDGES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COORDINATION = ("register", "deregister", "instances", "publish")
TASK_LOG = ("append_rows", "register", "finish", "read", "episodes")
"""Operations worth telling apart; those that wait on purpose are not among them."""

P = ParamSpec("P")
R = TypeVar("R")
Store = TypeVar("Store")


class Calls:
    """Of one process. Safe to use from several threads."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._lock = threading.Lock()
        self._seconds: dict[tuple[str, str], Histogram] = {}
        self._failures: Counter[tuple[str, str]] = Counter()

    def of(self, name: str, store: Store, operations: Sequence[str]) -> Store:
        """The same store, whose calls are counted from now on."""
        for operation in operations:
            setattr(store, operation, self.timed(name, operation, getattr(store, operation)))
        return store

    def of_coordinator(self, coordinator: Coordinator | None) -> Coordinator | None:
        """The same for a coordinator that a service may not have, because it is the controller's own."""
        return None if coordinator is None else self.of("coordination", coordinator, COORDINATION)

    def of_artefacts(self, store: ArtefactStore) -> ArtefactStore:
        """The same for artefacts: reading a file, which is the work, is counted as well."""
        self.of("artefacts", store, ("publish", "open", "names"))
        opened: Callable[[str], Artefact] = store.open
        self._of("artefacts", "read")

        def open_(name: str) -> Artefact:
            artefact = opened(name)
            return replace(artefact, _load=self.timed("artefacts", "read", artefact._load))

        setattr(store, "open", open_)  # noqa: B010  # as in `of`; an assignment to a method is a type error
        return store

    def timed(self, store: str, operation: str, call: Callable[P, R]) -> Callable[P, R]:
        """The call, counted."""
        seconds = self._of(store, operation)

        def measured(*args: P.args, **kwargs: P.kwargs) -> R:
            begin = time.perf_counter()
            failed = False
            try:
                return call(*args, **kwargs)
            except EnvironmentFault as error:
                failed = not isinstance(error, ArtefactError)
                raise
            finally:
                took = time.perf_counter() - begin
                with self._lock:
                    seconds.add(took)
                    self._failures[store, operation] += failed

        return measured

    def collect(self) -> Iterator[Metric]:
        """For a metrics page."""
        with self._lock:
            seconds = {key: _copied(found) for key, found in self._seconds.items()}
            failures = dict(self._failures)
        yield CALL_SECONDS.many([((self._role, *key), found) for key, found in seconds.items()])
        yield CALL_FAILURES.many([((self._role, *key), float(failures.get(key, 0))) for key in seconds])

    def _of(self, store: str, operation: str) -> Histogram:
        with self._lock:
            return self._seconds.setdefault((store, operation), Histogram(EDGES_S))


def _copied(found: Histogram) -> Histogram:
    copy = Histogram(found.edges)
    copy.counts, copy.total = list(found.counts), found.total
    return copy
