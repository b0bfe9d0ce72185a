"""Paced links over the real client, server and sockets: bytes are conserved, never early, and end in one of three ways."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest
import uvloop
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebed.emulation.clock import Clock
from edgebed.emulation.links import PacedLink, TransferEnd
from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerAway, PeerRefused
from edgebed.wire.problems import Problem
from edgebed.wire.routes import HotRoutes
from edgebed.wire.server import serve

PATH = "/v1/tasks"
LIMIT_S = 20  # for what never takes that long
PAYLOAD = memoryview(bytes(range(256)) * 64)


@dataclass
class Received:
    """One transfer as its receiver saw it; a receiver of the server."""

    clock: Clock
    head: bytes
    size: int
    refuse: str = ""
    pieces: list[tuple[float, int]] = field(default_factory=list)
    """(instant, bytes so far)."""
    ended: asyncio.Future[tuple[str, float]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """(how, instant)."""

    def received(self, count):
        self.pieces.append((self.clock.now(), self.count + count))

    def complete(self):
        self.ended.set_result(("complete", self.clock.now()))
        if self.refuse == "end":
            raise Problem(409, "Refused", "at the end")
        return b"ok"

    def lost(self):
        self.ended.set_result(("lost", self.clock.now()))

    @property
    def count(self):
        return self.pieces[-1][1] if self.pieces else 0


@dataclass
class Bench:
    """A link, and a server that notes what comes."""

    clock: Clock
    peer: Peer
    link: PacedLink
    transfers: list[Received]
    refuse: str = ""

    def send(self, size, rate, begins=None, **more):
        """A future of the transfer's end."""
        end = asyncio.get_running_loop().create_future()
        begins = self.clock.now() if begins is None else begins
        self.link.send(b"head %d" % size, size, rate, begins, end.set_result, **more)
        return asyncio.wait_for(end, LIMIT_S)

    async def receiver(self, number=0):
        """The number-th transfer, once its head has arrived."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.transfers) <= number:
                await asyncio.sleep(0.001)
        return self.transfers[number]

    async def received(self, number=0):
        """The number-th transfer, once it has ended."""
        found = await self.receiver(number)
        await asyncio.wait_for(asyncio.shield(found.ended), LIMIT_S)
        return found


@contextlib.asynccontextmanager
async def bench(payload=PAYLOAD):
    clock = Clock()
    transfers: list[Received] = []

    def receive(head, size):
        if made.refuse == "head":
            raise Problem(409, "Refused", "at the head")
        transfers.append(Received(clock, head, size, made.refuse))
        return transfers[-1]

    server = serve(FastAPI(), HotRoutes(uploads={PATH: receive}), ("127.0.0.1", 0))
    await server.start()
    peer = Peer(server.address)
    made = Bench(clock, peer, PacedLink(clock, peer, PATH, payload), transfers)
    try:
        yield made
    finally:
        made.link.close()
        await peer.close()
        await server.stop(1.0)
        clock.close()


@contextlib.asynccontextmanager
async def bare_peer(handle):
    """A clock and a link to a server of bare sockets.

    `handle(reader, writer)` is one connection, perhaps one that stays idle.
    """
    tasks = set()

    async def connected(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handle(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    clock, peer = Clock(), Peer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    link = PacedLink(clock, peer, PATH, PAYLOAD)
    try:
        yield clock, link
    finally:
        link.close()
        await peer.close()
        server.close()
        await asyncio.wait_for(asyncio.gather(*tasks), LIMIT_S)
        await asyncio.sleep(0)  # transports close in the next turn of the loop
        clock.close()


def end_of(link, *arguments):
    """A future of the end of a transfer that is sent now."""
    end = asyncio.get_running_loop().create_future()
    link.send(b"", *arguments, end.set_result)
    return asyncio.wait_for(end, LIMIT_S)


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(1, 300_000),
    seconds=st.floats(0.0001, 0.04),
    after_s=st.floats(-0.02, 0.02),
    around=st.integers(1, 20_000),
)
def test_all_bytes_arrive_and_none_before_it_is_due(size, seconds, after_s, around):
    """Whatever the size and rate, and whether the beginning lies ahead or has passed."""

    async def main():
        async with bench(memoryview(bytes(around))) as b:
            rate, begins = size / seconds, b.clock.now() + after_s
            end = await b.send(size, rate, begins)
            got = await b.received()
            assert (end.outcome, end.sent_bytes, end.begun, end.error) == ("sent", size, begins, None)
            assert end.ended >= begins + size / rate
            assert (got.head, got.size, got.count) == (b"head %d" % size, size, size)
            for instant, count in got.pieces:
                assert count <= (instant - begins) * rate * (1 + 1e-9) + 1
            assert got.ended.result()[0] == "complete"
            assert got.ended.result()[1] >= begins + size / rate

    uvloop.run(main())


def test_the_payload_is_repeated_as_it_is():
    """What is on the wire after the head is the payload, over and over."""
    size = 3 * len(PAYLOAD) + 1000

    async def main():
        stored = asyncio.get_running_loop().create_future()

        async def store(reader, writer):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line.split()[1]) for line in head.lower().splitlines() if b"content-length" in line)
            stored.set_result(await reader.readexactly(length))

        async with bare_peer(store) as (clock, link):
            assert (await end_of(link, size, 10e6, clock.now())).outcome == "sent"
            return await asyncio.wait_for(stored, LIMIT_S)

    assert uvloop.run(main())[-size:] == (bytes(PAYLOAD) * 4)[:size]


@pytest.mark.parametrize("cut_after_s", [0.0, 0.013, 0.0999999, 0.1, 0.3])
def test_a_failing_transfer_is_cut_at_its_instant_and_never_completes(cut_after_s):
    """Even if its failure instant is, by a rounding, at or after its end."""

    async def main():
        async with bench() as b:
            begins = b.clock.now()
            end = await b.send(100_000, 1e6, begins, cut_after_s=cut_after_s)
            assert end.outcome == "cut"
            assert end.ended >= begins + min(cut_after_s, 0.1)
            assert end.sent_bytes <= min(cut_after_s * 1e6, 99_999)
            if end.sent_bytes:
                got = await b.received()
                assert got.ended.result()[0] == "lost"
                assert got.count <= end.sent_bytes
            assert (await b.send(5_000, 1e6)).outcome == "sent"  # the link is good again

    uvloop.run(main())


def test_a_stopped_transfer_tells_nothing_and_frees_the_link():
    """As abortAtDeadline needs it: the receiver sees it cut, and the next one follows at once."""

    async def main():
        async with bench() as b:
            told: list[TransferEnd] = []
            b.link.send(b"", 1_000_000, 1e6, b.clock.now(), told.append)
            got = await b.receiver()
            assert b.link.busy
            b.link.stop()
            assert not b.link.busy
            end = await b.send(20_000, 1e6)
            await b.received()
            await b.received(1)
            assert end.outcome == "sent"
            assert got.ended.result()[0] == "lost"
            b.link.stop()  # nothing to stop
            assert told == []

    uvloop.run(main())


@pytest.mark.parametrize("after_s", [0.0, 5.0])
def test_a_transfer_may_be_stopped_before_it_begins(after_s):
    """While its connection is fetched, or long before."""

    async def main():
        async with bench() as b:
            told: list[TransferEnd] = []
            b.link.send(b"", 1000, 1e6, b.clock.now() + after_s, told.append)
            b.link.stop()
            assert (await b.send(1000, 1e6)).outcome == "sent"
            assert told == []

    uvloop.run(main())


def test_transfers_in_a_row_begin_where_the_one_before_was_planned_to_end():
    """From within the end of one the next is sent, with its own bytes, and connections are used again."""

    async def main():
        async with bench() as b:
            ends, done, size, rate = [], asyncio.get_running_loop().create_future(), 30_000, 5e6
            begin = b.clock.now()

            def ended(end):
                ends.append(end)
                if len(ends) < 12:
                    b.link.send(b"", size, rate, begin + len(ends) * size / rate, ended)
                else:
                    done.set_result(None)

            b.link.send(b"", size, rate, begin, ended)
            await asyncio.wait_for(done, LIMIT_S)
            for number, end in enumerate(ends):
                assert end.outcome == "sent"
                assert end.ended >= begin + (number + 1) * size / rate
                assert (await b.received(number)).count == size
            connections = len(b.peer._open)
            assert 1 <= connections <= 4  # the next begins before the one before is confirmed

    uvloop.run(main())


def test_a_peer_that_is_not_there_loses_the_transfer():
    """The address is free: nobody listens."""

    async def main():
        async with bench() as b:
            server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            server.close()
            await server.wait_closed()
            link = PacedLink(b.clock, Peer(f"http://127.0.0.1:{port}"), PATH, PAYLOAD)
            found = await end_of(link, 1000, 1e6, b.clock.now())
            assert (found.outcome, found.sent_bytes) == ("lost", 0)
            assert isinstance(found.error, PeerAway)
            link.close()

    uvloop.run(main())


def test_a_peer_that_leaves_in_the_middle_loses_the_transfer():
    """It closes after the first bytes."""

    async def main():
        async def leave(reader, writer):
            await reader.read(1000)

        async with bare_peer(leave) as (clock, link):
            return await end_of(link, 100_000_000, 10e6, clock.now())

    end = uvloop.run(main())
    assert end.outcome == "lost"
    assert isinstance(end.error, PeerAway)
    assert end.sent_bytes < 100_000_000


def test_a_peer_that_refuses_the_head_loses_the_transfer():
    """It says why; the rest of the payload is not sent to it."""

    async def main():
        async with bench() as b:
            b.refuse = "head"
            end = await b.send(100_000_000, 10e6)
            assert end.outcome == "lost"
            assert isinstance(end.error, PeerRefused)
            assert end.error.status == 409
            b.refuse = ""
            assert (await b.send(1000, 1e6)).outcome == "sent"

    uvloop.run(main())


def test_a_connection_that_breaks_before_anybody_listens_loses_the_transfer(monkeypatch):
    """Between its beginning and the first piece."""

    async def main():
        async with bench() as b:
            begin_upload = b.peer.upload

            async def broken(*arguments, **more):
                upload = await begin_upload(*arguments, **more)
                upload._connection.fail(PeerAway("it broke"))
                return upload

            monkeypatch.setattr(b.peer, "upload", broken)
            end = await b.send(1000, 1e6)
            assert end.outcome == "lost"
            assert "it broke" in str(end.error)

    uvloop.run(main())


def test_a_peer_that_refuses_what_it_was_sent_is_told_as_unconfirmed():
    """The bytes were sent, and the link is free, before the peer looked at them."""

    async def main():
        async with bench() as b:
            b.refuse = "end"
            told = asyncio.get_running_loop().create_future()
            end = await b.send(1000, 1e6, unconfirmed=told.set_result)
            error = await asyncio.wait_for(told, LIMIT_S)
            assert end.outcome == "sent"
            assert isinstance(error, PeerRefused)

    uvloop.run(main())


def test_the_end_is_when_the_kernel_has_everything():
    """A peer that does not read for a while: the transfer ends after it has begun to read, not as planned."""
    size = 30_000_000  # more than both sides' socket buffers take

    async def main():
        read_from = []

        async def dawdle(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.2)
            read_from.append(clock.now())
            await reader.read()

        async with bare_peer(dawdle) as (clock, link):
            return await end_of(link, size, 1e9, clock.now()), read_from[0]

    end, read_from = uvloop.run(main())
    assert end.outcome == "sent"
    assert end.ended > read_from > end.begun + size / 1e9


@pytest.mark.parametrize(("size", "rate"), [(0, 1e6), (-1, 1e6), (1000, 0.0), (1000, float("nan"))])
def test_what_cannot_be_sent_is_refused(size, rate):
    async def main():
        async with bench() as b:
            with pytest.raises(ValueError, match="give numbers over 0"):
                b.link.send(b"", size, rate, b.clock.now(), lambda _: None)
            assert not b.link.busy

    uvloop.run(main())


def test_one_transfer_at_a_time():
    async def main():
        async with bench() as b:
            b.link.send(b"", 1_000_000, 1e6, b.clock.now(), lambda _: None)
            with pytest.raises(RuntimeError, match="in progress"):
                b.link.send(b"", 1, 1.0, b.clock.now(), lambda _: None)

    uvloop.run(main())
