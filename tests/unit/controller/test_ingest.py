"""Records come in once each, or not at all: what is malformed changes nothing, and what comes twice counts once."""

import random
from collections.abc import Iterator

import pytest

from edgebed.controller.ingest import Ingest, row_of
from edgebed.stores.task_log import COLUMNS
from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.problems import Problem


class Kept:
    """A writer that keeps what it is given: the log's writer has tests of its own."""

    def __init__(self) -> None:
        self.rows: list[tuple[object, ...]] = []
        self.queued = 0

    def put(self, rows: list[tuple[object, ...]]) -> None:
        self.rows += rows


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def ingest(kept: Kept) -> Ingest:
    return Ingest(kept)


def batch(numbers: Iterator[int] | range, episode: int = 0) -> pb.RecordBatch:
    """Records of tasks that node 1 executed for node 0."""
    made = pb.RecordBatch(node=1)
    for number in numbers:
        header = pb.TaskHeader(
            run="run-1",
            episode=episode,
            number=number,
            slot=number // 3,
            source=0,
            size_bits=8e6,
            cycles=4e9,
            deadline_s=1.0,
            arrived_s=0.1 * (number // 3),
            u_transmission=0.5,
            u_execution=0.25,
            destination=1,
            decided_s=0.3,
            sent_s=0.31,
            probability=0.5,
            model_version=7,
        )
        made.records.add(task=header, status=pb.SUCCEEDED, received_s=0.5, started_s=0.6, ended_s=0.9, place=1)
    return made


def stored(ingest: Ingest, message: pb.RecordBatch) -> int:
    return int(pb.RecordReceipt.FromString(ingest.take(message.SerializeToString(), None)).stored)


def test_a_record_becomes_a_row_of_the_log(ingest, kept):
    assert stored(ingest, batch(range(1))) == 1
    row = dict(zip(COLUMNS, kept.rows[0], strict=True))
    assert row["run"] == "run-1"
    assert (row["task"], row["source"], row["destination"], row["place"]) == (0, 0, 1, 1)
    assert (row["sent_s"], row["received_s"], row["started_s"], row["ended_s"]) == (0.31, 0.5, 0.6, 0.9)
    assert (row["status"], row["probability"], row["model_version"], row["reason"]) == (1, 0.5, 7, "")


def test_instants_that_a_task_never_reached_are_empty():
    message = batch(range(1))
    record = message.records[0]
    record.task.destination, record.place, record.status = 0, 0, pb.DROPPED
    record.task.ClearField("sent_s")
    for name in ("received_s", "started_s"):
        record.ClearField(name)
    row = dict(zip(COLUMNS, row_of(record), strict=True))
    assert [row[name] for name in ("sent_s", "received_s", "started_s")] == [None, None, None]
    assert row["ended_s"] == 0.9


def test_who_waits_for_an_episode_sees_each_task_once(ingest):
    arrivals = ingest.watch("run-1", 0)
    assert stored(ingest, batch(range(3))) == 3
    assert stored(ingest, batch(range(2, 5))) == 2
    assert stored(ingest, batch(range(5), episode=1)) == 5  # of another episode, which nobody waits for
    assert arrivals.ended() == {"succeeded": 5, "dropped": 0, "failed": 0, "unfinished": 0}
    assert arrivals.wait(5, 0.0)
    assert not arrivals.wait(6, 0.01)
    with ingest.watch("run-1", 1) as other:
        assert stored(ingest, batch(range(2), episode=1)) == 2
        assert stored(ingest, batch(range(3), episode=1)) == 1
        assert other.wait(3, 0.0)
        assert not arrivals.wait(6, 0.0)  # two episodes, of two runs or one, are counted apart


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: setattr(r.task, "run", ""), "run ''"),
        (lambda r: setattr(r.task, "size_bits", 0.0), "size_bits 0.0"),
        (lambda r: setattr(r.task, "cycles", float("inf")), "cycles inf"),
        (lambda r: setattr(r.task, "arrived_s", float("nan")), "arrived_s nan"),
        (lambda r: setattr(r.task, "u_execution", 1.5), "uniform"),
        (lambda r: setattr(r.task, "probability", -0.1), "probability -0.1"),
        (lambda r: setattr(r.task, "number", 2**31), "over 2147483647"),
        (lambda r: setattr(r, "ended_s", float("nan")), "ended_s nan"),
        (lambda r: setattr(r, "reason", "x" * 101), "reason has 101"),
        (lambda r: r.MergeFromString(b"\x10\x09"), "status 9"),
    ],
)
def test_a_record_that_cannot_be_refuses_its_whole_batch(ingest, kept, change, said):
    message = batch(range(3))
    change(message.records[1])
    with pytest.raises(Problem) as caught:
        ingest.take(message.SerializeToString(), None)
    assert caught.value.status == 422
    assert said in caught.value.detail
    assert kept.rows == []
    assert ingest.refused == 1


def test_mutated_bodies_are_refused_or_are_records(ingest, kept):
    """Of 3,000 bodies with bytes changed, cut or added, none raises anything but a problem, and no row is out of range."""
    seed = 20
    rng = random.Random(seed)
    good = batch(range(4)).SerializeToString()
    refused = 0
    for _ in range(3000):
        body = bytearray(good)
        for _ in range(rng.randrange(1, 8)):
            match rng.randrange(3):
                case 0:
                    body[rng.randrange(len(body))] = rng.randrange(256)
                case 1:
                    del body[rng.randrange(len(body)) :]
                    body = body or bytearray(b"\x0a")
                case _:
                    body.insert(rng.randrange(len(body)), rng.randrange(256))
        before = len(kept.rows)
        problem = problem_of(ingest, bytes(body))
        if problem is not None:
            refused += 1
            assert 400 <= problem.status < 500, seed
            assert len(kept.rows) == before, seed
    assert refused > 1000
    for row in kept.rows:
        found = dict(zip(COLUMNS, row, strict=True))
        assert found["size_bits"] > 0
        assert 0 <= found["status"] <= 3
        assert 0 <= found["task"] < 2**31


def problem_of(ingest: Ingest, body: bytes) -> Problem | None:
    """Why a body is refused; None when it is not."""
    try:
        ingest.take(body, None)
    except Problem as problem:
        return problem
    return None


def test_when_the_log_is_away_for_too_long_nodes_keep_their_records(ingest, kept):
    kept.queued = 2_000_000
    with pytest.raises(Problem) as caught:
        stored(ingest, batch(range(1)))
    assert caught.value.status == 503
    assert kept.rows == []
