"""A link of a given rate: real bytes on a kept connection, on an absolute schedule.

Of a transfer that begins at b with rate r, (x - b) * r bytes are due at instant x. Pieces are written at the ticks of one grid
that all links of the process share, so that one wake-up serves them all, and the last byte is written at exactly b + size / r.
Every process has another grid, so that not all of them write at the same moments. The schedule is absolute: a piece that was
written late is followed by a longer one, and nothing adds up. Only the last piece has to be on time, so it is kept short, and
the pieces before it give way to it (`clock`).

    waiting --begins--> opening --connected--> flowing --last byte--> ended: sent
    any of these: --cut_after_s--> ended: cut; --peer gone--> ended: lost; --stop()--> nothing is told

A transfer that fails is cut by resetting the connection: the receiver sees bytes end, as with a real broken link. Its last byte
is never written, however late the cut is noticed. A connection is opened ahead, and again at once after a cut, so that
opening one does not delay the next transfer.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal

from edgebed.emulation.clock import Clock, Timer
from edgebed.wire.client import Peer, Upload
from edgebed.wire.errors import PeerError, PeerSilent

GRID_S = 0.004
"""Distance of two ticks; a slow link, whose pieces then still have at most `PIECE_BYTES`, leaves every other one out."""
PIECE_BYTES = 160_000
"""Fits a socket's buffer; what a link of 40 MB/s sends from one tick to the next."""
NEAR_S = 0.009
"""How long before its end a transfer takes precedence over other nodes' work: from the last tick of the grid on."""
LAST_PIECE_S = 0.0006
"""The last piece holds the bytes of so much time at most."""
DRAIN_POLL_S = 0.0005
"""How often to look whether the kernel has taken what a slow peer did not."""
OPEN_LIMIT_S = 1.0
"""How long opening a connection may take before the peer counts as lost."""
CONFIRM_LIMIT_S = 5.0
"""How long the peer may take to confirm a transfer after its last byte, and how long it may take none of what is due."""

_log = logging.getLogger(__name__)

Outcome = Literal["sent", "cut", "lost"]


@dataclass(frozen=True, slots=True)
class TransferEnd:
    """How a transfer ended. Instants are the clock's, in seconds."""

    begun: float
    """As planned."""
    ended: float
    """When the last byte was handed to the kernel, when the connection was cut, or when it was found broken."""
    outcome: Outcome
    sent_bytes: int
    """Of the payload."""
    error: PeerError | None = None
    """Why it was lost."""


class _Transfer:
    """The one in progress."""

    __slots__ = (
        "begins",
        "cut_at",
        "ended",
        "grid_s",
        "last_at",
        "moved_at",
        "phase_s",
        "rate",
        "size",
        "timers",
        "unconfirmed",
        "unsent",
        "upload",
        "written",
    )

    def __init__(
        self,
        size: int,
        rate: float,
        begins: float,
        cut_at: float,
        ended: Callable[[TransferEnd], None],
        unconfirmed: Callable[[PeerError], None] | None,
        phase: float,
    ) -> None:
        self.grid_s = GRID_S * (2 if 2 * GRID_S * rate <= PIECE_BYTES else 1)
        self.phase_s = phase * self.grid_s
        self.size, self.rate, self.begins, self.cut_at = size, rate, begins, cut_at
        self.last_at = begins + size / rate
        self.ended, self.unconfirmed = ended, unconfirmed
        self.written = 0
        self.unsent, self.moved_at = size + 1, begins  # what the kernel had not taken, and since when
        self.upload: Upload | None = None
        self.timers: dict[str, Timer] = {}

    def due(self, now: float) -> int:
        """How many bytes should have been written by now."""
        if now < self.last_at:
            return min(max(0, int((now - self.begins) * self.rate)), self.size - 1)
        return self.size if math.isinf(self.cut_at) else self.size - 1

    def next_at(self, now: float) -> float:
        """When to write next: at the grid's next tick, shortly before the end, or at the end."""
        tick = (math.floor((now - self.phase_s) / self.grid_s) + 1) * self.grid_s + self.phase_s
        near = self.last_at - LAST_PIECE_S
        if tick < near:
            return tick
        return near if now < near else self.last_at


