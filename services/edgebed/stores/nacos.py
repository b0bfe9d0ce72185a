"""Registry and configuration on servers of Nacos 3: the same for every service, wherever the controller is.

    coordinator = NacosCoordinator(("nacos:8848",), "edgebed", user=None, password=None, folder=Path("cache"))
    coordinator.register("edge-node", "node-3", "http://10.0.0.3:8081", {}); ...; coordinator.close()

Two ways to the servers, one class. The SDK's (`nacos_sdk`) has connections: they hold registrations, and changes come by
them at once; it costs some 60 MB. The light one (`light=True`, `nacos_lines`) says every two seconds that the registrations
are still there, and costs 3 to 6 MB: it is for edge nodes. Both look for changes every second, and ask the servers by HTTP
what is there (`nacos_http`), because only that is known to be so. `nacos_keeper` keeps what was registered,
`nacos_watches` tells of changes.

Instances bear name, address and time of registration as metadata; where two processes have the same name, the later one has
it. An instance that others registered is named by its place.

A configuration's version is the time, in milliseconds of the servers' clock, when Nacos was given it: it is the same for
all readers, and texts that people edit in Nacos's console need nothing in them. A publisher first reads, waits until that
clock has moved on, and replaces only what it has read, so that versions rise; should the clock be set back, versions fall
with it, and watchers are told all the same. Nacos takes no blank content, so a blank text is kept with MARK before it.
"""

import atexit
import logging
import math
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import md5
from pathlib import Path
from queue import Empty, SimpleQueue

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.coordination import Coordinator, Entry, Instance, Watch, checked
from edgebed.stores.nacos_http import NacosHttp, Registration
from edgebed.stores.nacos_keeper import Keeper
from edgebed.stores.nacos_lines import ADDRESS, NAME, SINCE, LightLine, Line
from edgebed.stores.nacos_watches import Watches

MARK = "#edgebed:text\n"
"""Before a content: the text is what follows, which is blank or begins with the same."""
PUBLISH_S = 10.0
"""Longest wait until what was published is read."""
LOOK_S = 0.02
AWAY_S = 1.0
"""So long after nobody answered, instances are answered from memory without asking."""

_log = logging.getLogger(__name__)


