"""Says again and again that a service is there, and hears what it is to use: one request a second to the controller.

The controller keeps a heartbeat for `HOLD_S` before it answers, and answers at once when a configuration that the service
listens to is another than the one it knows. So news travel in milliseconds, with no more messages than heartbeats alone.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerError

PATH = "/v1/heartbeats"
"""Takes `{service, name, address, metadata, known: {key: version}, waitSeconds}` as JSON bytes; answered with nothing, or with
`{entries: [{key, text, version}]}`.
"""
INTERVAL_S = 1.0
"""Between two heartbeats."""
HOLD_S = 1.0
"""How long the controller may keep one."""
ANSWER_S = 2.0
"""How long the answer may take beyond that."""

Entries = Sequence[Mapping[str, Any]]
"""Configurations with `key`, `text` and `version`."""

_log = logging.getLogger(__name__)


class Heartbeat:
    """Of one service, from now until it is stopped; a controller that was away finds it again."""

    def __init__(
        self,
        service: str,
        name: str,
        address: str,
        controller: str,
        token: str | None,
        *,
        metadata: Mapping[str, str] | None = None,
        keys: Sequence[str] = (),
        told: Callable[[Entries], None] = lambda _: None,
    ) -> None:
        """`told` is called, on the event loop, with those of the configurations `keys` that are there, then that changed."""
        self._content = {"service": service, "name": name, "address": address, "metadata": dict(metadata or {})}
        self._known = dict.fromkeys(keys, 0)
        self._told = told
        self.fault: str | None = "the controller has not answered yet"
        """Why the controller does not hear this service; None when it does."""
        self._missed = False
        # Time enough to ask for a name, or for a connection, once more where the first packet got lost.
        self._peer = Peer(controller, token=token, limit=1, connect_timeout_s=HOLD_S + ANSWER_S)
        self._task = asyncio.get_running_loop().create_task(self._beat(), name="heartbeat")

    async def stop(self) -> None:
        """No more; the registry forgets the service after a few seconds."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._peer.close()

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begin = loop.time()
            news = False
            try:
                news = self._hear(await self._peer.post(PATH, self._body(), timeout_s=HOLD_S + ANSWER_S))
                self._take_note(None)
            except PeerError as error:
                self._take_note(str(error))
            except (ValueError, KeyError, TypeError) as error:
                self._take_note(f"it answers something odd ({error})")
            if not news:
                await asyncio.sleep(max(0.0, begin + INTERVAL_S - loop.time()))

    def _take_note(self, fault: str | None) -> None:
        """Says it once, and once more when the reason becomes another: away, then there and silent, is worth to know."""
        if fault is not None and fault != self.fault:
            _log.warning("the controller does not hear this service: %s", fault)
        elif fault is None and self._missed:
            _log.warning("the controller hears this service now")
        self.fault, self._missed = fault, fault is not None

    def _body(self) -> bytes:
        listening = {"known": self._known, "waitSeconds": HOLD_S} if self._known else {}
        return json.dumps({**self._content, **listening}).encode()

    def _hear(self, answer: bytes) -> bool:
        """Whether there was something new."""
        if not answer:
            return False
        entries = [entry for entry in json.loads(answer)["entries"] if self._known[entry["key"]] != entry["version"]]
        self._known |= {entry["key"]: int(entry["version"]) for entry in entries}
        if entries:
            self._told(entries)
        return bool(entries)