class PacedLink:
    """One ordered pair of nodes: one transfer at a time."""

    def __init__(self, clock: Clock, peer: Peer, path: str, payload: memoryview) -> None:
        """To an upload path of a peer, on the running loop; `payload` is what the bytes are taken from, over and over."""
        self._clock, self._peer, self._path = clock, peer, path
        self._payload = payload.cast("B")
        self._current: _Transfer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open_ahead()

    def send(
        self,
        head: bytes,
        size_bytes: int,
        rate_bytes_per_s: float,
        begins: float,
        ended: Callable[[TransferEnd], None],
        cut_after_s: float | None = None,
        unconfirmed: Callable[[PeerError], None] | None = None,
    ) -> None:
        """Sends `size_bytes` from the instant `begins` on, which may have passed, and tells `ended`, once, from the loop.

        With `cut_after_s` it fails so long after `begins`. `unconfirmed` is told when a peer that was sent everything
        then did not confirm it: it went away, or refused.
        """
        if self._current is not None:
            raise RuntimeError("a transfer is in progress on this link; wait for its end, or stop it")
        if size_bytes < 1 or not rate_bytes_per_s > 0:
            raise ValueError(f"{size_bytes} bytes at {rate_bytes_per_s} bytes/s cannot be sent; give numbers over 0")
        cut_at = math.inf if cut_after_s is None else begins + cut_after_s
        transfer = _Transfer(size_bytes, rate_bytes_per_s, begins, cut_at, ended, unconfirmed, self._clock.phase)
        self._current = transfer
        if cut_at < math.inf:
            transfer.timers["cut"] = self._clock.at(cut_at, lambda: self._cut(transfer))
        if begins > self._clock.now():
            transfer.timers["write"] = self._clock.at(begins, lambda: self._begin(transfer, head))
        else:
            self._begin(transfer, head)

    def stop(self) -> None:
        """Gives the transfer in progress up, if there is one; its end is not told any more."""
        if self._current is not None:
            self._abandon(self._current)
            self._open_ahead()

    def close(self) -> None:
        """No more transfers."""
        if self._current is not None:
            self._abandon(self._current)
        for task in self._tasks:
            task.cancel()

    @property
    def busy(self) -> bool:
        """Whether a transfer is in progress."""
        return self._current is not None

    def _begin(self, transfer: _Transfer, head: bytes) -> None:
        self._spawn(self._open(transfer, head))

    async def _open(self, transfer: _Transfer, head: bytes) -> None:
        try:
            upload = await self._peer.upload(self._path, head, transfer.size, timeout_s=OPEN_LIMIT_S)
        except PeerError as error:
            self._lose(transfer, error)
            return
        if self._current is not transfer:  # stopped or cut meanwhile
            upload.cut()
            return
        transfer.upload = upload
        upload.on_lost = lambda error: self._lose(transfer, error)
        if upload.error is not None:  # broken already, before anybody could be told
            self._lose(transfer, upload.error)
            return
        self._write(transfer)

    def _write(self, transfer: _Transfer) -> None:
        """Writes what is due, and arranges for the rest."""
        upload = transfer.upload
        assert upload is not None  # it flows
        now = self._clock.now()
        self._write_up_to(transfer, upload, transfer.due(now))
        if self._current is not transfer:  # broken by writing
            return
        if transfer.written == transfer.size:
            self._drain(transfer)
        elif now < transfer.last_at:
            at = transfer.next_at(now)
            last = at >= transfer.last_at
            if transfer.last_at - now < NEAR_S:
                self._clock.precedence.at_once(self, wanted=True)
            timer = self._clock.at(at, lambda: self._write(transfer), patient=not last, exact=last)
            transfer.timers["write"] = timer

    def _write_up_to(self, transfer: _Transfer, upload: Upload, due: int) -> None:
        payload, around = self._payload, len(self._payload)
        while transfer.written < due:
            offset = transfer.written % around
            piece = payload[offset : min(around, offset + due - transfer.written)]
            transfer.written += len(piece)
            upload.write(piece)

    def _drain(self, transfer: _Transfer) -> None:
        """Ends once the kernel has everything: at once, unless the peer cannot keep up; one that takes nothing is lost."""
        upload = transfer.upload
        assert upload is not None  # it flows
        if unsent := upload.unsent:
            now = self._clock.now()
            if unsent < transfer.unsent:
                transfer.unsent, transfer.moved_at = unsent, now
            elif now - transfer.moved_at > CONFIRM_LIMIT_S:
                self._lose(transfer, PeerSilent(f"{self._peer.address}{self._path}: took nothing any more"))
                return
            transfer.timers["write"] = self._clock.at(now + DRAIN_POLL_S, lambda: self._drain(transfer))
            return
        upload.on_lost = None  # from here on, `finish` tells
        self._spawn(self._confirm(transfer, upload))
        self._end(transfer, "sent")

    async def _confirm(self, transfer: _Transfer, upload: Upload) -> None:
        try:
            await upload.finish(CONFIRM_LIMIT_S)
        except PeerError as error:
            if transfer.unconfirmed is not None:
                transfer.unconfirmed(error)
            else:
                _log.warning("a transfer of %d bytes was not confirmed: %s", transfer.size, error)

    def _cut(self, transfer: _Transfer) -> None:
        """The failure instant: what is due until then has been written, and no more comes."""
        if transfer.upload is not None:
            self._write_up_to(transfer, transfer.upload, min(transfer.due(transfer.cut_at), transfer.size - 1))
        if self._current is not transfer:
            return
        self._abandon(transfer)
        self._open_ahead()
        self._tell(transfer, "cut")

    def _lose(self, transfer: _Transfer, error: PeerError) -> None:
        if self._current is transfer:
            self._abandon(transfer)
            self._open_ahead()
            self._tell(transfer, "lost", error)

    def _abandon(self, transfer: _Transfer) -> None:
        self._release(transfer)
        if transfer.upload is not None:
            transfer.upload.on_lost = None
            transfer.upload.cut()

    def _end(self, transfer: _Transfer, outcome: Outcome) -> None:
        self._release(transfer)
        self._tell(transfer, outcome)

    def _release(self, transfer: _Transfer) -> None:
        self._current = None
        self._clock.precedence.at_once(self, wanted=False)
        for timer in transfer.timers.values():
            timer.cancel()

    def _tell(self, transfer: _Transfer, outcome: Outcome, error: PeerError | None = None) -> None:
        transfer.ended(TransferEnd(transfer.begins, self._clock.now(), outcome, transfer.written, error))

    def _open_ahead(self) -> None:
        """Has a connection ready for the next transfer. If that fails, the transfer itself will tell."""
        self._spawn(self._connect())

    async def _connect(self) -> None:
        try:
            await self._peer.open()
        except PeerError as error:
            _log.debug("no connection ahead: %s", error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
