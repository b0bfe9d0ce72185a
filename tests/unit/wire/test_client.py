"""A peer that is away, silent, restarted or of another mind is told apart, in time; what works is used again."""

import asyncio
import contextlib
import pickle
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerAway, PeerError, PeerRefused, PeerSilent
from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.server import bind, serve
from tests.unit.wire.serving import Told, probe, run, service, serving

HEAD = pb.TaskHeader(source=7).SerializeToString()
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def talking(*said: bytes | None) -> AsyncIterator[str]:
    """A peer that answers each connection with the next of these bytes, whatever it hears; None for silence."""
    turns = iter(said)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            answer = next(turns, None)
            while await reader.read(1 << 16):
                if answer is not None:
                    writer.write(answer)
                    await writer.drain()
                    if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404")):
                        break
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@contextlib.asynccontextmanager
async def client(address: str, **settings: object) -> AsyncIterator[Peer]:
    """A peer, closed at the end."""
    peer = Peer(address, **settings)
    try:
        yield peer
    finally:
        await peer.close()


async def fails(kind: type[PeerError], doing: Awaitable[object], within_s: float = 1.0) -> PeerError:
    """The error of an awaitable that must fail so, in time."""
    begin = time.perf_counter()
    with pytest.raises(kind) as failed:
        await doing
    assert time.perf_counter() - begin < within_s
    assert "127.0.0.1" in str(failed.value)
    return failed.value


def test_many_requests_share_few_connections():
    """One after another they use one connection; at once, as many as are allowed."""

    async def test() -> None:
        async with serving() as (server, _), client(server.address, limit=4) as peer:
            for k in range(50):
                assert await peer.post("/v1/echo", b"%d" % k) == b"%d" % k
            assert len(peer._open) == 1
            found = await asyncio.gather(*(peer.post("/v1/slow", probe(slot=k)) for k in range(20)))
            assert [pb.ProbeAnswer.FromString(body).waiting for body in found] == list(range(20))
            assert len(peer._open) == 4
            assert await peer.post("/v1/echo", bytes(3 << 20)) == bytes(3 << 20)

    run(test())


def test_an_application_route_answers_too():
    """Of FastAPI, also with a status."""

    async def test() -> None:
        async with serving() as (server, _), client(server.address) as peer:
            assert await peer.post("/v1/size", bytes(100_000)) == b'{"size":100000}'
            error = await fails(PeerRefused, peer.post("/nowhere", b""))
            assert isinstance(error, PeerRefused)
            assert (error.status, error.problem["title"]) == (404, "Not Found")

    run(test())


def test_a_refusal_says_why_and_keeps_the_connection():
    """The problem is there for programs, and its text for people; it survives pickling."""

    async def test() -> None:
        async with serving() as (server, _), client(server.address) as peer:
            for _ in range(3):
                error = await fails(PeerRefused, peer.post("/v1/probe", probe(asker=101)))
                assert isinstance(error, PeerRefused)
                assert (error.status, error.problem["title"]) == (422, "Not allowed")
                assert str(error).endswith("/v1/probe: 422 Not allowed: asker 101 is not allowed; give at most 100")
                copy = pickle.loads(pickle.dumps(error))
                assert (copy.status, copy.problem, str(copy)) == (error.status, error.problem, str(error))
            assert len(peer._open) == 1

    run(test())


def test_a_token_is_borne():
    """Without it, every request is refused."""

    async def test() -> None:
        async with serving(token="right") as (server, _):  # a test
            async with client(server.address, token="right") as peer:
                assert await peer.post("/v1/echo", b"a") == b"a"
            async with client(server.address) as peer:
                for _ in range(2):
                    error = await fails(PeerRefused, peer.post("/v1/echo", b"a"))
                    assert error.status == 401
                upload = await peer.upload("/v1/tasks", HEAD, 100)
                upload.write(bytes(100))
                error = await fails(PeerRefused, upload.finish(1.0))
                assert error.status == 401

    run(test())


