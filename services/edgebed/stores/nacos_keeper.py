"""Keeps this process's instances registered in Nacos, whatever happens to the servers.

What was registered is a wish. It is tried at once; and every CHECK_S a thread asks the servers whether they have it, and
registers again where they do not: after they were away, lost their data, or when the first attempt had failed.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from edgebed.experiment.errors import EdgebedError, EnvironmentFault, Problem, UserError
from edgebed.stores.nacos_http import NacosHttp, Registration
from edgebed.stores.nacos_lines import ADDRESS, BEAT_MS, NAME, SINCE, WHO, Line, held

CHECK_S = BEAT_MS / 1000
RETRY_S = 1.0
"""The same while something is amiss."""
CONFIRM_S = 5.0
"""Longest wait until the servers' list shows what they have taken; half a second is usual."""
LOOK_S = 0.05

_log = logging.getLogger(__name__)


class Keeper:
    """Of one coordinator. Safe to use from several threads."""

    def __init__(self, http: NacosHttp, line: Line, prepare: Callable[[], None]) -> None:
        """`prepare` comes before anything that is done; it may raise EdgebedError."""
        self._http, self._line, self._prepare = http, line, prepare
        self._who = uuid.uuid4().hex[:12]
        self._wishes: dict[str, dict[str, Registration]] = {}
        self._standing: set[str] = set()
        """Services of which the servers have what is wished, as far as is known."""
        self._amiss: dict[str, str] = {}
        """And why not, where the last attempt failed."""
        self._lock = threading.Lock()  # of the three above
        self._acting = threading.Lock()  # so that what is held last is what was wished last
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def register(self, service: str, name: str, address: str, metadata: Mapping[str, str]) -> None:
        """Wishes it, and returns when the servers' list shows it. After EnvironmentFault it is still wished.

        To repeat it asks nobody: it returns, or raises why the keeper's last attempt failed.
        """
        ip, port = _place(address)
        with self._lock:
            names = self._wishes.setdefault(service, {})
            told = {**metadata, NAME: name, ADDRESS: address, WHO: self._who}
            there = names.get(name)
            if there is not None and {**there.metadata, SINCE: ""} == {**told, SINCE: ""}:
                if service in self._standing:
                    return
                if service in self._amiss:
                    raise EnvironmentFault(self._amiss[service])
            else:
                names[name] = Registration(ip, port, {**told, SINCE: str(time.time_ns() // 1_000_000)})
                self._standing.discard(service)
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="nacos registrations", daemon=True)
                self._thread.start()
        self._act(service)

    def deregister(self, service: str, name: str) -> None:
        """Wishes it no more, and returns when the servers' list shows that. After EnvironmentFault the same is tried on."""
        with self._lock:
            if self._wishes.get(service, {}).pop(name, None) is None:
                return
            self._standing.discard(service)
        self._act(service)

    def close(self) -> None:
        """Deregisters what the servers take from us without delay, and ends the thread."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        for service in self._wishes:
            try:
                self._line.hold(service, ())
            except EdgebedError as error:
                _log.info("service %s is left to expire in Nacos: %s", service, error)
                return

    def _act(self, service: str) -> None:
        """Has the servers do what is wished, and waits until they show it."""
        with self._acting:
            wished = self._wished(service)
            try:
                self._prepare()
                self._line.hold(service, list(wished.values()))
                until = time.monotonic() + CONFIRM_S
                while held(self._http, service, self._who) != wished:
                    if time.monotonic() > until:
                        raise EnvironmentFault(
                            f"Nacos took service {service}, but does not list it after {CONFIRM_S:g} s; see its log"
                        )
                    time.sleep(LOOK_S)
            except EdgebedError as error:
                self._failed(service, error)
                raise
            self._stands(service, wished)

    def _keep(self) -> None:
        while not self._closed.wait(RETRY_S if self._amiss else CHECK_S):
            for service in list(self._wishes):
                try:
                    self._check(service)
                except EdgebedError as error:
                    if service not in self._amiss:
                        _log.warning("service %s may not be in Nacos: %s", service, error)
                    self._failed(service, error)

    def _check(self, service: str) -> None:
        """Has it registered again where the servers do not have what is wished; the next check shows whether they do."""
        with self._acting:
            wished = self._wished(service)
            self._prepare()
            if self._line.stands(service, self._who, wished):
                self._stands(service, wished)
                return
            with self._lock:
                stood = service in self._standing
                self._standing.discard(service)
            self._line.hold(service, list(wished.values()))
            with self._lock:
                self._amiss.pop(service, None)
            if stood:
                _log.warning("service %s was not in Nacos as registered; it is registered again", service)

    def _failed(self, service: str, error: Exception) -> None:
        with self._lock:
            self._standing.discard(service)
            self._amiss[service] = str(error)

    def _wished(self, service: str) -> dict[str, Registration]:
        with self._lock:
            return dict(self._wishes.get(service, {}))

    def _stands(self, service: str, wished: Mapping[str, Registration]) -> None:
        with self._lock:
            if self._wishes.get(service) != wished:
                return
            self._amiss.pop(service, None)
            if wished:
                self._standing.add(service)
            else:
                del self._wishes[service]


def _place(address: str) -> tuple[str, int]:
    """Host and port, which Nacos wants apart."""
    try:
        parts = urlsplit(address)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        parts, port = urlsplit(""), 0
    if not parts.hostname:
        raise UserError(Problem("coordinator", f"{address!r} is not an address", "give http://HOST:PORT"))
    return parts.hostname, port
