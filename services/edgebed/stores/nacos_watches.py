"""Tells who watches configurations in Nacos: when the line says that something changed, and otherwise by looking.

A look every POLL_S where nothing is pushed: by a light line; while the connection is down; and for a while after a watch
was begun or a change was pushed, because a listener takes effect after five seconds, and the server that is asked may hear
of a change later than the one that pushed it. Otherwise every SLOW_S, in case a push was lost.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from edgebed.experiment.errors import EdgebedError
from edgebed.stores.coordination import Entry, Telling, Watch
from edgebed.stores.nacos_lines import Line

POLL_S = 1.0
SLOW_S = 10.0
QUICK_S = 6.0
"""How long to look every POLL_S after a beginning or a push."""

_log = logging.getLogger(__name__)


@dataclass
class _Key:
    watches: list[Telling] = field(default_factory=list)
    due: float = 0.0
    quick_until: float = 0.0
    heard: bool = True


class Watches:
    """Of one coordinator; one thread tells them all. Safe to use from several threads."""

    def __init__(self, read: Callable[[str], Entry | None], line: Line) -> None:
        """`read` gives what the servers have; it may raise EdgebedError."""
        self._read, self._line = read, line
        self._keys: dict[str, _Key] = {}
        self._listening: set[str] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def watch(self, key: str, told: Callable[[Entry], None]) -> Watch:
        """Begins one."""
        watch = Telling(key, told, self._forget)
        with self._changed:
            state = self._keys.setdefault(key, _Key())
            state.watches.append(watch)
            listens = key in self._listening
            self._listening.add(key)
            self._hurry(state)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nacos watches", daemon=True)
                self._thread.start()
        if not listens:
            self._line.listen(key, partial(self._pushed, key))
        return watch

    def close(self) -> None:
        """Ends them all, and the thread, unless it is the one that calls."""
        with self._changed:
            self._closed = True
            watches = [watch for state in self._keys.values() for watch in state.watches]
            self._changed.notify_all()
        for watch in watches:
            watch.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _pushed(self, key: str) -> None:
        with self._changed:
            if key in self._keys:
                self._hurry(self._keys[key])

    def _hurry(self, state: _Key) -> None:
        state.due, state.quick_until = 0.0, time.monotonic() + QUICK_S
        self._changed.notify_all()

    def _forget(self, watch: Telling) -> None:
        with self._changed:
            state = self._keys.get(watch.key)
            if state is not None and watch in state.watches:
                state.watches.remove(watch)
                if not state.watches:
                    del self._keys[watch.key]

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (wait_s := self._first() - time.monotonic()) > 0:
                    self._changed.wait(None if math.isinf(wait_s) else wait_s)
                if self._closed:
                    return
                now = time.monotonic()
                due = [key for key, state in self._keys.items() if state.due <= now]
                for key in due:
                    self._keys[key].due = math.inf  # unless somebody hurries meanwhile
            pushes = self._line.pushes()
            for key in due:
                self._look(key, pushes)

    def _first(self) -> float:
        return min((state.due for state in self._keys.values()), default=math.inf)

    def _look(self, key: str, pushes: bool) -> None:
        state = self._keys.get(key)
        if state is None:
            return
        try:
            entry = self._read(key)
            state.heard = True
        except EdgebedError as error:
            if state.heard:
                _log.warning("configuration %s stays as it is: %s", key, error)
            state.heard, entry = False, None
        for watch in list(state.watches):
            watch.tell(lambda: entry)
        now = time.monotonic()
        quick = not pushes or not state.heard or now < state.quick_until
        with self._changed:
            state.due = min(state.due, now + (POLL_S if quick else SLOW_S))
