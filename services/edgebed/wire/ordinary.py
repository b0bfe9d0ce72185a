"""uvicorn's protocol as a part of ours: it runs the ASGI application for the requests that we pass to it.

Ours decides how long a connection is kept and what a malformed request is told; this one is told bytes and tells when an answer
is complete. `tests/unit/wire` hold what we take from uvicorn to its word.
"""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edgebed.wire.shared import Shared


class Ordinary(HttpToolsProtocol):
    """On the transport of a hot connection."""

    def __init__(self, shared: Shared, answered: Callable[[], None], malformed: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(shared.config, shared.server_state, shared.app_state, loop)
        self._tell_answered, self._tell_malformed = answered, malformed
        self.last = False
        """Whether the connection ends with the next answer."""

    @property
    def running(self) -> bool:
        """Whether a request has arrived to its end, and its answer is not complete."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def leave(self) -> None:
        """The peer is told something else: a request in work goes on as if the peer had left."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def on_headers_complete(self) -> None:
        """A request begins."""
        super().on_headers_complete()
        if self.last and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """An answer is complete."""
        super().on_response_complete()
        self._unset_keepalive_if_required()
        self._tell_answered()

    def send_400_response(self, msg: str) -> None:
        """The request is malformed."""
        self._tell_malformed()
