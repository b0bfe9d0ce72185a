"""A service among the others: registered as long as it runs, and told what it is to use.

    member = Member(settings, "edge-node", "node-3", [tuning, policies])
    member.join(coordinator_of(settings))              # on the service's event loop, once it serves
    member.state(); await member.stop()

With the controller's own coordination a service sends heartbeats to EDGEBED_CONTROLLER, which answers with news
(`wire.heartbeat`); with another (Nacos), and in the controller itself, a thread registers with a `Coordinator` and watches.
Whatever is away, the service goes on with what it has, says so in its log and its state, and tries again.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from edgebed import __version__
from edgebed.experiment.errors import EdgebedError
from edgebed.live.documents import ServiceSettings
from edgebed.live.in_use import Cache, InUse
from edgebed.settings import DEFAULT_TESTBED, Settings
from edgebed.stores.coordination import HEARTBEAT_S, Coordinator, Entry, Watch
from edgebed.wire.heartbeat import Entries, Heartbeat

LEAVE_S = 3.0
"""How long a service that stops waits for the thread that takes it out of the registry."""
SEEK_S = 5.0
"""How often the controller's address is looked for where it was not given."""

_log = logging.getLogger(__name__)

Told = Callable[[Entries], None]


class _Link(Protocol):
    """How a service is in touch with the coordination."""

    @property
    def fault(self) -> str | None:
        """Why it is not."""

    @property
    def controller(self) -> str | None:
        """Where the controller is, as far as it is known."""

    async def stop(self) -> None:
        """Leaves."""


