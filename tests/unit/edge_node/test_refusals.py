"""Arrivals and transfers that are repeated, misrouted, late, oversized or malformed are refused, and change nothing."""

import math

import pytest

from edgebed.wire.frames import varint
from edgebed.wire.generated import testbed_pb2 as pb
from tests.unit.edge_node.fleet import EPISODE, RUN, playing, run, task, transfer

SLOW = {"cycles": 8e9 * 30, "deadline_s": 100.0}
"""In execution for as long as a test looks."""
BYTES = 100_000

WRONG = {
    "size_bits": [0.0, -1.0, math.nan, math.inf, 1e300],
    "cycles": [0.0, -1.0, math.nan, math.inf, 1e300],
    "deadline_s": [0.0, -1.0, math.nan, math.inf, 1e300],
    "u_transmission": [0.0, -0.1, 1.1, math.nan],
    "u_execution": [0.0, -0.1, 1.1, math.inf],
    "arrived_s": [-0.1, 61.0, math.nan, -math.inf],
    "slot": [600, 2**32 - 1],
    "number": [2**31, 2**32 - 1],
}
WRONG_UNDER_WAY = {
    **WRONG,
    "source": [2, 2**32 - 1],
    "decided_s": [math.nan, math.inf, -1e300],
    "sent_s": [math.nan, math.inf, 1e300],
    "probability": [-0.1, 1.1, math.nan],
    "model_version": [2**63, 2**64 - 1],
}


def each(build, wrong):
    """`build` with every wrong value, by what it says."""
    for name, values in wrong.items():
        for value in values:
            message = build(9)
            setattr(message, name, value)
            yield f"{name}={value}", message


def refused(*requests):
    """A node in work is asked with what each `request(fleet)` sends; the answer is 4xx and nothing is different."""

    async def test() -> None:
        async with playing() as fleet:
            assert await fleet.arrive(0, task(1, **SLOW), task(2)) == 200
            before = fleet.state(0)
            for request in requests:
                status = await request(fleet)
                assert 400 <= status < 500, status
                assert fleet.state(0) == before
            assert await fleet.arrive(0, task(3)) == 200  # and the node goes on

    run(test())


def test_values_that_no_task_has_do_not_arrive():
    async def test() -> None:
        async with playing() as fleet:
            before = fleet.state(0)
            for what, message in each(task, WRONG):
                assert await fleet.arrive(0, message) == 422, what
                assert fleet.state(0) == before, what

    run(test())


def test_values_that_no_task_has_are_not_received():
    async def test() -> None:
        async with playing() as fleet:
            before = fleet.state(0)
            for what, message in each(lambda number: transfer(number, 1, 0), WRONG_UNDER_WAY):
                assert await fleet.upload(0, message.SerializeToString(), BYTES) == 422, what
                assert fleet.state(0) == before, what
            assert await fleet.upload(0, transfer(9, 1, 0).SerializeToString(), BYTES) == 200

    run(test())


@pytest.mark.parametrize(
    "tasks",
    [
        [task(1)],
        [task(9, source=1)],
        [task(9, run="another")],
        [task(9, episode=2)],
        [],
        [task(9), task(9)],
        [task(9), task(1)],
        [task(9), task(10, source=1)],
        [task(9), task(10, episode=2)],
        [task(9), task(10, cycles=-1)],
    ],
    ids=[
        "repeated",
        "misrouted",
        "run",
        "episode",
        "none",
        "twice",
        "half repeated",
        "half misrouted",
        "mixed",
        "half",
    ],
)
def test_arrivals_that_cannot_be_are_refused_as_a_whole(tasks):
    refused(lambda fleet: fleet.arrive(0, *tasks))


