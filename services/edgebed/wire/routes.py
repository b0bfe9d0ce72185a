"""What a service serves on its hot path, and how much of whom it bears.

A hot path is an exact path whose POST requests bypass FastAPI. Its handler runs on the event loop, so it returns at once
or is a coroutine. `HotRoutes` is the only list of them: the lean protocol serves it, and so does the ASGI application
for requests that the protocol leaves to it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol


class UploadReceiver(Protocol):
    """One upload in progress. Exactly one of `complete` and `lost` is called, unless a method raised before."""

    def received(self, count: int) -> None:
        """So many bytes of the payload more have arrived; they are not kept. May raise Problem: then it is over."""

    def complete(self) -> bytes:
        """The last byte is there: returns the body of the answer, or raises Problem."""

    def lost(self) -> None:
        """The sender broke off, or was silent for too long."""


Unary = Callable[[bytes, str | None], bytes | Awaitable[bytes]]
"""From the body and its content type to the body of the answer; raises Problem to refuse."""

Upload = Callable[[bytes, int], UploadReceiver]
"""From the head message and the number of payload bytes that follow to who receives them; raises Problem to refuse."""


@dataclass
class HotRoutes:
    """Exact paths and who answers a POST to them."""

    unary: dict[str, Unary] = field(default_factory=dict)
    """A whole body in, a whole body out."""
    uploads: dict[str, Upload] = field(default_factory=dict)
    """Body: `varint(len(head)) head payload`."""
    largest: dict[str, int] = field(default_factory=dict)
    """Bytes that a unary body may have, where that differs from `Limits.unary_bytes`."""


@dataclass(frozen=True)
class Limits:
    """How much a server takes from one peer, and for how long it waits for one. Times are checked a few times a second."""

    head_bytes: int = 16 * 1024
    """Request line and headers."""
    unary_bytes: int = 64 * 1024
    """Body of a hot unary request."""
    upload_head_bytes: int = 16 * 1024
    """Head message of an upload."""
    payload_bytes: int = 1 << 30
    """Declared payload of an upload."""
    ordinary_bytes: int = 64 << 20
    """Body of a request for the FastAPI application."""
    head_s: float = 5.0
    """From the first byte of a request to the end of its headers."""
    body_s: float = 10.0
    """From there to the end of a unary body."""
    idle_s: float = 10.0
    """Without `idle_bytes` more of an upload or of an ordinary body."""
    idle_bytes: int = 1024
    odd_s: float = 30.0
    """From the first byte of a request that is not plain to the end of its body."""
    keep_alive_s: float = 120.0
    """Without a request; longer than our client keeps a connection that it does not use."""
    stall_s: float = 10.0
    """Without the peer taking the answers that wait for it."""
    linger_s: float = 2.0
    """For a peer to read why it was refused while it is still sending."""
    connections: int = 900
    """At once; below the usual limit of 1024 open files, so that a crowd cannot keep others from being told why."""
