"""Tells who watches configurations in Nacos: at once when the line says that something changed, and by looking every POLL_S.

To look is cheap, and holds what was promised whatever became of a push: a light line has none; the SDK's may get lost when a
connection was made anew; and the server that is asked may hear of a change later than the one that pushed it.
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

_log = logging.getLogger(__name__)


@dataclass
class _Key:
    watches: list[Telling] = field(default_factory=list)
    due: float = 0.0
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
            state.due = 0.0
            self._changed.notify_all()
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
                self._keys[key].due = 0.0
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
                due = [(key, state) for key, state in self._keys.items() if state.due <= now]
                for _, state in due:
                    state.due = now + POLL_S
            for key, state in due:
                self._look(key, state)

    def _first(self) -> float:
        return min((state.due for state in self._keys.values()), default=math.inf)

    def _look(self, key: str, state: _Key) -> None:
        try:
            entry = self._read(key)
            state.heard = True
        except EdgebedError as error:
            if state.heard:
                _log.warning("configuration %s stays as it is: %s", key, error)
            state.heard = False
            return
        for watch in list(state.watches):
            watch.tell(lambda: entry)
