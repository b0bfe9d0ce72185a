"""The controller's coordinator as other services reach it: PUT, DELETE /v1/registry/SERVICE/NAME, GET /v1/registry/SERVICE,
PUT /v1/configuration/KEY, and GET of that, which with ?after=VERSION&waitSeconds=S is answered when the version is another
or the time is over.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import httpx

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.coordination import Coordinator, Entry, Instance, Telling, Watch, checked

POLL_S = 20.0
"""Longest wait of one request for a configuration."""
WATCH_S = 5.0
"""The same for a watch: so long its thread may live on after it was closed."""
RETRY_S = 0.5
"""Between attempts while the controller is away."""

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


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
        self._ask(_nothing, "PUT", f"/v1/registry/{checked(service)}/{checked(name)}", json=body)

    def deregister(self, service: str, name: str) -> None:
        """As in `Coordinator`."""
        self._ask(_nothing, "DELETE", f"/v1/registry/{checked(service)}/{checked(name)}")

    def instances(self, service: str) -> list[Instance]:
        """As in `Coordinator`."""

        def read(found: Any) -> list[Instance]:
            return [Instance(service, i["name"], i["address"], i["metadata"]) for i in found["instances"]]

        return self._ask(read, "GET", f"/v1/registry/{checked(service)}")

    def publish(self, key: str, text: str) -> Entry:
        """As in `Coordinator`."""
        return self._ask(_entry, "PUT", f"/v1/configuration/{checked(key)}", json={"text": text})

    def get(self, key: str, after: int = 0, wait_s: float = 0.0) -> Entry | None:
        """As in `Coordinator`."""
        path, until = f"/v1/configuration/{checked(key)}", time.monotonic() + wait_s
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
        checked(key)
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
        self._watch = Telling(key, told, lambda _: self._closed.set())
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
