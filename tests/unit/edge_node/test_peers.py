"""Other nodes that are silent, away, or talk nonsense cost what the limits say, and hold nobody else up."""

import asyncio
import contextlib

import pytest
from fastapi import FastAPI

from edgebed.edge_node.app import Seat, create_app, hot_routes
from edgebed.live.documents import EdgeNodeSettings
from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.server import HotRoutes, serve
from tests.unit.edge_node.fleet import bare, network, playing, run, silent, task, until


@contextlib.asynccontextmanager
async def nonsense():
    """Answers every question with what is no answer."""
    server = serve(FastAPI(), HotRoutes({"/v1/probe": lambda _, __: b"\xff" * 9}), ("127.0.0.1", 0))
    await server.start()
    try:
        yield server.address
    finally:
        await server.stop(0.1)


async def away(fleet):
    """An address where nobody is."""
    server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"


def test_a_silent_node_costs_a_decision_the_limit_and_nobody_else_anything():
    """RATC asks everybody. While it waits for the silent node, answers go out and transfers come in."""

    async def test() -> None:
        async with bare(2) as fleet, silent() as mute:
            await fleet.configure([*(server.address for server in fleet.servers), mute])
            await fleet.decide("ratc")
            await fleet.begin()
            assert await fleet.arrive(0, task(1)) == 200
            asked = fleet.clock.now()
            probe = pb.Probe(run="run", episode=1, asker=1).SerializeToString()
            answered = 0
            while not (fleet.nodes[0].episode.core.tasks() or fleet.log.records):  # it may have ended between two looks
                assert await fleet.post(0, "/v1/probe", probe) == 200
                answered += 1
                await asyncio.sleep(0.005)
            assert fleet.clock.now() - asked >= EdgeNodeSettings().probe_timeout_seconds / 2
            assert answered > 3
            record = (await fleet.log.has(1))[1]
            assert record.status == pb.SUCCEEDED
            assert record.task.decided_s >= EdgeNodeSettings().probe_timeout_seconds * 0.9
            assert record.place != 2
            probes = (await fleet.finish(0))["probes"]
            assert (probes["count"], probes["failed"]) == (2, 1)

    run(test())


@pytest.mark.parametrize("kind", ["away", "nonsense"])
def test_a_node_that_is_away_or_talks_nonsense_is_not_chosen(kind):
    async def test() -> None:
        async with bare(2) as fleet, nonsense() as liar:
            other = liar if kind == "nonsense" else await away(fleet)
            await fleet.configure([*(server.address for server in fleet.servers), other])
            await fleet.decide("ratc")
            await fleet.begin()
            for number in range(5):
                assert await fleet.arrive(0, task(number)) == 200
            records = await fleet.log.has(5)
            assert {record.place for record in records.values()} <= {0, 1}
            end = await fleet.finish(0)
            assert (end["probes"]["failed"], end["fault"]) == (5, None)

    run(test())


def test_tasks_for_a_node_that_dies_fail_visibly_and_the_link_goes_on():
    """The first is cut in the middle of its transfer, the second finds nobody, the third goes elsewhere."""

    async def test() -> None:
        async with playing(3) as fleet:
            decisions = [[0, 0, 1], [1, 0, 1], [2, 0, 2]]
            await fleet.decide("fixed", decisions=decisions)
            assert await fleet.arrive(0, task(1, size_bits=8e7), task(2, slot=1), task(3, slot=2)) == 200
            await until(lambda: fleet.nodes[1].measured.received_bytes)
            assert fleet.nodes[0].episode.core.sending_to(1)
            await fleet.servers[1].stop(0.0)
            records = await fleet.log.has(3)
            for number in (1, 2):
                assert (records[number].status, records[number].reason) == (pb.FAILED, "nodeLost")
                assert (records[number].place, records[number].task.destination) == (0, 1)
            assert records[2].task.sent_s >= records[1].ended_s
            assert records[3].status == pb.SUCCEEDED
            assert not fleet.nodes[0].episode.core.sending_to(1)
            assert fleet.nodes[0].episode.idle
            assert fleet.nodes[0].fault is None
            assert sum((await fleet.finish(0))["ended"].values()) == 2

    run(test())


def test_a_node_that_takes_nothing_of_a_transfer_is_lost_and_the_link_goes_on(monkeypatch):
    """As one does that was stopped: its kernel takes what fits, and then nobody reads it."""
    monkeypatch.setattr("edgebed.emulation.links.CONFIRM_LIMIT_S", 0.3)

    async def test() -> None:
        stuck = []

        async def listen(_, writer):
            writer.transport.pause_reading()
            stuck.append(writer)

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        async with bare(1) as fleet:
            there = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            quick = {**network(2), "linkRateBitsPerSecond": [[8e10] * 2] * 2}
            await fleet.configure([fleet.servers[0].address, there], network=quick)
            await fleet.decide("fixed", decisions=[[0, 0, 1], [1, 0, 0]])
            await fleet.begin()
            assert await fleet.arrive(0, task(1, size_bits=8 * 64e6), task(2, slot=1)) == 200
            records = await fleet.log.has(2)
            assert records[2].ended_s < records[1].ended_s
            assert records[2].status == pb.SUCCEEDED
            assert (records[1].status, records[1].reason) == (pb.FAILED, "nodeLost")
            assert records[1].ended_s - records[1].task.sent_s >= 0.3
            assert fleet.nodes[0].episode.idle
            assert not fleet.nodes[0]._links[1].busy
        for writer in stuck:
            writer.transport.abort()
        server.close()

    run(test())


def test_a_node_that_comes_back_is_sent_to_again():
    async def test() -> None:
        async with playing(2) as fleet:
            await fleet.send_all(1)
            address = fleet.servers[1]
            host, port = address.host, address.port
            await address.stop(0.0)
            assert await fleet.arrive(0, task(1)) == 200
            assert (await fleet.log.has(1))[1].reason == "nodeLost"
            node = fleet.nodes[1]
            fleet.servers[1] = serve(create_app(Seat(node)), hot_routes(node), (host, port))
            await fleet.servers[1].start()
            assert await fleet.arrive(0, task(2)) == 200
            record = (await fleet.log.has(2))[2]
            assert (record.status, record.place) == (pb.SUCCEEDED, 1)

    run(test())


def test_queue_lengths_are_told_to_who_is_concerned():
    async def test() -> None:
        async with playing(3) as fleet:
            await fleet.send_all(2)
            assert await fleet.arrive(0, *(task(k, size_bits=8e6) for k in range(4))) == 200
            around = fleet.nodes[2]._around
            await until(lambda: around.receiving[0] == 3)
            await fleet.log.has(4)
            await until(lambda: around.receiving[0] == 0)
            assert fleet.nodes[1]._around.receiving == [0, 0, 0]

    run(test())
