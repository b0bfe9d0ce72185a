"""No record is lost while the log is away: in memory, on the disk, and over the end of the process."""

import asyncio
import os

import pytest

from edgebed.edge_node import recorder as module
from edgebed.edge_node.recorder import Recorder
from edgebed.edge_node.spool import Spool
from edgebed.wire.client import Peer
from edgebed.wire.generated import testbed_pb2 as pb
from tests.unit.edge_node.fleet import Log, playing, run, task, until

MEMORY = 50


def record(number: int) -> pb.TaskRecord:
    return pb.TaskRecord(task=task(number), status=pb.SUCCEEDED, ended_s=1.0)


def numbers(log: Log) -> list[int]:
    return [found.task.number for found in log.records]


async def started(log: Log, folder, **options) -> Recorder:
    made = Recorder(3, Peer(log.address), folder, in_memory=MEMORY, **options)
    made.start()
    return made


async def log_that_was_there() -> Log:
    """Its address is known; nobody is there."""
    log = Log()
    await log.start()
    await log.stop()
    return log


def test_records_are_delivered_in_order_and_once(tmp_path):
    async def test() -> None:
        log = Log()
        await log.start()
        recorder = await started(log, tmp_path)
        for number in range(1234):
            recorder.put(record(number))
        assert await recorder.flush(10)
        assert sorted(numbers(log)) == list(range(1234))
        assert (recorder.delivered, recorder.unsent, recorder.spooled) == (1234, 0, 0)
        assert list(tmp_path.iterdir()) == []
        await recorder.stop()
        await log.stop()

    run(test())


@pytest.mark.parametrize("spooling", [False, True])
def test_an_outage_is_borne_and_made_good(spooling, tmp_path):
    async def test() -> None:
        log = await log_that_was_there()
        recorder = await started(log, tmp_path if spooling else None)
        for number in range(180):
            recorder.put(record(number))
            await asyncio.sleep(0)
        await until(lambda: recorder.reason)
        assert recorder.unsent == 180
        assert recorder.spooled == (153 if spooling else 0)
        assert not await recorder.flush(0.05)
        await log.start()
        assert await recorder.flush(10)
        assert sorted(numbers(log)) == list(range(180))
        assert (recorder.delivered, recorder.unsent, recorder.reason) == (180, 0, "")
        assert list(tmp_path.iterdir()) == []
        await recorder.stop()
        await log.stop()

    run(test())


@pytest.mark.parametrize("status", [503, 500, 429, 408, 401])
def test_a_log_that_cannot_take_them_now_is_asked_again(status):
    async def test() -> None:
        log = Log()
        await log.start()
        log.answer = status
        recorder = await started(log, None)
        recorder.put(record(1))
        await until(lambda: recorder.reason)
        assert (recorder.unsent, recorder.refused) == (1, 0)
        log.answer = 200
        assert await recorder.flush(10)
        assert numbers(log) == [1]
        await recorder.stop()
        await log.stop()

    run(test())


def test_records_that_are_refused_for_ever_do_not_hold_up_the_others():
    async def test() -> None:
        log = Log()
        await log.start()
        log.answer = 422
        recorder = await started(log, None)
        recorder.put(record(1))
        await until(lambda: recorder.refused == 1)
        log.answer = 200
        recorder.put(record(2))
        assert await recorder.flush(10)
        assert (numbers(log), recorder.delivered) == ([2], 1)
        await recorder.stop()
        await log.stop()

    run(test())


def test_what_is_left_when_the_process_ends_is_delivered_by_the_next(tmp_path):
    async def test() -> None:
        log = await log_that_was_there()
        recorder = await started(log, tmp_path)
        for number in range(70):
            recorder.put(record(number))
        await recorder.stop(0.05)
        assert (recorder.unsent, recorder.spooled) == (70, 70)
        await log.start()
        following = await started(log, tmp_path)
        assert following.unsent == 70
        await until(lambda: not following.unsent)  # nobody has to ask for it
        assert numbers(log) == list(range(70))
        assert list(tmp_path.iterdir()) == []
        await following.stop()
        await log.stop()

    run(test())


