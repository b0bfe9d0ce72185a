"""Hot and ordinary requests on one port: whatever the pieces in which they arrive, and whoever handles them."""

import asyncio
import json

import httpx
import pytest

from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.server import Limits, bind, serve
from tests.unit.wire.serving import Told, probe, raw, request, run, service, serving, upload_body

ITEM = b'{"name": "x"}'
JSON_FIELD = "content-type: application/json"


def test_hot_and_ordinary_requests_follow_each_other_on_one_connection():
    """In any order, pipelined or not; answers come in the order of the requests."""

    async def test() -> None:
        async with serving() as (server, told), raw(server) as client:
            one = [
                request("/v1/probe", probe(asker=1)),
                request("/healthz", method="GET"),
                request("/v1/slow", probe(asker=2)),
                request("/v1/items", ITEM, JSON_FIELD, method="PUT"),
                request("/v1/tasks", upload_body(pb.TaskHeader(source=7), b"p" * 1000)),
                request("/v1/unread", b"b" * 5000),
                request("/v1/probe", probe(asker=3)),
            ]
            for pipelined in (False, True):
                found = []
                if pipelined:
                    client.send(b"".join(one))
                for each in one:
                    if not pipelined:
                        client.send(each)
                    status, fields, body = await client.answer()
                    assert status == 200
                    assert "date" in fields
                    found.append(body)
                nodes = [pb.ProbeAnswer.FromString(found[k]).node for k in (0, 2, 6)]
                assert nodes == [1, 2, 3]
                assert json.loads(found[1]) == {"status": "ok"}
                assert json.loads(found[3]) == {"name": "x"}
                assert found[4] == b"1000"
                assert json.loads(found[5]) == {"status": "not read"}
            assert [upload.end for upload in told.uploads] == ["complete"] * 2
            assert told.ordinary == ["x", "x"]

    run(test())


