"""What holds a process's registrations in Nacos and tells of changes: the SDK's connections, or `LightLine`'s questions."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from edgebed.stores.nacos_http import NacosHttp, Registration

WHO, SINCE, NAME, ADDRESS = "edgebed.by", "edgebed.since", "edgebed.name", "edgebed.address"
"""Metadata of ours: which coordinator registered an instance, when (milliseconds), its name and its address."""
BEAT_MS, SILENT_MS, GONE_MS = 2000, 5000, 8000
"""How often a light registration is repeated, and after what silence it is unhealthy, and removed."""
LOOK_S = 10.0
"""How often a light line compares what it registered with what is there."""

_PRESERVED = {
    "preserved.heart.beat.interval": str(BEAT_MS),
    "preserved.heart.beat.timeout": str(SILENT_MS),
    "preserved.ip.delete.timeout": str(GONE_MS),
}


def held(http: NacosHttp, service: str, who: str) -> dict[str, Registration]:
    """By name, what the servers have of a coordinator."""
    return {one.metadata.get(NAME, ""): one for one in http.instances(service) if one.metadata.get(WHO) == who}


class Line(Protocol):
    """Either of them. Raises EnvironmentFault when no server answers. Safe to use from several threads."""

    def hold(self, service: str, registrations: Sequence[Registration]) -> None:
        """Makes these the instances of a service that this process has; none takes them out."""

    def stands(self, service: str, who: str, registrations: Mapping[str, Registration]) -> bool:
        """Whether the servers have these, by name, of coordinator `who`, and no others."""

    def publish(self, key: str, content: str, instead_of: str) -> bool:
        """Sets a configuration where the content there has this MD5 (any, when empty); False where it has another."""

    def listen(self, key: str, changed: Callable[[], None]) -> None:
        """Calls `changed`, in a thread of its own, after each change of a configuration, where this line can."""

    def close(self) -> None:
        """Ends it, and with it the registrations, where they live by it."""


class LightLine:
    """By HTTP: registrations that are repeated, and nothing that is pushed."""

    def __init__(self, http: NacosHttp) -> None:
        self._http = http
        self._held: dict[str, Sequence[Registration]] = {}
        self._looked: dict[str, float] = {}

    def hold(self, service: str, registrations: Sequence[Registration]) -> None:
        """As in `Line`."""
        places = {(one.ip, one.port) for one in registrations}
        for one in self._held.get(service, ()):
            if (one.ip, one.port) not in places:
                self._http.leave(service, one.ip, one.port)
        self._held[service] = registrations
        for one in registrations:
            self._http.enter(service, one.ip, one.port, {**one.metadata, **_PRESERVED})

    def stands(self, service: str, who: str, registrations: Mapping[str, Registration]) -> bool:
        """As in `Line`; what repeats the registrations."""
        known = [self._http.beat(service, one.ip, one.port) for one in registrations.values()]
        if not all(known):
            return False
        now = time.monotonic()
        if now < self._looked.get(service, -LOOK_S) + LOOK_S:
            return True
        stands = held(self._http, service, who) == registrations
        if stands:
            self._looked[service] = now
        return stands

    def publish(self, key: str, content: str, instead_of: str) -> bool:
        """As in `Line`."""
        return self._http.publish(key, content, instead_of)

    def listen(self, key: str, changed: Callable[[], None]) -> None:
        """As in `Line`: never."""

    def close(self) -> None:
        """As in `Line`."""
