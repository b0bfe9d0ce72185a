"""The rules of the model on the wall clock: deadlines that abort, failures that cut, and the horizon.

Lengths are chosen so that what ought to come first comes first by a wide margin; only order and lower bounds are tested.
"""

import math

import pytest

from edgebed.wire.generated import testbed_pb2 as pb
from tests.unit.edge_node.fleet import CAPACITY, RATE, bare, playing, run, silent, task, until

ABORT = {"dropPolicy": "abortAtDeadline"}
LONG = {"size_bits": RATE * 30.0}
"""Thirty seconds on a link."""
WORK = {"cycles": CAPACITY * 30.0}
UNLUCKY = 0.9
"""exp(-T rate) is below it for what takes long enough."""


@pytest.mark.parametrize("application", ["synthetic", "cpu"])
def test_a_deadline_stops_an_execution_and_the_next_one_begins(application):
    async def test() -> None:
        async with playing(1, rules=ABORT, application={"kind": application}) as fleet:
            assert await fleet.arrive(0, task(1, deadline_s=0.2, **WORK), task(2)) == 200
            records = await fleet.log.has(2)
            assert [records[k].status for k in (1, 2)] == [pb.DROPPED, pb.SUCCEEDED]
            assert records[1].ended_s >= 0.2
            assert records[2].started_s >= records[1].ended_s
            assert fleet.nodes[0].episode.idle

    run(test())


def test_a_deadline_stops_a_transfer_and_the_next_one_begins():
    async def test() -> None:
        async with playing(2, rules=ABORT) as fleet:
            await fleet.send_all(1)
            assert await fleet.arrive(0, task(1, deadline_s=0.3, **LONG), task(2)) == 200
            await until(lambda: fleet.nodes[1].measured.received_bytes)
            records = await fleet.log.has(2)
            assert (records[1].status, records[1].place, records[1].reason) == (pb.DROPPED, 0, "")
            assert records[1].ended_s >= 0.3
            assert (records[2].status, records[2].place) == (pb.SUCCEEDED, 1)
            assert records[2].task.sent_s >= records[1].ended_s
            await until(lambda: fleet.nodes[1].episode.idle)
            assert 0 < fleet.nodes[1].measured.received_bytes < RATE * 30 / 8 / 10

    run(test())


def test_a_deadline_takes_a_task_out_of_the_receivers_queue():
    async def test() -> None:
        async with playing(2, rules=ABORT) as fleet:
            await fleet.decide("fixed", decisions=[[0, 1, 1], [0, 0, 1]])
            assert await fleet.arrive(1, task(1, 1, deadline_s=5.0, cycles=CAPACITY)) == 200
            assert await fleet.arrive(0, task(2, deadline_s=0.3)) == 200
            records = await fleet.log.has(2)
            assert (records[2].status, records[2].place) == (pb.DROPPED, 1)
            assert not records[2].HasField("started_s")
            assert records[1].status == pb.SUCCEEDED

    run(test())


@pytest.mark.parametrize("time", ["atInstant", "atEnd"])
def test_a_transfer_that_fails_is_cut_and_its_link_is_free_when_the_rule_says(time):
    """It would take 0.4 s and fails after 0.05 s, by -ln(u) / beta."""
    beta = -math.log(UNLUCKY) / 0.05

    async def test() -> None:
        async with playing(2, rules={"failureTime": time}, beta=beta) as fleet:
            await fleet.send_all(1)
            bad = task(1, size_bits=RATE * 0.4, u_transmission=UNLUCKY)
            assert await fleet.arrive(0, bad, task(2, u_transmission=0.01)) == 200
            records = await fleet.log.has(2)
            assert (records[1].status, records[1].place, records[1].reason) == (pb.FAILED, 0, "")
            busy = records[1].ended_s - records[1].task.sent_s
            assert busy == pytest.approx(0.05 if time == "atInstant" else 0.4, abs=1e-6)
            assert records[2].status == pb.SUCCEEDED
            assert records[2].task.sent_s >= records[1].ended_s
            whole = RATE * 0.4 / 8
            assert fleet.nodes[1].measured.received_bytes < whole / 2 + RATE * 0.01 / 8
            assert not fleet.nodes[1].episode.core.tasks()

    run(test())


