"""A slow or silent peer is given up in time, and meanwhile holds nobody up."""

import asyncio
import time

import pytest

from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.server import Limits
from tests.unit.wire.serving import QUICK, probe, raw, request, run, serving, upload_body

UPLOAD = request("/v1/tasks", upload_body(pb.TaskHeader(source=7), bytes(100_000)))


@pytest.mark.parametrize(
    ("first", "drop", "status"),
    [
        (b"", b"", None),
        (request("/v1/probe", probe()), b"", None),
        (b"POST /v1/pro", b"x", 408),
        (request("/v1/probe", probe())[:-3], b"", 408),
        (b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n\r\n", b"x", 408),
        (b"POST /v1/size HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n\r\n", b"x", 408),
        (b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n\r\n\x50", b"x", 408),
        (b"POST /v1/size HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 408),
        (b"POST /v1/probe HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nx", b"x", 408),
        (b"\r\n", b"\r\n", 408),
        (UPLOAD[:50_000], b"", None),
        (UPLOAD[:50_000], b"x", None),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else str(value),
)
def test_a_slow_or_silent_peer_is_given_up(first, drop, status):
    """Whether it says nothing or a byte now and then; others are answered at once all the while."""

    async def test() -> None:
        async with serving(QUICK) as (server, told), raw(server) as slow, asyncio.TaskGroup() as group:

            async def dripping() -> None:
                while not over:
                    slow.send(drop)
                    await asyncio.sleep(0.05)

            async def others() -> None:
                while not over:
                    async with raw(server) as other:
                        begin = time.perf_counter()
                        other.send(request("/v1/echo", b"hello"))
                        assert (await other.answer())[2] == b"hello"
                        assert time.perf_counter() - begin < 0.2
                    await asyncio.sleep(0.02)

            over = False
            slow.send(first)
            if first == request("/v1/probe", probe()):
                assert await slow.status() == 200
            await asyncio.sleep(0.01)
            group.create_task(dripping())
            group.create_task(others())
            begin = time.perf_counter()
            try:
                if status is not None:
                    found, fields, _ = await slow.answer()
                    assert (found, fields["connection"]) == (status, "close")
                assert await slow.closed()
                assert 0.1 < time.perf_counter() - begin < 2.0
            finally:
                over = True
            assert all(upload.end == "lost" for upload in told.uploads)

    run(test())


def test_a_peer_that_does_not_read_its_answers_is_given_up():
    """Its requests are not handled any further, so what waits for it stays small."""

    async def test() -> None:
        async with serving(QUICK) as (server, _), raw(server) as deaf:
            deaf.writer.transport.pause_reading()
            one = request("/v1/echo", bytes(60_000))
            sent = 0
            while not deaf.writer.is_closing() and sent < 4000:
                deaf.send(one)
                sent += 1
                await asyncio.sleep(0)
                if deaf.writer.transport.get_write_buffer_size() > 10 << 20:
                    break
            assert sent < 4000
            async with asyncio.timeout(5):
                while not deaf.writer.is_closing():
                    deaf.send(b"x")
                    await asyncio.sleep(0.02)

    run(test())


def test_an_upload_that_goes_on_is_borne_for_longer_than_the_patience():
    """A paced transfer may take its time, as long as something arrives."""

    async def test() -> None:
        async with serving(Limits(idle_s=0.3, body_s=0.3, head_s=0.3)) as (server, _), raw(server) as client:
            for at in range(0, len(UPLOAD), 4000):
                client.send(UPLOAD[at : at + 4000])
                await asyncio.sleep(0.05)
            assert (await client.answer())[2] == b"100000"

    run(test())


def test_a_long_answer_is_not_cut_by_patience():
    """The time of a handler is its own: the peer has done its part."""

    async def test() -> None:
        async with serving(QUICK) as (server, _), raw(server) as client, raw(server) as odd:
            client.send(request("/v1/stuck"))
            odd.send(request("/v1/stuck").replace(b"HTTP/1.1", b"HTTP/1.0"))
            for one in (client, odd):
                with pytest.raises(TimeoutError):
                    await one.closed(1.0)

    run(test())