class NacosCoordinator(Coordinator):
    """Belongs to the process that made it: make it after a fork. Safe to use from several threads.

    Raises EnvironmentFault when no server answers within some seconds (5 for the SDK's calls; 3 for each server asked by
    HTTP), and UserError when they refuse the user. `register` and `deregister` are carried out later even so.
    """

    def __init__(
        self,
        servers: Sequence[str],
        namespace: str,
        *,
        user: str | None,
        password: str | None,
        folder: Path,
        light: bool = False,
    ) -> None:
        """`servers` as HOST:PORT. `folder`, of this process alone, takes the SDK's log and caches. Waits for no server."""
        self._pid = os.getpid()
        self._http = NacosHttp(servers, namespace, user, password)
        self._line: Line
        if light:
            self._line = LightLine(self._http)
        else:
            # Here, because the light way does without what the SDK needs.
            from edgebed.stores.nacos_sdk import NacosSdk

            self._line = NacosSdk(servers, namespace, user, password, folder, self._http)
        self._keeper, self._watches = Keeper(self._http, self._line, self._prepare), Watches(self._read, self._line)
        self._heard: dict[str, tuple[list[Instance], float]] = {}
        self._away_until = -math.inf
        self._publishing = threading.Lock()  # who would only get in each other's way
        self._ready = self._closed = False
        atexit.register(self.close)

    def register(self, service: str, name: str, address: str, metadata: Mapping[str, str]) -> None:
        """As in `Coordinator`: until it is deregistered or this process ends; repeating it costs nothing."""
        checked(service), checked(name)
        self._own()
        self._keeper.register(service, name, address, metadata)

    def deregister(self, service: str, name: str) -> None:
        """As in `Coordinator`."""
        checked(service), checked(name)
        self._own()
        self._keeper.deregister(service, name)

    def instances(self, service: str) -> list[Instance]:
        """As in `Coordinator`; while the servers are away as last heard. EnvironmentFault when nothing was ever heard."""
        checked(service)
        known = self._heard.get(service)
        if known is not None and time.monotonic() < self._away_until:
            return list(known[0])
        try:
            found = _instances(service, self._http.instances(service))
        except EnvironmentFault:
            self._away_until = time.monotonic() + AWAY_S
            if known is None:
                raise
            return list(known[0])
        self._heard[service] = (found, time.monotonic())
        return list(found)

    def age_s(self, service: str) -> float:
        """As in `Coordinator`."""
        known = self._heard.get(service)
        return math.inf if known is None else time.monotonic() - known[1]

    def publish(self, key: str, text: str) -> Entry:
        """As in `Coordinator`."""
        checked(key)
        self._own()
        self._prepare()
        content = _content(text)
        with self._publishing:
            until = time.monotonic() + PUBLISH_S
            while time.monotonic() < until:
                before = self._http.read(key)
                if before is not None and _text(before[0]) == text:
                    return Entry(key, text, before[1])
                time.sleep(0.002)  # the servers' clock ticks in milliseconds
                instead_of = "" if before is None else md5(before[0].encode(), usedforsecurity=False).hexdigest()
                if self._line.publish(key, content, instead_of):
                    return self._published(key, 0 if before is None else before[1], until)
                time.sleep(LOOK_S)  # another's is there, which is not read yet
        raise EnvironmentFault(f"configuration {key}: others changed it in Nacos for {PUBLISH_S:g} s; try again")

    def get(self, key: str, after: int = 0, wait_s: float = 0.0) -> Entry | None:
        """As in `Coordinator`."""
        checked(key)
        entry = self._read(key)
        if entry is not None and entry.version != after:
            return entry
        if wait_s <= 0:
            return None
        changes: SimpleQueue[Entry] = SimpleQueue()
        until = time.monotonic() + wait_s
        watch = self.watch(key, changes.put)
        try:
            while (left := until - time.monotonic()) > 0:
                entry = changes.get(timeout=left)
                if entry.version != after:
                    return entry
        except Empty:
            pass
        finally:
            watch.close()
        return None

    def watch(self, key: str, told: Callable[[Entry], None]) -> Watch:
        """As in `Coordinator`: in one thread for all watches, and the last entry stays while the servers are away."""
        checked(key)
        self._own()
        return self._watches.watch(key, told)

    def probe(self) -> str:
        """Registers, lists, deregisters, publishes, reads and removes something of its own; a sentence about the servers."""
        name, begin = f"probe-{uuid.uuid4().hex[:12]}", time.monotonic()
        version = self._http.version()
        self.register(name, "probe", "http://127.0.0.1:1", {})
        try:
            if [instance.name for instance in self.instances(name)] != ["probe"]:
                raise EnvironmentFault("Nacos does not list what was registered; see its log")
        finally:
            self.deregister(name, "probe")
        self.publish(name, "probe")
        try:
            if (entry := self.get(name)) is None or entry.text != "probe":
                raise EnvironmentFault("Nacos does not give what was published; see its log")
        finally:
            self._http.remove(name)
        took_s = time.monotonic() - begin
        return f"Nacos {version}, namespace {self._http.namespace}: registered and published within {took_s:.1f} s"

    def close(self) -> None:
        """Deregisters what this process registered, ends watches, threads and connections, within some seconds."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._watches.close()
        self._keeper.close()
        self._line.close()
        self._http.close()

    def _own(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("this coordinator's threads stayed in the parent; make one after the fork")

    def _prepare(self) -> None:
        """Before anything is written."""
        if not self._ready:
            self._ready = self._http.make_namespace()

    def _read(self, key: str) -> Entry | None:
        found = self._http.read(key)
        return None if found is None else Entry(key, _text(found[0]), found[1])

    def _published(self, key: str, before: int, until: float) -> Entry:
        """What is there once a change is read: some 0.1 s after it was published."""
        while time.monotonic() < until:
            entry = self._read(key)
            if entry is not None and entry.version != before:
                if entry.version < before:
                    _log.warning("configuration %s: the clock of Nacos was set back, and its version with it", key)
                return entry
            time.sleep(LOOK_S)
        raise EnvironmentFault(f"configuration {key} was published, but Nacos does not give it; see its log")


def _instances(service: str, found: Iterable[Registration]) -> list[Instance]:
    """By name; of those with the same the latest."""
    latest: dict[str, Registration] = {}
    for one in sorted(found, key=lambda one: (len(since := one.metadata.get(SINCE, "")), since, one.ip, one.port)):
        latest[one.metadata.get(NAME, f"{one.ip}:{one.port}")] = one
    return [
        Instance(
            service,
            name,
            one.metadata.get(ADDRESS, f"http://{one.ip}:{one.port}"),
            {key: text for key, text in one.metadata.items() if not key.startswith("edgebed.")},
        )
        for name, one in sorted(latest.items())
    ]


def _content(text: str) -> str:
    return MARK + text if not text.strip() or text.startswith(MARK) else text


def _text(content: str) -> str:
    return content.removeprefix(MARK)
