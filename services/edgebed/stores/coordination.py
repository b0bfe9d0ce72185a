"""Who is there, and what they are to use: a registry with heartbeats, and configuration that is pushed.

    coordinator.register("edge-node", "node-3", "http://127.0.0.1:8081", {})       # again every HEARTBEAT_S
    coordinator.instances("edge-node")
    coordinator.publish("trainer", text); coordinator.get("trainer")
    watch = coordinator.watch("trainer", put_in_use); watch.close()

`EmbeddedCoordinator` is the controller's own, in memory, and is told the time; `http_coordinator` is how other services reach
it. `nacos` does the same with servers of Nacos, which every service reaches by itself. `open_coordinator` chooses.
"""

import logging
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgebed.experiment.errors import Problem, UserError

if TYPE_CHECKING:
    from edgebed.stores.nacos import NacosCoordinator

HEARTBEAT_S = 1.0
EXPIRY_S = 5.0
"""An instance that was not heard of for so long is gone."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}\Z")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Instance:
    """A registered process of a service."""

    service: str
    name: str
    address: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A configuration text."""

    key: str
    text: str
    version: int
    """Rises with each change, from 1 or more."""


class Watch(Protocol):
    """What `Coordinator.watch` returns."""

    def close(self) -> None:
        """From when this returns, nobody is told any more."""


class Coordinator(ABC):
    """What every coordinator does. Names and keys are letters, digits and `. _ : -`; UserError for others."""

    @abstractmethod
    def register(self, service: str, name: str, address: str, metadata: Mapping[str, str]) -> None:
        """Enters an instance, or says that it is still there; to be repeated every HEARTBEAT_S.

        Of processes that give the same name, the one that came last has it. What was registered stays so while this process
        repeats it, or lives, whichever the coordinator hears of.
        """

    @abstractmethod
    def deregister(self, service: str, name: str) -> None:
        """Removes an instance that this process registered; nothing happens when it is not there."""

    @abstractmethod
    def instances(self, service: str) -> list[Instance]:
        """Those heard of within about EXPIRY_S, by name; as last known, where the coordinator remembers while it is away."""

    def age_s(self, service: str) -> float:
        """Seconds since `instances` of this service were last known to be so; infinite when they never were."""
        return 0.0  # asked each time

    @abstractmethod
    def publish(self, key: str, text: str) -> Entry:
        """Sets a configuration, and returns what is there then; unchanged text keeps its version.

        Who read a version and publishes thereupon gets a higher one. Where several publish at once, what is returned may be
        another's text already.
        """

    @abstractmethod
    def get(self, key: str, after: int = 0, wait_s: float = 0.0) -> Entry | None:
        """The configuration, once its version is another than `after`; None when that was not so within the time."""

    @abstractmethod
    def watch(self, key: str, told: Callable[[Entry], None]) -> Watch:
        """Tells, in a thread of the coordinator's choice, the configuration that is there and then each change.

        Of changes in quick succession some may be left out, never the last.
        """

    def close(self) -> None:  # noqa: B027  # most hold nothing
        """Ends the watches, and leaves the registry where this process's life is what keeps it there."""


class EmbeddedCoordinator(Coordinator):
    """In memory; safe to use from several threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic, first_version: int = 1) -> None:
        """`now` gives seconds. A controller that is started again gives a higher `first_version`, such as Unix seconds."""
        self._now = now
        self._version = first_version - 1
        self._instances: dict[tuple[str, str], tuple[Instance, float]] = {}
        self._entries: dict[str, Entry] = {}
        self._watches: list[Telling] = []
        self._changed = threading.Condition()

    def register(self, service: str, name: str, address: str, metadata: Mapping[str, str]) -> None:
        """As in `Coordinator`."""
        instance = Instance(checked(service), checked(name), address, dict(metadata))
        with self._changed:
            self._instances[service, name] = (instance, self._now())

    def deregister(self, service: str, name: str) -> None:
        """As in `Coordinator`."""
        with self._changed:
            self._instances.pop((checked(service), checked(name)), None)

    def instances(self, service: str) -> list[Instance]:
        """As in `Coordinator`."""
        checked(service)
        with self._changed:
            since = self._now() - EXPIRY_S
            self._instances = {key: found for key, found in self._instances.items() if found[1] > since}
            found = [instance for instance, _ in self._instances.values() if instance.service == service]
        return sorted(found, key=lambda instance: instance.name)

    def publish(self, key: str, text: str) -> Entry:
        """As in `Coordinator`."""
        checked(key)
        with self._changed:
            there = self._entries.get(key)
            if there is not None and there.text == text:
                return there
            self._version += 1
            entry = self._entries[key] = Entry(key, text, self._version)
            watches = [watch for watch in self._watches if watch.key == key]
            self._changed.notify_all()
        for watch in watches:
            # The entry as it is then: two publishers may overtake each other on their way to a watch.
            watch.tell(lambda: self._entries.get(key))
        return entry

    def get(self, key: str, after: int = 0, wait_s: float = 0.0) -> Entry | None:
        """As in `Coordinator`."""
        checked(key)

        def other() -> Entry | None:
            entry = self._entries.get(key)
            return entry if entry is not None and entry.version != after else None

        with self._changed:
            self._changed.wait_for(lambda: other() is not None, wait_s)
            return other()

    def watch(self, key: str, told: Callable[[Entry], None]) -> Watch:
        """As in `Coordinator`: in this thread what is there, then in the publisher's, which it should not hold up."""
        watch = Telling(checked(key), told, self._forget)
        with self._changed:
            self._watches.append(watch)
        watch.tell(lambda: self._entries.get(key))
        return watch

    def _forget(self, watch: "Telling") -> None:
        with self._changed:
            self._watches.remove(watch)


class Telling:
    """Passes entries on, one at a time and each version once, until it is closed."""

    def __init__(self, key: str, told: Callable[[Entry], None], forget: Callable[["Telling"], None]) -> None:
        self.key = key
        self._told, self._forget = told, forget
        self._latest, self._open = 0, True
        self._lock = threading.RLock()  # who is told may close, or publish

    def tell(self, current: Callable[[], Entry | None]) -> None:
        """Passes on what `current` gives then, unless it was told last, or there is none."""
        with self._lock:
            entry = current()
            if not self._open or entry is None or entry.version == self._latest:
                return
            self._latest = entry.version
            try:
                self._told(entry)
            except Exception:  # whatever the told one's code raises: the watch goes on
                _log.exception("configuration %s, version %s, was not put in use", entry.key, entry.version)

    def close(self) -> None:
        """As in `Watch`."""
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            self._forget(self)


def checked(name: str) -> str:
    """The name; UserError where it is none."""
    if not _NAME.match(name):
        raise UserError(
            Problem("coordinator", f"{name!r} is not a name", "give letters, digits and . _ : -, at most 200")
        )
    return name


def open_coordinator(
    url: str, user: str | None, password: str | None, folder: Path, *, light: bool = False
) -> "NacosCoordinator":
    """Nacos as `nacos://HOST:PORT,HOST:PORT/NAMESPACE` names it; nothing is asked of it yet. See `NacosCoordinator`.

    UserError for another URL, and where Nacos's client is not installed.
    """
    # Here, because a process without Nacos should not load it.
    from edgebed.stores.nacos import NacosCoordinator
    from edgebed.stores.nacos_url import read_nacos_url

    servers, namespace = read_nacos_url(url)
    return NacosCoordinator(servers, namespace, user=user, password=password, folder=folder, light=light)