def test_a_dead_peer_is_away():
    """Nobody listens, a name that nobody has, a host that does not answer a connection."""

    async def test() -> None:
        listener = bind("127.0.0.1", 0)
        port = listener.getsockname()[1]
        listener.close()
        async with client(f"http://127.0.0.1:{port}") as peer:
            await fails(PeerAway, peer.post("/v1/echo", b""))
            await fails(PeerAway, peer.upload("/v1/tasks", HEAD, 10))
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
            for _ in range(4):  # what the backlog of a process that accepts nothing takes
                crowd = stack.enter_context(socket.socket())
                crowd.setblocking(False)
                crowd.connect_ex(full.getsockname())
            async with client(f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout_s=0.2) as peer:
                await fails(PeerAway, peer.post("/v1/echo", b""))

    run(test())


def test_a_silent_peer_costs_its_time_and_holds_nobody_up():
    """Only who asked it waits; later requests have a connection of their own."""

    async def test() -> None:
        async with talking(None, OK) as address, client(address) as peer:
            silent = asyncio.create_task(fails(PeerSilent, peer.post("/a", b"", timeout_s=0.3)))
            await asyncio.sleep(0.05)
            begin = time.perf_counter()
            assert await peer.post("/a", b"", timeout_s=0.3) == b"ok"
            assert time.perf_counter() - begin < 0.2
            assert isinstance(await silent, PeerSilent)
            for _ in range(10):  # a timer is set once for many requests; none of them rings for a later one
                assert await peer.post("/a", b"", timeout_s=0.3) == b"ok"
                await asyncio.sleep(0.05)

    run(test())


def test_a_shorter_time_than_that_of_the_request_before_is_kept():
    """The timer is moved forward for it."""

    async def test() -> None:
        async with serving() as (server, _), client(server.address) as peer:
            assert await peer.post("/v1/echo", b"a", timeout_s=30) == b"a"
            await fails(PeerSilent, peer.post("/v1/stuck", b"", timeout_s=0.1), within_s=0.5)
            assert await peer.post("/v1/echo", b"a", timeout_s=0.1) == b"a"

    run(test())


def test_requests_that_wait_for_a_connection_give_up_in_time():
    """With a reason; and one that is cancelled leaves its place to the next."""

    async def test() -> None:
        async with serving() as (server, _), client(server.address, limit=1) as peer:
            stuck = asyncio.create_task(peer.post("/v1/stuck", b"", timeout_s=0.5))
            await asyncio.sleep(0.05)
            await fails(PeerSilent, peer.post("/v1/echo", b"", timeout_s=0.1))
            cancelled = asyncio.create_task(peer.post("/v1/echo", b"a"))
            following = asyncio.create_task(peer.post("/v1/echo", b"b"))
            await asyncio.sleep(0.05)
            cancelled.cancel()
            await fails(PeerSilent, stuck)
            assert await following == b"b"
            assert await peer.post("/v1/echo", b"c") == b"c"
            assert len(peer._open) == 1

    run(test())


def test_a_connection_is_not_lost_with_who_was_about_to_get_it():
    """One that is cancelled in the turn of the loop in which it is handed a connection passes it on."""

    async def test() -> None:
        async with serving() as (server, _), client(server.address, limit=1) as peer:

            async def cancels_the_next() -> None:
                await peer.post("/v1/slow", probe())
                waits.cancel()

            first = asyncio.create_task(cancels_the_next())
            await asyncio.sleep(0.005)
            waits = asyncio.create_task(peer.post("/v1/echo", b""))
            await first
            with pytest.raises(asyncio.CancelledError):
                await waits
            assert await peer.post("/v1/echo", b"a") == b"a"
            assert len(peer._open) == 1

    run(test())


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nok",
        OK + b"more",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 18\r\n\r\n404 page not found",
        b"x",
        b"",
    ],
    ids=lambda value: repr(value[:50]),
)
def test_a_peer_that_speaks_otherwise_is_away(said):
    """No answer of ours: an error in time, never a guess."""

    async def test() -> None:
        async with talking(said) as address, client(address) as peer:
            await fails(PeerAway, peer.post("/a", b"", timeout_s=5.0), within_s=2.0)

    run(test())


