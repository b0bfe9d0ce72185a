"""Ten thousand mutated bodies and heads: each is answered with 200 or a problem, and only what is valid changes anything."""

import asyncio
import random

import pytest

from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.heads import END, read_head
from tests.unit.wire.serving import probe, raw, request, run, serving, upload_body

BODIES = 10_000
HEADS = 2_000
SEEDS = [1, 2]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of bytes, bits, length or order."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(6):
            case 0 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(out):
                out[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
            case 2:
                del out[at : at + rng.randint(1, 8)]
            case 3:
                out[at:at] = rng.randbytes(rng.randint(1, 8))
            case 4:
                del out[at:]
            case _:
                part = out[at : at + rng.randint(1, 16)]
                out[at:at] = part * rng.randint(1, 3)
    return bytes(out)


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_bodies_are_answered_and_change_nothing(seed):
    """The handlers are told exactly the messages that were answered with 200; the connection and the service go on."""
    rng = random.Random(seed)
    task = pb.TaskHeader(run="run", number=7, slot=1, source=3, size_bits=8e6, deadline_s=1)

    async def test() -> None:
        async with serving() as (server, told):
            good = {
                "/v1/probe": probe(),
                "/v1/slow": probe(),
                "/v1/tasks": upload_body(task, b"p" * 40),
            }

            async def some(count: int) -> None:
                async with raw(server) as client:
                    for _ in range(count):
                        path = rng.choices(list(good), weights=[10, 1, 10])[0]
                        body = mutated(good[path], rng)
                        probes, uploads = len(told.probes), len(told.uploads)
                        client.send(request(path, body))
                        status, fields, answer = await client.answer()
                        assert status == 200 or 400 <= status < 500, (seed, path, body.hex(), answer)
                        assert "connection" not in fields, (seed, path, body.hex())
                        changed = (len(told.probes) - probes, len(told.uploads) - uploads)
                        if path == "/v1/tasks":
                            assert changed[0] == 0, (seed, path, body.hex())
                            assert status != 200 or changed[1] == 1, (seed, path, body.hex())
                            assert all(upload.end for upload in told.uploads[uploads:]) or status == 409
                            assert changed[1] == 0 or told.uploads[-1].task.source <= 100
                        else:
                            assert changed == (status == 200, 0), (seed, path, body.hex())
                            if status == 200:
                                assert told.probes[-1] == pb.Probe.FromString(body)

            await some(BODIES // len(SEEDS))

    run(test(), 120)


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_requests_do_not_hurt_the_service(seed):
    """Whatever comes: an answer or an end in time, no fault in the service, and the next client is served."""
    rng = random.Random(seed)
    good = [
        request("/v1/probe", probe(), "content-type: application/x-protobuf", "connection: keep-alive"),
        request("/v1/tasks", upload_body(pb.TaskHeader(source=7), b"p" * 40)),
        request("/v1/items", b'{"name": "x"}', "content-type: application/json", method="PUT"),
    ]

    async def test() -> None:
        async with serving() as (server, told):

            async def one() -> None:
                sent = mutated(rng.choice(good), rng)
                async with raw(server) as client:
                    client.send(sent)
                    client.writer.write_eof()
                    answer = await asyncio.wait_for(client.reader.read(), 5)
                    assert not answer or answer.startswith(b"HTTP/1."), (seed, sent)
                    assert not answer.startswith(b"HTTP/1.1 5"), (seed, sent, answer)

            for _ in range(HEADS // 20):
                await asyncio.gather(*(one() for _ in range(20)))
            async with raw(server) as client:
                client.send(request("/v1/probe", probe()))
                assert await client.status() == 200
            for upload in told.uploads:
                await asyncio.wait_for(upload.ended.wait(), 5)

    run(test(), 120)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_head_is_read_as_it_was_written_or_not_at_all(seed):
    """A mutated head that is still plain says its length once, in digits, and nothing that changes the framing."""
    rng = random.Random(seed)
    head = request("/v1/probe", b"", "content-type: application/x-protobuf", "authorization: Bearer t")
    plain = 0
    for _ in range(20_000):
        data = mutated(head, rng).partition(END)[0] + END
        found = read_head(data)
        if found is None:
            continue
        plain += 1
        lines = data.lower().split(b"\r\n")
        assert sum(line.startswith(b"content-length:") for line in lines) <= 1, (seed, data)
        assert not any(line.startswith((b"transfer-encoding", b"expect:", b"upgrade:")) for line in lines), (seed, data)
        declared = [line for line in lines if line.startswith(b"content-length:")]
        assert found.length == (int(declared[0].split(b":")[1]) if declared else 0)
    assert plain > 100
