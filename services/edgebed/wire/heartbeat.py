"""Says again and again that a service is there: what keeps it in the controller's registry."""

import asyncio
import contextlib
import json
import logging

from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerError

PATH = "/v1/heartbeats"
"""Takes `{service, name, address, metadata}` as JSON bytes."""
INTERVAL_S = 1.0

_log = logging.getLogger(__name__)


class Heartbeat:
    """Of one service, from now until it is stopped; a controller that was away finds it again."""

    def __init__(self, service: str, name: str, address: str, controller: str, token: str | None) -> None:
        content = {"service": service, "name": name, "address": address, "metadata": {}}
        self._body = json.dumps(content).encode()
        self._peer = Peer(controller, token=token, limit=1)
        self._task = asyncio.get_running_loop().create_task(self._beat(), name="heartbeat")

    async def stop(self) -> None:
        """No more; the registry forgets the service after a few seconds."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._peer.close()

    async def _beat(self) -> None:
        heard = True
        while True:
            try:
                await self._peer.post(PATH, self._body)
                heard = True
            except PeerError as error:
                if heard:
                    _log.warning("the controller does not hear this service: %s", error)
                heard = False
            await asyncio.sleep(INTERVAL_S)
