"""Whether the watch still tells what the API server knows: the proof that it is alive.

A connection that is half open, or a thread that hangs, looks like a cluster in which nothing happens. So what is listed now and
then is compared with what the watch told: an object that the API server has in a newer version than was ever heard of, for
longer than any delay explains, means that the watch is dead. Where nothing changes nothing is proved, and nothing is lost.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import Any


class Heard:
    """Versions of objects as the watch told them. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: dict[str, int] = {}
        self._missed: dict[str, tuple[int, float]] = {}
        """By uid: a version that was listed and not heard of, and since when."""

    def tell(self, item: Mapping[str, Any], *, gone: bool = False) -> None:
        """The watch told of an object."""
        uid, version = _identity(item)
        with self._lock:
            if gone:
                self._versions.pop(uid, None)
                self._missed.pop(uid, None)
                return
            self._versions[uid] = max(version, self._versions.get(uid, 0))
            if uid in self._missed and self._missed[uid][0] <= version:
                del self._missed[uid]

    def compare(self, listed: Iterable[Mapping[str, Any]], now: float) -> None:
        """The whole of what there is, as it was just listed."""
        there = dict(_identity(item) for item in listed)
        with self._lock:
            for uid in [uid for uid in (*self._versions, *self._missed) if uid not in there]:
                self._versions.pop(uid, None)  # its end may not have been told, and will not be
                self._missed.pop(uid, None)
            for uid, version in there.items():
                if version > self._versions.get(uid, 0) and uid not in self._missed:
                    self._missed[uid] = (version, now)

    def silent_s(self, now: float) -> float:
        """For how long something has been missed; 0 while nothing is."""
        with self._lock:
            return max((now - since for _, since in self._missed.values()), default=0.0)

    def begin_anew(self, now: float) -> None:
        """Another watch was started; what is missed counts from now."""
        with self._lock:
            self._missed = {uid: (version, now) for uid, (version, _) in self._missed.items()}


def _identity(item: Mapping[str, Any]) -> tuple[str, int]:
    metadata = item["metadata"]
    version = str(metadata.get("resourceVersion", ""))
    return str(metadata["uid"]), int(version) if version.isdigit() else 0
