"""Who is there, and what they are to use: a registry with heartbeats, and configuration that is pushed.

    coordinator.register("edge-node", "node-3", "http://127.0.0.1:8081", {})       # again every HEARTBEAT_S
    coordinator.instances("edge-node")
    coordinator.publish("trainer", text); coordinator.get("trainer")
    watch = coordinator.watch("trainer", put_in_use); watch.close()

`EmbeddedCoordinator` is the controller's own, in memory, and is told the time. `HttpCoordinator` is how other services reach
it: PUT, DELETE /v1/registry/SERVICE/NAME, GET /v1/registry/SERVICE, PUT /v1/configuration/KEY, and GET of that, which with
?after=VERSION&waitSeconds=S is answered when the version is another or the time is over.
"""

import logging
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import httpx

from edgebed.experiment.errors import EnvironmentFault, Problem, UserError

HEARTBEAT_S = 1.0
EXPIRY_S = 5.0
"""An instance that was not heard of for so long is gone."""
POLL_S = 20.0
"""Longest wait of one request for a configuration."""
WATCH_S = 5.0
"""The same for a watch: so long its thread may live on after it was closed."""
RETRY_S = 0.5
"""Between attempts while the controller is away."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}\Z")
_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


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
        """Enters an instance, or says that it is still there; to be repeated every HEARTBEAT_S."""

    @abstractmethod
    def deregister(self, service: str, name: str) -> None:
        """Removes an instance; nothing happens when it is not there."""

    @abstractmethod
    def instances(self, service: str) -> list[Instance]:
        """Those heard of within EXPIRY_S, by name."""

    @abstractmethod
    def publish(self, key: str, text: str) -> Entry:
        """Sets a configuration; unchanged text keeps its version."""

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
        self._watches: list[_Watch] = []
        self._changed = threading.Condition()

    def register(self, service: str, name: str, address: str, metadata: Mapping[str, str]) -> None:
        """As in `Coordinator`."""
        instance = Instance(_checked(service), _checked(name), address, dict(metadata))
        with self._changed:
            self._instances[service, name] = (instance, self._now())

    def deregister(self, service: str, name: str) -> None:
        """As in `Coordinator`."""
        with self._changed:
            self._instances.pop((_checked(service), _checked(name)), None)

    def instances(self, service: str) -> list[Instance]:
        """As in `Coordinator`."""
        _checked(service)
        with self._changed:
            since = self._now() - EXPIRY_S
            self._instances = {key: found for key, found in self._instances.items() if found[1] > since}
            found = [instance for instance, _ in self._instances.values() if instance.service == service]
        return sorted(found, key=lambda instance: instance.name)

    def publish(self, key: str, text: str) -> Entry:
        """As in `Coordinator`."""
        _checked(key)
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
        _checked(key)

        def other() -> Entry | None:
            entry = self._entries.get(key)
            return entry if entry is not None and entry.version != after else None

        with self._changed:
            self._changed.wait_for(lambda: other() is not None, wait_s)
            return other()

    def watch(self, key: str, told: Callable[[Entry], None]) -> Watch:
        """As in `Coordinator`: in this thread what is there, then in the publisher's, which it should not hold up."""
        watch = _Watch(_checked(key), told, self._forget)
        with self._changed:
            self._watches.append(watch)
        watch.tell(lambda: self._entries.get(key))
        return watch

    def _forget(self, watch: "_Watch") -> None:
        with self._changed:
            self._watches.remove(watch)


class _Watch:
    """Passes entries on, one at a time and each version once, until it is closed."""

    def __init__(self, key: str, told: Callable[[Entry], None], forget: Callable[["_Watch"], None]) -> None:
        self.key = key
        self._told, self._forget = told, forget
        self._latest, self._open = 0, True
        self._lock = threading.RLock()  # who is told may close, or publish

    def tell(self, current: Callable[[], Entry | None]) -> None:
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
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            self._forget(self)