class Member:
    """One service: not in the registry before it joins, but what it has used last is in use from the beginning."""

    def __init__(
        self,
        settings: Settings,
        service: str,
        name: str,
        in_use: Sequence[InUse[Any]],
        *,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """`in_use` is kept as it is published."""
        # Of several testbeds in one registry, each has its node-1.
        self._name = name if settings.testbed == DEFAULT_TESTBED else f"{name}.{settings.testbed}"
        self._settings, self._service = settings, service
        self._in_use = {one.key: one for one in in_use}
        self._cache = Cache(settings.cache)
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._about = {"version": __version__, "startedAt": started, "pid": str(os.getpid()), **(metadata or {})}
        self._about["testbed"] = settings.testbed
        self._link: _Link | None = None
        self._writing: threading.Thread | None = None
        for key, one in self._in_use.items():
            if issubclass(one.model, ServiceSettings):
                one.also(lambda values: _log_level(values, settings.log_level))
            found = self._cache.find(key)
            if found is not None:
                one.take(*found, from_cache=True)

    def join(
        self, coordinator: Coordinator | None = None, first: Callable[[Coordinator], None] = lambda _: None
    ) -> None:
        """On the service's event loop, once it serves: registers and listens from now on, and waits for nothing.

        `coordinator` is what to register with, in a thread that does `first` before it listens, and closes it at last; without
        it, heartbeats go to EDGEBED_CONTROLLER, and a service that was not given one stays by itself.
        """
        settings, keys = self._settings, list(self._in_use)
        if coordinator is not None:
            me = (self._service, self._name, settings.advertise, self._about)
            self._link = _ByCoordinator(coordinator, first, me, keys, self._told, settings.controller)
        elif settings.controller is not None:
            heartbeat = Heartbeat(
                self._service,
                self._name,
                settings.advertise,
                settings.controller,
                settings.token,
                metadata=self._about,
                keys=keys,
                told=self._told,
            )
            self._link = _ByHeartbeat(settings.controller, heartbeat)

    def state(self) -> dict[str, Any]:
        """For people, as JSON: who is told what, and what is in use."""
        link = self._link
        alone = "no coordination was given; set EDGEBED_CONTROLLER"
        return {
            "coordination": {
                "kind": self._settings.coordination.partition(":")[0],
                "fault": alone if link is None else link.fault,
                "controller": None if link is None else link.controller,
            },
            "configuration": {key: one.shown() for key, one in self._in_use.items()},
        }

    async def stop(self) -> None:
        """Leaves the registry, and hears no more."""
        if self._link is not None:
            await self._link.stop()
        if self._writing is not None:
            await asyncio.to_thread(self._writing.join)

    def _told(self, entries: Entries) -> None:
        """On the event loop: a document is read in less than a millisecond, but a disk may take its time."""
        found = [(str(one["key"]), str(one["text"]), int(one["version"])) for one in entries]
        good = [one for one in found if one[0] in self._in_use and self._in_use[one[0]].take(*one[1:])]
        good = [one for one in good if self._cache.lacks(*one)]
        if good:
            before = self._writing
            self._writing = threading.Thread(target=self._keep, args=(good, before), name="cache", daemon=True)
            self._writing.start()

    def _keep(self, good: Sequence[tuple[str, str, int]], before: threading.Thread | None) -> None:
        if before is not None:
            before.join()  # in order
        for one in good:
            self._cache.keep(*one)


class _ByHeartbeat:
    """With the controller's own coordination: lean, for nodes."""

    def __init__(self, controller: str, heartbeat: Heartbeat) -> None:
        self.controller = controller
        self._heartbeat = heartbeat

    @property
    def fault(self) -> str | None:
        return self._heartbeat.fault

    async def stop(self) -> None:
        await self._heartbeat.stop()


class _ByCoordinator:
    """With a coordinator, whose calls may take their time: in a thread."""

    def __init__(
        self,
        coordinator: Coordinator,
        first: Callable[[Coordinator], None],
        me: tuple[str, str, str, Mapping[str, str]],
        keys: Sequence[str],
        told: Told,
        controller: str | None,
    ) -> None:
        self.fault: str | None = "the coordination has not answered yet"
        self.controller = controller
        self._coordinator, self._first = coordinator, first
        self._me, self._keys, self._told = me, keys, told
        self._given = controller is not None
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="member", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, LEAVE_S)

    def _run(self) -> None:
        coordinator = self._coordinator
        watches: dict[str, Watch] = {}
        begun, heard, sought = False, True, -SEEK_S
        while not self._stopping.is_set():
            begin = time.monotonic()
            try:
                coordinator.register(*self._me)
                if not begun:
                    self._first(coordinator)
                    begun = True
                for key in self._keys:
                    if key not in watches:
                        watches[key] = coordinator.watch(key, self._tell)
                if not self._given and begin - sought >= SEEK_S:
                    sought = begin
                    self.controller = self._seek() or self.controller
                heard, self.fault = True, None
            except EdgebedError as error:
                if heard:
                    _log.warning("the coordination does not hear this service: %s", error)
                heard, self.fault = False, str(error)
            self._stopping.wait(max(0.0, begin + HEARTBEAT_S - time.monotonic()))
        for watch in watches.values():
            watch.close()
        with contextlib.suppress(EdgebedError):
            coordinator.deregister(*self._me[:2])
        coordinator.close()

    def _seek(self) -> str | None:
        """The controller of this testbed."""
        mine = self._me[3].get("testbed")
        found = self._coordinator.instances("controller")
        return next((one.address for one in found if one.metadata.get("testbed", DEFAULT_TESTBED) == mine), None)

    def _tell(self, entry: Entry) -> None:
        found = {"key": entry.key, "text": entry.text, "version": entry.version}
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._told, [found])


def coordinator_of(settings: Settings) -> Coordinator | None:
    """The coordinator of the settings; None where that is the controller's own, which services reach by heartbeats.

    Raises UserError for one that cannot be as it is written; nothing is asked of it yet.
    """
    if settings.coordination == "embedded":
        return None
    from edgebed.stores.coordination import open_coordinator

    return open_coordinator(
        settings.coordination,
        settings.coordination_user,
        settings.coordination_password,
        settings.cache / f"nacos-{settings.service}-{settings.advertise.rpartition(':')[2]}",
        light=settings.service == "edge-node",
    )


def _log_level(values: ServiceSettings, otherwise: str) -> None:
    logging.getLogger().setLevel((values.log_level or otherwise).upper())
