"""Which processes make the testbed: nodes in the order of their names, one generator, one trainer.

A service that was heard of once is remembered: a node that went away keeps its index, for when it comes back under its name,
at the address that it had or, as pods do, at another.
"""

import re
import threading
import time
from collections.abc import Callable

from edgebed.experiment.errors import EnvironmentFault
from edgebed.live.documents import ControllerSettings
from edgebed.live.in_use import InUse
from edgebed.settings import DEFAULT_TESTBED
from edgebed.stores.coordination import Coordinator, Instance

_POLL_S = 0.05


class Stopped(Exception):
    """Somebody asked to stop."""


def pausing(stop: threading.Event) -> Callable[[float], None]:
    """Waits so many seconds. Raises Stopped as soon as somebody asks to stop."""

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise Stopped

    return pause


class Directory:
    """Reads the registry."""

    def __init__(
        self,
        coordinator: Coordinator,
        wait_s: float | None = None,
        settings: InUse[ControllerSettings] | None = None,
        testbed: str = DEFAULT_TESTBED,
        least_s: float = 0.0,
    ) -> None:
        """`wait_s` is how long to wait for services that are being started, if it is not what the settings say.

        Services of other testbeds than `testbed` are passed over.
        """
        self._coordinator, self._wait_s, self.testbed = coordinator, wait_s, testbed
        self._settings, self._least_s = settings or InUse(ControllerSettings), least_s
        self._known: dict[tuple[str, str], Instance] = {}

    def of(self, testbed: str, least_s: float = 0.0) -> "Directory":
        """The services of another testbed in the same registry, waited for for `least_s` at least."""
        return Directory(self._coordinator, self._wait_s, self._settings, testbed, least_s)

    def nodes(self, count: int, stop: threading.Event) -> list[Instance]:
        """`count` edge nodes by name, node-2 before node-10. Raises EnvironmentFault when there are not so many in time."""
        return self._wait("edge-node", count, stop)[:count]

    def one(self, service: str, stop: threading.Event) -> Instance:
        """The instance of a service of which one is enough; the latest that was started. Raises like `nodes`."""
        return max(self._wait(service, 1, stop), key=_started)

    def there(self, service: str) -> dict[str, Instance]:
        """Who was heard of lately, by name; nobody while the registry is away. Waits for nobody."""
        try:
            found = self._current(service)
        except EnvironmentFault:
            return {}
        return {instance.name: instance for instance in found}

    def latest(self, service: str) -> Instance | None:
        """Of those, the latest that was started."""
        return max(self.there(service).values(), key=_started, default=None)

    def _wait(self, service: str, count: int, stop: threading.Event) -> list[Instance]:
        wait_s = self._settings.values.service_wait_seconds if self._wait_s is None else self._wait_s
        wait_s = max(wait_s, self._least_s)
        until = time.monotonic() + wait_s
        while True:
            away = ""
            try:
                current = self._current(service)
            except EnvironmentFault as error:  # that the registry is away says nothing about those that were there
                current, away = self._remembered(service), str(error)
            self._known |= {(i.service, i.name): i for i in current}
            if len(current) >= count:
                return sorted(current if count == 1 else self._remembered(service), key=_by_name)
            if time.monotonic() >= until:
                break
            if stop.wait(_POLL_S):
                raise Stopped
        found = self._remembered(service)
        if len(found) >= count:  # they were there, so whoever asks them learns that they are lost
            return sorted(found, key=_by_name)
        names = ", ".join(sorted(i.name for i in found)) or "none"
        said = f"{len(found)} of {count} {service} services have registered within {wait_s:g} s ({names})"
        if away:
            raise EnvironmentFault(f"{said}, and the registry cannot be asked: {away}")
        raise EnvironmentFault(
            f"{said}; start the others with EDGEBED_CONTROLLER set to this controller's address, or with its coordination"
        )

    def _current(self, service: str) -> list[Instance]:
        found = self._coordinator.instances(service)
        return [i for i in found if i.metadata.get("testbed", DEFAULT_TESTBED) == self.testbed]

    def _remembered(self, service: str) -> list[Instance]:
        return [instance for instance in self._known.values() if instance.service == service]


def _started(instance: Instance) -> tuple[str, str]:
    return instance.metadata.get("startedAt", ""), instance.name


_by_name: Callable[[Instance], list[tuple[int, str]]] = lambda instance: [  # noqa: E731  # a key
    (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", instance.name)
]
