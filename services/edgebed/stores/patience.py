"""A store that is away is waited for: the same call again, more and more seldom, for a limited time.

    artefacts = PatientArtefacts(open_artefacts(url), pause)

`pause(seconds)` waits, and may raise to end the waiting: that is how a request to stop gets through.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from edgebed.stores.artefacts import Artefact, ArtefactStore, StoreAway

LIMIT_S = 60.0
"""So long a store may be away."""
FIRST_S = 0.25
LONGEST_S = 4.0
"""Between two attempts."""

Pause = Callable[[float], object]
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Patience:
    """Of one piece of work, which is tried until it succeeds or the time is over."""

    def __init__(self, what: str, pause: Pause, limit_s: float = LIMIT_S) -> None:
        """`what` names the work in log lines, such as `publishing models/run-1/v3`."""
        self._what, self._pause, self._limit_s = what, pause, limit_s
        self._begin: float | None = None
        self._pause_s = FIRST_S

    def wait(self, error: Exception) -> None:
        """Waits for the next attempt. Raises `error` when the time since the first failure is over."""
        now = time.monotonic()
        if self._begin is None:
            self._begin = now
            _log.warning("%s failed, and is tried again for %g s: %s", self._what, self._limit_s, error)
        left_s = self._begin + self._limit_s - now
        if left_s <= 0:
            raise error
        self._pause(min(self._pause_s, left_s))
        self._pause_s = min(2 * self._pause_s, LONGEST_S)

    def done(self) -> None:
        """It has succeeded."""
        if self._begin is not None:
            _log.warning("%s succeeded after %.1f s", self._what, time.monotonic() - self._begin)


def patiently(what: str, work: Callable[[], T], pause: Pause, limit_s: float = LIMIT_S) -> T:
    """What `work` returns, once the store is there. Raises StoreAway when it was away for too long, and what `pause` raises."""
    patience = Patience(what, pause, limit_s)
    while True:
        try:
            found = work()
        except StoreAway as error:
            patience.wait(error)
        else:
            patience.done()
            return found


class PatientArtefacts(ArtefactStore):
    """A store whose every call waits for it."""

    def __init__(self, store: ArtefactStore, pause: Pause, limit_s: float = LIMIT_S) -> None:
        self._store, self._pause, self._limit_s = store, pause, limit_s

    def publish(self, name: str, files: Mapping[str, bytes], about: Mapping[str, Any]) -> Artefact:
        """As in `ArtefactStore`."""
        return self._whole(self._wait(f"publishing {name}", lambda: self._store.publish(name, files, about)))

    def open(self, name: str) -> Artefact:
        """As in `ArtefactStore`."""
        return self._whole(self._wait(f"opening {name}", lambda: self._store.open(name)))

    def names(self, prefix: str = "") -> list[str]:
        """As in `ArtefactStore`."""
        return self._wait(f"listing {prefix}*", lambda: self._store.names(prefix))

    def probe(self) -> str:
        """As in `ArtefactStore`, at once: who asks wants to know how it is now."""
        return self._store.probe()

    def _whole(self, artefact: Artefact) -> Artefact:
        """The same, whose files are waited for too."""
        load = artefact._load
        return replace(
            artefact, _load=lambda stored: self._wait(f"reading {artefact.name}/{stored}", lambda: load(stored))
        )

    def _wait(self, what: str, work: Callable[[], T]) -> T:
        return patiently(what, work, self._pause, self._limit_s)