class HttpCoordinator(Coordinator):
    """The controller's coordinator over HTTP. Safe to use from several threads. Raises EnvironmentFault while it is away."""

    def __init__(self, address: str, *, token: str | None = None, timeout_s: float = 5.0) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._address, self._token, self._timeout_s = address.rstrip("/"), token, timeout_s
        # Certificates cost a quarter of a second to load, and plain HTTP needs none; proxies are not for a cluster's inside.
        verify = address.startswith("https:")
        self._client = httpx.Client(headers=headers, timeout=timeout_s, trust_env=False, verify=verify)
        self._watches: list[_Poll] = []

    def register(self, service: str, name: str, address: str, metadata: Mapping[str, str]) -> None:
        """As in `Coordinator`."""
        body = {"address": address, "metadata": dict(metadata)}
        self._ask(_nothing, "PUT", f"/v1/registry/{_checked(service)}/{_checked(name)}", json=body)

    def deregister(self, service: str, name: str) -> None:
        """As in `Coordinator`."""
        self._ask(_nothing, "DELETE", f"/v1/registry/{_checked(service)}/{_checked(name)}")

    def instances(self, service: str) -> list[Instance]:
        """As in `Coordinator`."""

        def read(found: Any) -> list[Instance]:
            return [Instance(service, i["name"], i["address"], i["metadata"]) for i in found["instances"]]

        return self._ask(read, "GET", f"/v1/registry/{_checked(service)}")

    def publish(self, key: str, text: str) -> Entry:
        """As in `Coordinator`."""
        return self._ask(_entry, "PUT", f"/v1/configuration/{_checked(key)}", json={"text": text})

    def get(self, key: str, after: int = 0, wait_s: float = 0.0) -> Entry | None:
        """As in `Coordinator`."""
        path, until = f"/v1/configuration/{_checked(key)}", time.monotonic() + wait_s
        while True:
            begin = time.monotonic()
            wait = min(POLL_S, max(0.0, until - begin))
            found = self._ask(_found, "GET", path, params={"after": after, "waitSeconds": wait}, wait_s=wait)
            left = until - time.monotonic()
            if found is not None or left <= 0:
                return found
            # Whoever answers before the time is not asked more often for that.
            time.sleep(max(0.0, min(left, begin + min(wait, RETRY_S) - time.monotonic())))

    def watch(self, key: str, told: Callable[[Entry], None]) -> Watch:
        """As in `Coordinator`: in a thread of its own, which bears that the controller is away for a while."""
        _checked(key)
        watch = _Poll(HttpCoordinator(self._address, token=self._token, timeout_s=self._timeout_s), key, told)
        self._watches.append(watch)
        return watch

    def close(self) -> None:
        """Closes its watches and connections. No other thread may be asking."""
        for watch in self._watches:
            watch.close()
        self._client.close()

    def _ask(
        self, read: Callable[[Any], Answer], method: str, path: str, wait_s: float = 0.0, **arguments: Any
    ) -> Answer:
        """What `read` makes of the JSON of an answer, which is None for 204."""
        url = f"{self._address}{path}"
        try:
            answer = self._client.request(method, url, timeout=self._timeout_s + wait_s, **arguments)
            if answer.status_code in (200, 204):
                return read(None if answer.status_code == 204 else answer.json())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            remedy = "start the controller, or mend EDGEBED_CONTROLLER"
            raise EnvironmentFault(f"{url} does not answer ({error or type(error).__name__}); {remedy}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise EnvironmentFault(
                f"{url} answers something else than a controller; mend EDGEBED_CONTROLLER"
            ) from error
        remedy = "set the same EDGEBED_TOKEN here and there" if answer.status_code == 401 else "mend EDGEBED_CONTROLLER"
        raise EnvironmentFault(f"{url} answers {answer.status_code} ({answer.text[:200]}); {remedy}")


class _Poll:
    """Asks again and again for the next version of an entry, with a client that its thread closes: none is closed in use."""

    def __init__(self, coordinator: HttpCoordinator, key: str, told: Callable[[Entry], None]) -> None:
        self._coordinator, self._key = coordinator, key
        self._closed = threading.Event()
        self._watch = _Watch(key, told, lambda _: self._closed.set())
        threading.Thread(target=self._serve, name=f"watch {key}", daemon=True).start()

    def close(self) -> None:
        self._watch.close()  # the thread ends with its request, at most WATCH_S later, and tells nobody

    def _serve(self) -> None:
        try:
            self._run()
        finally:
            self._coordinator.close()

    def _run(self) -> None:
        after, heard = 0, True
        while not self._closed.is_set():
            try:
                entry = self._coordinator.get(self._key, after, WATCH_S)
            except EnvironmentFault as error:
                if heard and not self._closed.is_set():
                    _log.warning("configuration %s stays as it is: %s", self._key, error)
                heard = False
                self._closed.wait(RETRY_S)
                continue
            heard = True
            if entry is not None:
                after = entry.version
                self._watch.tell(partial(Entry, entry.key, entry.text, entry.version))


def _entry(found: Any) -> Entry:
    return Entry(str(found["key"]), str(found["text"]), int(found["version"]))


def _found(found: Any) -> Entry | None:
    return None if found is None else _entry(found)


def _nothing(_: Any) -> None:
    return None


def _checked(name: str) -> str:
    if not _NAME.match(name):
        raise UserError(
            Problem("coordinator", f"{name!r} is not a name", "give letters, digits and . _ : -, at most 200")
        )
    return name