@pytest.mark.parametrize(
    ("head", "payload"),
    [
        (transfer(9, 1, 1), BYTES),
        (transfer(9, 0, 0), BYTES),
        (transfer(9, 0, 1), BYTES),
        (transfer(9, 1, 0, run="another"), BYTES),
        (transfer(9, 1, 0, episode=2), BYTES),
        (transfer(9, 1, 0), BYTES + 1),
        (transfer(9, 1, 0), 0),
        (transfer(9, 1, 0, run="x" * 20_000), BYTES),
    ],
    ids=["elsewhere", "from itself", "its own", "run", "episode", "more bytes", "no bytes", "long head"],
)
def test_transfers_that_cannot_be_are_refused(head, payload):
    refused(lambda fleet: fleet.upload(0, head.SerializeToString(), payload))


def test_what_is_no_message_and_what_is_too_large_is_refused():
    paths = ["/v1/arrivals", "/v1/probe", "/v1/announce", "/v1/tasks"]
    refused(*(lambda fleet, path=path: fleet.post(0, path, b"\xff" * 40) for path in paths))
    refused(*(lambda fleet, path=path: fleet.post(0, path, bytes(64 * 1024 + 1)) for path in paths))


@pytest.mark.parametrize("asker", [0, 2, 2**32 - 1])
def test_questions_and_news_of_no_other_node_are_refused(asker):
    probe = pb.Probe(run=RUN, episode=EPISODE, asker=asker).SerializeToString()
    news = pb.Announcement(run=RUN, episode=EPISODE, node=asker, waiting=3).SerializeToString()
    refused(lambda fleet: fleet.post(0, "/v1/probe", probe), lambda fleet: fleet.post(0, "/v1/announce", news))


def test_a_transfer_is_received_once():
    async def test() -> None:
        async with playing() as fleet:
            head = transfer(9, 1, 0, **SLOW).SerializeToString()
            assert await fleet.upload(0, head, BYTES) == 200
            before = fleet.state(0)
            assert await fleet.upload(0, head, BYTES) == 409
            assert fleet.state(0) == before
            assert len(fleet.nodes[0].episode.core.tasks()) == 1

    run(test())


def test_a_transfer_that_ends_early_leaves_nothing():
    async def test() -> None:
        async with playing() as fleet:
            upload = await fleet.peers[0].upload("/v1/tasks", transfer(9, 1, 0).SerializeToString(), BYTES)
            upload.write(bytes(BYTES - 1))
            while fleet.nodes[0].episode.idle:
                await fleet.arrive(0)  # the loop turns
            upload.cut()
            while not fleet.nodes[0].episode.idle:
                await fleet.arrive(0)
            assert fleet.nodes[0].episode.core.tasks() == []
            assert not fleet.nodes[0].episode.ended
            body = transfer(10, 1, 0).SerializeToString()
            assert await fleet.post(0, "/v1/tasks", varint(len(body)) + body[:-1]) == 400

    run(test())


def test_what_comes_after_the_end_is_refused():
    async def test() -> None:
        async with playing() as fleet:
            assert await fleet.arrive(0, task(1)) == 200
            await fleet.log.has(1)
            end = await fleet.finish(0)
            assert (end["created"], end["ended"]["succeeded"], end["recordsDelivered"]) == (1, 1, True)
            before = fleet.state(0)
            assert await fleet.arrive(0, task(2)) == 409
            assert await fleet.upload(0, transfer(3, 1, 0).SerializeToString(), BYTES) == 409
            assert fleet.state(0) == before
            assert await fleet.finish(0) == end  # who lost the answer asks again
            assert list(fleet.log.by_number()) == [1]

    run(test())


def test_a_task_whose_policy_fails_is_unfinished_and_the_reason_is_told():
    async def test() -> None:
        async with playing(1) as fleet:
            await fleet.decide("fixed", decisions=[[0, 0, 0]])
            assert await fleet.arrive(0, task(1), task(2, slot=5), task(3)) == 200
            assert "FixedDecisions" in str(fleet.nodes[0].fault)
            await fleet.log.has(2)
            end = await fleet.finish(0)
            assert end["ended"] == {"succeeded": 2, "dropped": 0, "failed": 0, "unfinished": 1}
            assert "FixedDecisions" in end["fault"]
            assert fleet.log.by_number()[2].status == pb.UNFINISHED

    run(test())