@pytest.mark.parametrize("application", ["synthetic", "cpu"])
@pytest.mark.parametrize("time", ["atInstant", "atEnd"])
def test_an_execution_that_fails_occupies_the_node_as_long_as_the_rule_says(time, application):
    alpha = -math.log(UNLUCKY) / 0.05

    async def test() -> None:
        kind = {"kind": application}
        async with playing(1, rules={"failureTime": time}, alpha=alpha, application=kind) as fleet:
            bad = task(1, cycles=CAPACITY * 0.4, u_execution=UNLUCKY)
            assert await fleet.arrive(0, bad, task(2, u_execution=0.01)) == 200
            records = await fleet.log.has(2)
            assert [records[k].status for k in (1, 2)] == [pb.FAILED, pb.SUCCEEDED]
            assert records[1].ended_s - records[1].started_s >= (0.049 if time == "atInstant" else 0.399)
            assert records[2].started_s >= records[1].ended_s

    run(test())


def test_a_deadline_between_the_failure_and_its_end_is_the_end():
    """atEnd keeps a failed stage's server occupied; abortAtDeadline frees it, and the stage's end is nobody's any more."""
    rate = -math.log(UNLUCKY) / 0.05
    rules = {**ABORT, "failureTime": "atEnd"}

    async def test() -> None:
        async with playing(2, rules=rules, alpha=rate, beta=rate, application={"kind": "cpu"}) as fleet:
            await fleet.decide("fixed", decisions=[[0, 0, 1], [0, 1, 1]])
            sent = task(1, size_bits=RATE * 0.5, deadline_s=0.2, u_transmission=UNLUCKY)
            done = task(2, 1, cycles=CAPACITY * 0.5, deadline_s=0.2, u_execution=UNLUCKY)
            lucky = {"u_transmission": 1e-9, "u_execution": 1e-9}
            assert await fleet.arrive(0, sent, task(3, size_bits=RATE * 0.6, **lucky)) == 200
            assert await fleet.arrive(1, done, task(4, 1, cycles=CAPACITY * 0.6, **lucky)) == 200
            records = await fleet.log.has(4)
            assert [records[k].status for k in (1, 2, 3, 4)] == [pb.DROPPED, pb.DROPPED, pb.SUCCEEDED, pb.SUCCEEDED]
            for first, second in (
                (records[1].ended_s, records[3].task.sent_s),
                (records[2].ended_s, records[4].started_s),
            ):
                assert 0.2 <= first <= second
            assert records[3].received_s - records[3].task.sent_s >= 0.599

    run(test())


@pytest.mark.parametrize("horizon", ["cutDrop", "cutIgnore"])
def test_the_horizon_cuts_everything_and_records_it_as_unfinished(horizon):
    """One is executed, one waits behind it, one is on a link, one waits for the link, and one is being decided."""

    async def test() -> None:
        async with playing(3, slots=5, rules={"horizon": horizon}) as fleet:
            await fleet.decide("fixed", decisions=[[0, 0, 0], [1, 0, 1]])
            later = {"deadline_s": 1000.0}
            assert await fleet.arrive(0, task(1, **WORK, **later), task(2, **later)) == 200
            assert await fleet.arrive(0, task(3, slot=1, **LONG, **later), task(4, slot=1, **later)) == 200
            records = await fleet.log.has(4)
            assert {record.status for record in records.values()} == {pb.UNFINISHED}
            assert not any(record.HasField("ended_s") for record in records.values())
            assert [records[k].HasField("started_s") for k in (1, 2)] == [True, False]
            assert await fleet.arrive(0, task(5)) == 409
            end = await fleet.finish(0)
            assert (end["created"], end["ended"]["unfinished"], end["fault"]) == (4, 4, None)
            await until(lambda: fleet.nodes[1].episode.idle)
            assert (await fleet.finish(1))["ended"]["unfinished"] == 0

    run(test())


def test_an_episode_that_drains_goes_on_after_its_last_slot():
    async def test() -> None:
        async with playing(1, slots=1) as fleet:
            assert await fleet.arrive(0, task(1, cycles=CAPACITY * 0.3)) == 200
            record = (await fleet.log.has(1))[1]
            assert record.status == pb.SUCCEEDED
            assert record.ended_s >= 0.3

    run(test())


def test_a_task_that_waits_for_answers_at_the_end_is_unfinished():
    async def test() -> None:
        async with bare(1) as fleet, silent() as mute:
            await fleet.configure([fleet.servers[0].address, mute])
            await fleet.decide("ratc")
            await fleet.begin()
            assert await fleet.arrive(0, task(1)) == 200
            assert not fleet.nodes[0].episode.idle
            end = await fleet.finish(0)
            assert (end["created"], end["ended"]["unfinished"], end["recordsDelivered"]) == (1, 1, True)
            assert fleet.log.by_number()[1].status == pb.UNFINISHED
            assert fleet.nodes[0].episode.idle

    run(test())
