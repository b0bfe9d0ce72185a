"""kopf wakes the shell: one thread with an event loop of its own, that watches one namespace and decides nothing.

kopf keeps a stream for every kind of object, goes on after interruptions, and logs in again when credentials expire. It is
told to keep nothing in the objects: no finalizers, no annotations, no peering, and no look beyond the namespace.
A watch that ends is started again; so is one that `heard` has proved dead.
"""

import asyncio
import logging
import threading
import time
from typing import Any

import kopf

from edgebed.operator.access import connection
from edgebed.operator.names import EXPERIMENT_LABEL, GROUP, UID_LABEL
from edgebed.operator.shell import Shell

OWNED = (
    ("", "v1", "pods"),
    ("", "v1", "services"),
    ("", "v1", "configmaps"),
    ("apps", "v1", "statefulsets"),
    ("apps", "v1", "deployments"),
    ("batch", "v1", "jobs"),
)
"""Kinds of what experiments own."""
RESTART_S = (1.0, 2.0, 5.0, 15.0)
STOP_S = 15.0
CLOSING_S = 0.25
"""aiohttp closes encrypted connections in the background, and needs its loop for that."""
SOUND_S = 60.0
"""A watch that lasted so long was no failure when it ended."""

_log = logging.getLogger(__name__)


class Watch:
    """Watches from `start` until `close`."""

    def __init__(self, shell: Shell, namespace: str) -> None:
        self._shell, self._namespace = shell, namespace
        self.started = 0
        """How often a watch was begun."""
        self._closing = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="operator's watch", daemon=True)

    def start(self) -> None:
        """In a thread of its own."""
        self._thread.start()

    def restart(self) -> None:
        """The watch tells nothing any more: another takes its place."""
        _log.warning("the watch no longer tells what the API server knows; it is started again")
        self._shell.heard.begin_anew(time.monotonic())
        self._stop.set()

    def close(self) -> None:
        """Ends the thread."""
        self._closing.set()
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)

    def _work(self) -> None:
        failures = 0
        while not self._closing.is_set():
            self._stop.clear()
            if self._closing.is_set():
                return
            began = time.monotonic()
            self.started += 1
            try:
                asyncio.run(self._watch())
            except Exception as error:
                _log.warning("the watch ended: %s: %s", type(error).__name__, error)
            failures = 0 if time.monotonic() - began > SOUND_S else failures + 1
            self._shell.list_again()  # what happened meanwhile was not heard
            self._closing.wait(RESTART_S[min(failures, len(RESTART_S)) - 1] if failures else RESTART_S[0])

    async def _watch(self) -> None:
        try:
            await kopf.operator(
                registry=registry_of(self._shell),
                settings=_settings(),
                namespaces=[self._namespace],
                standalone=True,
                stop_flag=self._stop,
            )
        finally:
            await asyncio.sleep(CLOSING_S)


def registry_of(shell: Shell) -> kopf.OperatorRegistry:
    """The handlers, each a line."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def logged_in(**_: Any) -> kopf.ConnectionInfo:
        return connection()

    @kopf.on.event(GROUP, "v1alpha1", "experiments", registry=registry)
    async def experiment(event: Any, **_: Any) -> None:
        gone = event["type"] == "DELETED"
        shell.heard.tell(event["object"], gone=gone)
        if gone:
            shell.list_again()
        else:
            shell.wake(event["object"]["metadata"]["name"])

    async def owned(event: Any, **_: Any) -> None:
        shell.wake(event["object"]["metadata"]["labels"][EXPERIMENT_LABEL])

    for group, version, plural in OWNED:
        labels = {EXPERIMENT_LABEL: kopf.PRESENT}
        kopf.on.event(group, version, plural, registry=registry, id=plural, labels=labels)(owned)
    return registry


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # of kinds and namespaces: that would need rights in the whole cluster
    settings.posting.enabled = False
    settings.networking.request_timeout = 30
    settings.watching.connect_timeout = 10
    for group, version, plural in OWNED:
        settings.watching.label_selectors[group, version, plural] = UID_LABEL
    return settings
