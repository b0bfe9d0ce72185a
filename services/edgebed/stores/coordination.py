"""Who is there, and what they are to use: a registry with heartbeats, and configuration that is pushed.

    coordinator.register("edge-node", "node-3", "http://127.0.0.1:8081", {})
    coordinator.instances("edge-node")
    coordinator.publish("trainer", text); coordinator.get("trainer", after=version, wait_s=10)

`EmbeddedCoordinator` is the controller's own, in memory. `HttpCoordinator` is how other services reach it.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from edgebed.experiment.errors import EnvironmentFault

HEARTBEAT_S = 1.0
EXPIRY_S = 5.0
"""An instance that was not heard of for so long is gone."""


@dataclass(frozen=True)
class Instance:
    """A registered process of a service."""

    service: str
    name: str
    address: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A configuration text; `version` rises by one with each change, from 1."""

    key: str
    text: str
    version: int


class Coordinator(ABC):
    """What every coordinator does."""

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
        """The configuration once its version is over `after`; None when that was not so within the time."""


class EmbeddedCoordinator(Coordinator):
    """In memory; safe to use from several threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._instances: dict[tuple[str, str], tuple[Instance, float]] = {}
        self._entries: dict[str, Entry] = {}
        self._changed = threading.Condition()

    def register(self, service: str, name: str, address: str, metadata: Mapping[str, str]) -> None:
        """As in `Coordinator`."""
        with self._changed:
            self._instances[service, name] = (Instance(service, name, address, dict(metadata)), self._now())

    def deregister(self, service: str, name: str) -> None:
        """As in `Coordinator`."""
        with self._changed:
            self._instances.pop((service, name), None)

    def instances(self, service: str) -> list[Instance]:
        """As in `Coordinator`."""
        with self._changed:
            since = self._now() - EXPIRY_S
            found = [i for i, heard in self._instances.values() if i.service == service and heard >= since]
        return sorted(found, key=lambda instance: instance.name)

    def publish(self, key: str, text: str) -> Entry:
        """As in `Coordinator`."""
        with self._changed:
            there = self._entries.get(key)
            if there is not None and there.text == text:
                return there
            entry = Entry(key, text, 1 if there is None else there.version + 1)
            self._entries[key] = entry
            self._changed.notify_all()
            return entry

    def get(self, key: str, after: int = 0, wait_s: float = 0.0) -> Entry | None:
        """As in `Coordinator`."""

        def newer() -> Entry | None:
            entry = self._entries.get(key)
            return entry if entry is not None and entry.version > after else None

        with self._changed:
            self._changed.wait_for(lambda: newer() is not None, wait_s)
            return newer()


class HttpCoordinator(Coordinator):
    """The controller's coordinator over HTTP. Raises EnvironmentFault while it is away."""

    def __init__(self, address: str, *, token: str | None = None, timeout_s: float = 5.0) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._address = address
        # Without looking at the machine's certificates and proxies, which a loopback or cluster address has no use for.
        self._client = httpx.Client(base_url=address, headers=headers, timeout=timeout_s, trust_env=False, verify=False)  # noqa: S501  # plain HTTP

    def register(self, service: str, name: str, address: str, metadata: Mapping[str, str]) -> None:
        """As in `Coordinator`."""
        body = {"address": address, "metadata": dict(metadata)}
        self._ask("PUT", f"/v1/registry/{service}/{name}", json=body)

    def deregister(self, service: str, name: str) -> None:
        """As in `Coordinator`."""
        self._ask("DELETE", f"/v1/registry/{service}/{name}")

    def instances(self, service: str) -> list[Instance]:
        """As in `Coordinator`."""
        found = self._ask("GET", f"/v1/registry/{service}").json()
        return [Instance(service, i["name"], i["address"], i["metadata"]) for i in found["instances"]]

    def publish(self, key: str, text: str) -> Entry:
        """As in `Coordinator`."""
        return Entry(**self._ask("PUT", f"/v1/configuration/{key}", json={"text": text}).json())

    def get(self, key: str, after: int = 0, wait_s: float = 0.0) -> Entry | None:
        """As in `Coordinator`."""
        parameters = {"after": after, "waitSeconds": wait_s}
        answer = self._ask("GET", f"/v1/configuration/{key}", params=parameters, extra_s=wait_s)
        return None if answer.status_code == 204 else Entry(**answer.json())

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def _ask(self, method: str, path: str, extra_s: float = 0.0, **arguments: Any) -> httpx.Response:
        try:
            timeout = self._client.timeout.read
            answer = self._client.request(method, path, timeout=(timeout or 5.0) + extra_s, **arguments)
            answer.raise_for_status()
            return answer
        except httpx.HTTPStatusError as error:
            said = error.response.text[:200]
            raise EnvironmentFault(f"controller {self._address}{path}: {error.response.status_code} {said}") from error
        except httpx.HTTPError as error:
            raise EnvironmentFault(
                f"controller {self._address}: away ({error}); start it, or mend the address"
            ) from error