def test_who_has_the_address_in_a_services_absence_does_not_keep_its_clients():
    """As a gateway that answers for addresses that are nobody's, while a Service has no pod: the next request looks again."""

    async def test() -> None:
        async with (
            talking(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", OK) as address,
            client(address) as peer,
        ):
            error = await fails(PeerAway, peer.post("/a", b""))
            assert str(error).endswith("/a: answered with status 404 without a reason; is it an edgebed service?")
            assert await peer.post("/a", b"") == b"ok"

    run(test())


def test_a_peer_that_was_restarted_is_found_again():
    """Connections of the old one are not used any more, whether it said good-bye or not."""

    async def test() -> None:
        listener = bind("127.0.0.1", 0)
        port = listener.getsockname()[1]
        listener.close()
        async with client(f"http://127.0.0.1:{port}") as peer:
            for _ in range(3):
                async with serving(port=port):
                    assert await peer.post("/v1/echo", b"a") == b"a"
                await fails(PeerAway, peer.post("/v1/echo", b"a"))

    run(test())


def test_an_answer_that_never_ends_is_a_silent_peer():
    """A part of an answer is none."""

    async def test() -> None:
        async with talking(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nok") as address, client(address) as peer:
            await fails(PeerSilent, peer.post("/a", b"", timeout_s=0.2))
            assert not peer._open or await gone(peer)

    run(test())


async def gone(peer: Peer) -> bool:
    """Whether all connections close soon."""
    async with asyncio.timeout(2):
        while peer._open:
            await asyncio.sleep(0.001)
    return True


def test_a_cancelled_request_does_not_leave_its_answer_to_the_next():
    """Its connection is given up, and its place free at once."""

    async def test() -> None:
        async with serving() as (server, _), client(server.address, limit=1) as peer:
            for path in ("/v1/slow", "/v1/stuck") * 3:
                cancelled = asyncio.create_task(peer.post(path, probe(slot=1)))
                await asyncio.sleep(0.005)
                cancelled.cancel()
                found = pb.ProbeAnswer.FromString(await peer.post("/v1/slow", probe(slot=2)))
                assert found.waiting == 2

    run(test())


def test_an_upload_is_sent_piece_by_piece_on_kept_connections():
    """Each byte once; with no payload at all; too much or too little is the caller's mistake."""

    async def test() -> None:
        async with serving() as (server, told), client(server.address) as peer:
            for size in (0, 1, 1000, 3_000_000):
                upload = await peer.upload("/v1/tasks", HEAD, size)
                for at in range(0, size, 400_000):
                    if size:
                        with pytest.raises(ValueError, match="have not been written"):
                            await upload.finish(1.0)
                    upload.write(memoryview(bytes(min(400_000, size - at))))
                    await asyncio.sleep(0)
                with pytest.raises(ValueError, match="1 bytes are more than the 0"):
                    upload.write(b"x")
                assert await upload.finish(2.0) == b"%d" % size
                assert upload.unsent == 0
                upload.cut()  # too late: the connection has other work
            assert len(peer._open) == 1
            assert [(one.size, one.count, one.end) for one in told.uploads] == [
                (size, size, "complete") for size in (0, 1, 1000, 3_000_000)
            ]

    run(test())


def test_a_cut_reaches_the_receiver():
    """In the middle of the payload; nobody is told at the sender, and the next upload has another connection."""

    async def test() -> None:
        async with serving() as (server, told), client(server.address) as peer:
            upload = await peer.upload("/v1/tasks", HEAD, 1000)
            upload.on_lost = lambda error: pytest.fail(str(error))
            upload.write(bytes(600))
            while not told.uploads or told.uploads[0].count < 600:
                await asyncio.sleep(0.001)
            upload.cut()
            await asyncio.wait_for(told.uploads[0].ended.wait(), 2)
            assert told.uploads[0].end == "lost"
            upload.write(bytes(100))
            await fails(PeerAway, upload.finish(1.0))
            second = await peer.upload("/v1/tasks", HEAD, 10)
            second.write(bytes(10))
            assert await second.finish(1.0) == b"10"

    run(test())


@pytest.mark.parametrize(("source", "slot", "status"), [(101, 0, 409), (7, 13, 409), (7, 14, 409)])
def test_an_upload_that_is_refused_ends_with_the_reason(source, slot, status):
    """At its head or in the middle, `on_lost` hears it at once and the rest is not sent; at the end, `finish` says it."""

    async def test() -> None:
        head = pb.TaskHeader(source=source, slot=slot).SerializeToString()
        async with serving() as (server, told), client(server.address) as peer:
            lost: list[PeerError] = []
            upload = await peer.upload("/v1/tasks", head, 4_000_000)
            upload.on_lost = lost.append
            piece = bytes(40_000)
            for _ in range(99):
                upload.write(piece)
                await asyncio.sleep(0.001)
                if lost:
                    break
            assert bool(lost) == (slot != 14)
            if not lost:
                upload.write(piece)
            error = await fails(PeerRefused, upload.finish(1.0))
            assert error.status == status
            assert lost == ([error] if slot != 14 else [])
            assert len(told.uploads) == (source == 7)
            assert await peer.post("/v1/echo", b"a") == b"a"

    run(test())


@pytest.mark.parametrize("end", ["stop", "garbage"])
def test_an_upload_to_a_peer_that_leaves_is_lost(end):
    """`on_lost` hears it at once; so does `finish`."""

    async def test() -> None:
        lost: list[PeerError] = []
        if end == "garbage":
            async with talking(OK) as address, client(address) as peer:
                upload = await peer.upload("/v1/tasks", HEAD, 1000)  # answered before its end, which makes no sense
                upload.on_lost = lost.append
                await until(lambda: bool(lost))
                await fails(PeerAway, upload.finish(1.0))
        else:
            app, routes = service(told := Told())
            server = serve(app, routes, ("127.0.0.1", 0))
            await server.start()
            async with client(server.address) as peer:
                upload = await peer.upload("/v1/tasks", HEAD, 1000)
                upload.on_lost = lost.append
                upload.write(bytes(10))
                await until(lambda: bool(told.uploads))
                await server.stop(0.1)
                await until(lambda: bool(lost))
                assert [one.end for one in told.uploads] == ["lost"]
                await fails(PeerAway, upload.finish(1.0))
        assert len(lost) == 1
        assert isinstance(lost[0], PeerAway)

    run(test())


async def until(condition: Callable[[], bool]) -> None:
    """Soon."""
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.001)


def test_unsent_bytes_are_counted_and_a_silent_receiver_ends_finish():
    """A peer that takes nothing: the bytes wait here, and `finish` says so in time."""

    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            async with client(f"http://127.0.0.1:{deaf.getsockname()[1]}") as peer:
                upload = await peer.upload("/v1/tasks", HEAD, 64 << 20)
                upload.write(bytes(64 << 20))
                await asyncio.sleep(0.01)
                assert 10 << 20 < upload.unsent < 64 << 20
                await fails(PeerSilent, upload.finish(0.2))

    run(test())


def test_closing_ends_what_is_under_way():
    """And what waits; a closed client stays closed."""

    async def test() -> None:
        async with serving() as (server, _):
            peer = Peer(server.address, limit=1)
            stuck = asyncio.create_task(peer.post("/v1/stuck", b""))
            await asyncio.sleep(0.02)
            waits = asyncio.create_task(peer.post("/v1/echo", b""))
            await asyncio.sleep(0.02)
            await peer.close()
            await fails(PeerAway, stuck)
            await fails(PeerAway, waits)
            await fails(PeerAway, peer.post("/v1/echo", b""))

    run(test())


@pytest.mark.parametrize(
    "address", ["127.0.0.1:80", "https://a:1", "http://", "http://a:1/path", "http://a:x", "http://a", "http://a:70000"]
)
def test_an_address_that_is_none_is_refused(address):
    """Before anything is sent."""
    with pytest.raises(ValueError, match="give http://HOST:PORT"):
        Peer(address)


def test_a_token_that_would_break_a_header_is_refused():
    """A line end in a secret's file is a common mistake."""
    with pytest.raises(ValueError, match="printable"):
        Peer("http://a:1", token="a\nb")  # a test
