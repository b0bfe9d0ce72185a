"""Which experiment is looked at when: every name at most once, as early as anybody asked for."""

import threading
from collections.abc import Callable


class Agenda:
    """Names and the instants at which they are due. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._clock = clock
        self._due: dict[str, float] = {}
        self._changed = threading.Condition()

    def put(self, name: str, after_s: float = 0.0) -> None:
        """Look at `name` so soon, or sooner if that was asked for."""
        with self._changed:
            due = self._clock() + after_s
            if due < self._due.get(name, float("inf")):
                self._due[name] = due
                self._changed.notify_all()

    def drop(self, name: str) -> None:
        """Do not look at it."""
        with self._changed:
            self._due.pop(name, None)

    def take(self, limit_s: float) -> str | None:
        """The name that is due first, once it is due; None if none was within the limit."""
        until = self._clock() + limit_s
        with self._changed:
            while True:
                now = self._clock()
                name = min(self._due, key=lambda one: self._due[one], default=None)
                if name is not None and self._due[name] <= now:
                    del self._due[name]
                    return name
                if now >= until:
                    return None
                self._changed.wait(min(until, self._due[name] if name is not None else until) - now)