def test_stopping_in_the_middle_of_a_delivery_loses_nothing(tmp_path):
    async def test() -> None:
        taken = asyncio.get_running_loop().create_future()

        async def listen(reader, writer):
            await reader.read(1)
            taken.set_result(writer)

        mute = await asyncio.start_server(listen, "127.0.0.1", 0)
        log = Log()
        log.port = mute.sockets[0].getsockname()[1]
        recorder = await started(log, tmp_path)
        for number in range(5):
            recorder.put(record(number))
        writer = await taken
        assert recorder.unsent == 5
        await recorder.stop(0.0)
        assert Spool(tmp_path / "node-3.records").records == 5
        writer.transport.abort()
        mute.close()

    run(test())


def test_a_node_keeps_its_records_while_the_log_is_away(tmp_path, monkeypatch):
    """The end of the episode says so; the next configuration's recorder delivers them."""
    monkeypatch.setattr("edgebed.edge_node.service.FLUSH_S", 0.1)

    async def test() -> None:
        async with playing(1, tmp_path) as fleet:
            await fleet.log.stop()
            for number in range(8):
                assert await fleet.arrive(0, task(number)) == 200
            await until(lambda: sum(fleet.nodes[0].episode.ended.values()) == 8)
            end = await fleet.finish(0)
            assert (end["recordsDelivered"], end["recordsUnsent"]) == (False, 8)
            await fleet.log.start()
            await fleet.configure()
            assert sorted(await fleet.log.has(8)) == list(range(8))
            assert len(fleet.log.records) == 8

    run(test())


def test_a_full_disk_leaves_the_records_in_memory(tmp_path):
    async def test() -> None:
        log = await log_that_was_there()
        (tmp_path / "file").write_text("in the way")
        recorder = Recorder(3, Peer(log.address), None, in_memory=MEMORY)
        recorder._spool = Spool.__new__(Spool)
        recorder._spool._path, recorder._spool._at, recorder._spool.records = tmp_path / "file" / "x", 0, 0
        recorder.start()
        for number in range(3 * MEMORY):
            recorder.put(record(number))
        assert (recorder.unsent, recorder.spooled) == (3 * MEMORY, 0)
        await log.start()
        assert await recorder.flush(10)
        assert len(log.records) == 3 * MEMORY
        await recorder.stop()
        await log.stop()

    run(test())


def test_batches_are_bounded(tmp_path):
    spool = Spool(tmp_path / "x")
    recorder = Recorder.__new__(Recorder)
    recorder._node = 1
    assert len(recorder._batch([record(k) for k in range(module.BATCH)])[0]) < 4 << 20
    assert spool.first() is None


class TestSpool:
    """The file itself."""

    BODIES = ((b"a" * 5, 1), (b"", 1), (b"b" * 300, 40))

    def taken(self, spool):
        found = []
        while (one := spool.first()) is not None:
            found.append(one)
            spool.forget(*one)
        return found

    def test_gives_what_it_was_given_in_order(self, tmp_path):
        spool = Spool(tmp_path / "a" / "x")
        spool.append(self.BODIES[:2])
        assert spool.first() == spool.first() == self.BODIES[0]
        spool.append(self.BODIES[2:])
        assert spool.records == 42
        assert self.taken(spool) == list(self.BODIES)
        assert not (tmp_path / "a" / "x").exists()
        spool.append(self.BODIES)
        assert self.taken(spool) == list(self.BODIES)

    def test_a_next_process_finds_everything_that_is_left_at_least(self, tmp_path):
        spool = Spool(tmp_path / "x")
        spool.append(self.BODIES)
        first = spool.first()
        assert first is not None
        spool.forget(*first)
        assert self.taken(Spool(tmp_path / "x")) == list(self.BODIES)

    def test_a_frame_that_a_crash_cut_off_is_removed_wherever_it_was_cut(self, tmp_path):
        path = tmp_path / "x"
        Spool(path).append(self.BODIES)
        whole = path.read_bytes()
        ends = [0, 13, 21, 329]
        assert ends[-1] == len(whole)
        for cut in {
            *range(0, len(whole), 9),
            *(end + by for end in ends for by in (0, 1, 7, 8) if end + by <= len(whole)),
        }:
            path.write_bytes(whole[:cut])
            spool = Spool(path)
            kept = sum(end <= cut for end in ends) - 1
            assert os.path.getsize(path) == ends[kept]
            spool.append([(b"later", 2)])
            assert self.taken(spool) == list(self.BODIES[:kept]) + [(b"later", 2)]