@pytest.mark.parametrize(
    "sent",
    [
        request("/v1/probe", probe()),
        request("/v1/tasks", upload_body(pb.TaskHeader(source=7, run="r" * 200), b"payload")),
        request("/v1/items", ITEM, JSON_FIELD, method="PUT"),
        b"POST /v1/probe HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        b"3\r\n" + probe()[:3] + b"\r\n0\r\n\r\n",
    ],
    ids=["unary", "upload", "ordinary", "odd"],
)
def test_a_request_may_arrive_in_two_pieces_or_byte_by_byte(sent):
    """Split at every byte, the answer is the same."""

    async def test() -> None:
        async with serving() as (server, _):

            async def answer(pieces: list[bytes]) -> tuple[int, bytes]:
                async with raw(server) as client:
                    client.writer.get_extra_info("socket").setsockopt(6, 1, 1)  # TCP_NODELAY: pieces stay pieces
                    for piece in pieces:
                        client.send(piece)
                        await asyncio.sleep(0)
                        await asyncio.sleep(0)
                    status, _, body = await client.answer()
                    return status, body

            whole = await answer([sent])
            for at in range(1, len(sent)):
                assert await answer([sent[:at], sent[at:]]) == whole
            assert await answer([sent[k : k + 1] for k in range(len(sent))]) == whole

    run(test())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), 400),
        (b"hello\r\n\r\n", 400),
        (b"POST /v1/probe HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST /v1/probe HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400),
        (
            b"POST /v1/probe HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST /v1/probe HTTP/1.1\r\nhost: x\r\na b: c\r\n\r\n", 400),
        (b"POST /v1/probe HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST /v1/probe HTTP/9.1\r\nhost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 20_000, 431),
        (request("/v1/probe", bytes(65 * 1024)), 413),
        (request("/v1/echo", bytes((4 << 20) + 1)), 413),
        (b"PUT /v1/items HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999999\r\n\r\n", 413),
        (b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (request("/v1/tasks", b"\xff\xff\x03" + bytes(70_000)), 413),
        (request("/v1/tasks", b"\xff" * 1000), 400),
        (request("/v1/tasks", b"\x09abc"), 400),
        (request("/v1/tasks"), 400),
        (request("/v1/tasks", b"\x04" + b"\xff" * 4 + b"pay"), 400),
        (request("/v1/tasks", upload_body(pb.TaskHeader(source=101), b"p" * 1000)), 409),
        (request("/v1/tasks", upload_body(pb.TaskHeader(slot=13), b"p" * 1000)), 409),
        (request("/v1/probe", b"\x0a\x05run"), 400),
        (request("/v1/probe", probe(asker=101)), 422),
        (request("/v1/probe", probe(), "content-type: text/plain"), 415),
        (request("/v1/probe", b"", method="GET"), 405),
        (request("/v1/tasks", b"", method="PUT"), 405),
        (request("/v1/items", b"{}", JSON_FIELD, method="PUT"), 422),
        (request("/v1/items", b"{", JSON_FIELD, method="PUT"), 422),
        (request("/nowhere"), 404),
        (request("/v1/items", b""), 405),
        (b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 411),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else str(value),
)
def test_a_bad_request_is_told_why_and_changes_nothing(sent, status):
    """A problem body, then either an end of the connection or a good request's answer; and others are served."""

    async def test() -> None:
        async with serving() as (server, told), raw(server) as client:
            client.send(sent)
            found, fields, body = await client.answer()
            assert (found, json.loads(body)["status"]) == (status, status)
            if fields.get("connection") == "close":
                assert await client.closed()
            else:
                client.send(request("/v1/echo", b"after"))
                assert (await client.answer())[2] == b"after"
            assert not told.probes
            assert not told.ordinary
            assert [upload.end for upload in told.uploads if upload.task.slot != 13] == []
            async with raw(server) as other:
                other.send(request("/v1/echo", b"hello"))
                assert (await other.answer())[2] == b"hello"

    run(test())


def test_a_refused_unary_request_or_whole_upload_keeps_the_connection():
    """Its end is known, so the next request is understood; also pipelined ones."""

    async def test() -> None:
        async with serving() as (server, told), raw(server) as client:
            refused = [
                request("/v1/probe", b"\x0a\x05run"),
                request("/v1/tasks", upload_body(pb.TaskHeader(source=101), b"p" * 1000)),
                request("/v1/tasks", upload_body(pb.TaskHeader(slot=14), b"p" * 1000)),
                request("/v1/tasks"),
            ]
            client.send(b"".join(one + request("/v1/probe", probe()) for one in refused))
            assert [await client.status() for _ in range(8)] == [400, 200, 409, 200, 409, 200, 400, 200]
            assert len(told.probes) == 4

    run(test())


def test_a_refusal_is_read_while_the_payload_is_still_being_sent():
    """The server does not reset the connection under its own answer."""

    async def test() -> None:
        async with serving() as (server, _), raw(server) as client:
            body = upload_body(pb.TaskHeader(source=101), bytes(8 << 20))
            client.send(request("/v1/tasks", body)[: 4 << 20])
            assert await client.status() == 409
            client.send(bytes(1 << 20))
            assert await client.closed()

    run(test())


def test_an_upload_is_counted_as_it_arrives_and_lost_when_it_is_cut():
    """By an orderly close as by a reset."""

    async def test() -> None:
        async with serving() as (server, told):
            for orderly in (True, False):
                async with raw(server) as client:
                    body = upload_body(pb.TaskHeader(source=7), bytes(1 << 20))
                    client.send(request("/v1/tasks", body)[:-1000])
                    await client.writer.drain()
                    while not told.uploads or told.uploads[-1].count < (1 << 20) - 1000:
                        await asyncio.sleep(0.001)
                    upload = told.uploads.pop()
                    assert upload.size == 1 << 20
                    if orderly:
                        client.writer.close()
                    else:
                        client.writer.transport.abort()
                    await asyncio.wait_for(upload.ended.wait(), 5)
                    assert (upload.end, upload.count) == ("lost", (1 << 20) - 1000)

    run(test())


def test_what_curl_and_others_do_reaches_hot_routes_too():
    """Chunks, leave to send, HTTP/1.0, a query, JSON: the same handlers, the same answers."""

    async def test() -> None:
        async with serving() as (server, told), httpx.AsyncClient(base_url=server.address, trust_env=False) as client:

            async def chunks():
                yield probe()[:2]
                yield probe()[2:]

            for answer in (
                await client.post("/v1/probe", content=chunks()),
                await client.post("/v1/probe?really=yes", content=probe()),
                await client.post("/v1/probe", content=probe(), headers={"expect": "100-continue"}),
            ):
                assert pb.ProbeAnswer.FromString(answer.content).waiting == 5
            for path in ("/v1/probe", "/v1/probe?x", "/v1/slow"):
                answer = await client.post(path, json={"asker": 4, "slot": 9})
                assert answer.headers["content-type"] == "application/json"
                assert (answer.json()["node"], answer.json()["waiting"]) == (4, 9)
            body = upload_body(pb.TaskHeader(source=7), b"p" * 100_000)
            answer = await client.post("/v1/tasks", content=body, headers={"expect": "100-continue"})
            assert answer.content == b"100000"
            async with raw(server) as old:
                old.send(request("/v1/probe", probe()).replace(b"HTTP/1.1", b"HTTP/1.0"))
                assert await old.status() == 200
                assert await old.closed()
            async with raw(server) as cut:
                cut.send(request("/v1/tasks?x", body)[:-10])
                await cut.writer.drain()
                while len(told.uploads) < 2 or told.uploads[-1].count < 99_990:
                    await asyncio.sleep(0.001)
            await asyncio.wait_for(told.uploads[-1].ended.wait(), 5)
            assert [upload.end for upload in told.uploads] == ["complete", "lost"]

    run(test())


def test_a_fault_of_a_handler_is_not_told_to_the_client():
    """500 with a problem body; the reason is in the log; the connection and the service go on."""

    async def test() -> None:
        async with serving() as (server, _), raw(server) as client:
            for sent in (
                request("/v1/probe", probe(asker=13)),
                request("/v1/slow", probe(asker=13)),
                request("/v1/probe?x", probe(asker=13)),
            ):
                client.send(sent)
                status, _, body = await client.answer()
                assert status == 500
                assert b"secret" not in body
            client.send(request("/v1/probe", probe()))
            assert await client.status() == 200

    run(test())


def test_a_stream_of_the_application_arrives_piece_by_piece():
    """Server-sent events, then a hot request on the same connection."""

    async def test() -> None:
        async with serving() as (server, _), raw(server) as client:
            client.send(request("/v1/events", method="GET") + request("/v1/probe", probe()))
            await client.reader.readuntil(b"data: 2\n\n")
            await client.reader.readuntil(b"0\r\n\r\n")
            assert await client.status() == 200

    run(test())


def test_the_token_guards_every_path_but_the_open_ones():
    """Missing, wrong, of another scheme, or not ASCII: 401 with a problem body."""

    async def test() -> None:
        async with serving(token="right") as (server, told):  # a test
            for field, status in (
                ("x: y", 401),
                ("authorization: Bearer wrong", 401),
                ("authorization: Bearer rightx", 401),
                ("authorization: Basic right", 401),
                ("authorization: right", 401),
                ("authorization: Bearer \xff", 401),
                ("authorization: Bearer right", 200),
                ("Authorization: bearer right", 200),
            ):
                for one in (
                    request("/v1/probe", probe(), field),
                    request("/v1/probe?x", probe(), field),
                    request("/v1/tasks", upload_body(pb.TaskHeader(), b"p"), field),
                    request("/v1/items", ITEM, JSON_FIELD, field, method="PUT"),
                ):
                    async with raw(server) as client:
                        client.send(one)
                        found, fields, _ = await client.answer()
                        assert found == status
                        assert ("www-authenticate" in fields) == (status == 401)
            assert (len(told.probes), len(told.uploads), len(told.ordinary)) == (4, 2, 2)
            async with raw(server) as client:
                client.send(request("/healthz", method="GET"))
                assert await client.status() == 200

    run(test())


def test_stopping_lets_requests_end_and_cuts_what_takes_too_long():
    """Idle connections close at once, a slow answer still comes, a stuck handler is cut; then the port is free."""

    async def test() -> None:
        app, routes = service(Told())
        server = serve(app, routes, ("127.0.0.1", 0))
        await server.start()
        async with raw(server) as idle, raw(server) as slow, raw(server) as stuck:
            for client, path in ((idle, "/v1/probe"), (slow, "/v1/slow"), (stuck, "/v1/stuck")):
                client.send(request(path, probe()))
            assert await idle.status() == 200
            stopping = asyncio.create_task(server.stop(0.3))
            status, fields, _ = await slow.answer()
            assert (status, fields["connection"]) == (200, "close")
            assert await idle.closed()
            assert await slow.closed()
            assert await stuck.closed()
            await stopping
        bind("127.0.0.1", server.port).close()

    run(test())


def test_a_port_in_use_is_named():
    """Before anything is started."""

    async def test() -> None:
        async with serving() as (server, _):
            with pytest.raises(OSError, match=rf"127\.0\.0\.1:{server.port} is in use; .*another port"):
                await serve(*service(Told()), ("127.0.0.1", server.port)).start()
            with pytest.raises(OSError, match=r"256\.0\.0\.1:80 cannot be listened on"):
                bind("256.0.0.1", 80)

    run(test())


def test_a_crowd_is_told_so():
    """Connections over the limit get 503; those within go on."""

    async def test() -> None:
        async with serving(Limits(connections=2)) as (server, _), raw(server) as one, raw(server) as two:
            for client in (one, two):
                client.send(request("/v1/echo", b"a"))
                assert await client.status() == 200
            async with raw(server) as three:
                assert await three.status() == 503
            one.send(request("/v1/echo", b"b"))
            assert (await one.answer())[2] == b"b"

    run(test())
