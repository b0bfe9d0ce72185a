"""The log writer loses nothing, says nothing twice, and keeps nobody waiting, whatever becomes of the database and the disk."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores import log_writer
from edgebed.stores.log_writer import LogWriter
from edgebed.stores.task_log import TaskLogStore
from edgebed.systems.cooperative.errors import ModelError
from tests.stores.doors import Door
from tests.stores.kill import environment
from tests.stores.records import rows

LONG_S = 60.0


@pytest.fixture
def store(tmp_path):
    store = TaskLogStore(f"sqlite:///{tmp_path}/tasks.db", busy_s=0.05)
    yield store
    store.close()


@pytest.fixture
def door(store):
    return Door(store.append_rows)


@pytest.fixture
def writer(door, tmp_path):
    writer = LogWriter(door, tmp_path / "spool")
    yield writer
    door.open = True
    writer.close(LONG_S)


def spooled(tmp_path):
    return sorted(p.name for p in (tmp_path / "spool").glob("*.npz"))


def test_everything_is_stored(writer, store):
    """From several threads at once; the counters say so."""
    threads = [
        threading.Thread(target=lambda n=n: [writer.put(rows(range(b, b + 50), episode=n)) for b in range(0, 1000, 50)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush(LONG_S)
    assert [store.tasks_of("run", n) for n in range(4)] == [set(range(1000))] * 4
    counts = writer.counts()
    assert (counts.queued, counts.stored, counts.repeated, counts.spooled, counts.refused) == (0, 4000, 0, 0, 0)
    assert 1 <= counts.batches <= 80
    assert writer.fault is None


def test_a_task_sent_again_is_counted_as_repeated(writer):
    """A node that heard no answer sends its records again."""
    for tasks in (range(100), range(100), range(50, 150)):
        writer.put(rows(tasks))
    assert writer.flush(LONG_S)
    assert (writer.stored, writer.repeated, writer.queued) == (150, 150, 0)


def test_rows_share_a_transaction(writer, door):
    """Rows that come one by one do not cost a transaction each."""
    for task in range(300):
        writer.put(rows([task]))
    assert writer.flush(LONG_S)
    assert writer.batches < 100


def test_rows_are_stored_without_being_asked(writer, door):
    """A log that nobody flushes is soon up to date all the same."""
    writer.put(rows(range(10)))
    until = time.monotonic() + LONG_S
    while writer.queued and time.monotonic() < until:
        time.sleep(log_writer.INTERVAL_S / 10)
    assert len(door.passed) == 10


def test_a_flush_waits_for_what_was_put_before(tmp_path):
    """Others may go on putting: it ends all the same."""

    def append(some):
        writer.put(rows([1000 + len(door.passed)]))
        return len(some)

    door = Door(append)
    writer = LogWriter(door, tmp_path / "spool")
    writer.put(rows(range(100)))
    assert writer.flush(LONG_S)
    assert [row[2] for row in door.passed[:100]] == list(range(100))
    door.append = len
    assert writer.close(LONG_S)
    assert writer.queued == 0


def test_nobody_waits_for_a_database_that_hangs(tmp_path):
    """Rows are taken at once up to the limit of memory, then refused; those that were taken are stored when it goes on."""
    free = threading.Event()
    door = Door(lambda some: free.wait(LONG_S) and len(some))
    writer = LogWriter(door, tmp_path / "spool", limit=1000)
    begin = time.monotonic()
    for b in range(0, 1000, 100):
        writer.put(rows(range(b, b + 100)))
    with pytest.raises(EnvironmentFault, match="too slow"):
        writer.put(rows(range(1000, 1100)))
    assert not writer.flush(0.05)
    assert time.monotonic() - begin < LONG_S / 2
    assert writer.queued == 1000
    free.set()
    assert writer.flush(LONG_S)
    writer.put(rows(range(1000, 1100)))
    assert writer.close(LONG_S)
    assert [row[2] for row in door.passed] == list(range(1100))


def test_rows_wait_in_the_spool(writer, door, store, tmp_path):
    """While the database is away, rows are on the disk and not in memory; when it is back, they are stored in their order."""
    door.open = False
    for b in range(0, 900, 300):
        writer.put(rows(range(b, b + 300)))
        door.wait_for_a_try()
        assert not writer.flush(0.0)
    door.wait_for_a_try()
    assert "door is shut" in str(writer.fault)
    assert writer.queued == writer.counts().spooled == 900
    assert spooled(tmp_path)
    door.open = True
    assert writer.flush(LONG_S)
    assert [row[2] for row in door.passed] == list(range(900))
    assert writer.fault is None
    assert spooled(tmp_path) == []
    assert store.tasks_of("run", 0) == set(range(900))


def test_more_than_memory_waits_in_the_spool(door, tmp_path):
    """A long outage takes disk, not memory."""
    door.open = False
    writer = LogWriter(door, tmp_path / "spool", limit=400)
    for b in range(0, 2000, 400):
        writer.put(rows(range(b, b + 400)))
        for _ in range(2):  # after the second try, what was there at the first is in the spool
            writer.flush(0.0)
            door.wait_for_a_try()
    assert writer.queued == 2000
    door.open = True
    assert writer.close(LONG_S)
    assert [row[2] for row in door.passed] == list(range(2000))


def test_the_first_of_two_stays(writer, door, store):
    """Also when both went through the spool."""
    door.open = False
    for status in (1, 2, 3):
        writer.put(rows(range(10), status=status))
        door.wait_for_a_try()
    door.open = True
    assert writer.flush(LONG_S)
    assert store.counts("run", 0)["succeeded"] == 10


def test_a_new_process_goes_on_with_the_spool(door, store, tmp_path):
    """What is left at the end comes before what is put after the start."""
    door.open = False
    first = LogWriter(door, tmp_path / "spool")
    first.put(rows(range(700), status=1))
    assert not first.close(0.0)
    assert first.close(0.0) is False
    with pytest.raises(RuntimeError, match="closed"):
        first.put(rows([1]))
    door.open = True
    second = LogWriter(door, tmp_path / "spool")
    second.put(rows(range(600, 800), status=2))
    assert second.flush(LONG_S)
    assert second.close(LONG_S)
    assert store.counts("run", 0) == {"succeeded": 700, "dropped": 100, "failed": 0, "unfinished": 0}
    assert spooled(tmp_path) == []


def test_new_rows_wait_for_all_spooled_ones(door, tmp_path):
    """What is put while older rows are being replayed comes after the last of them."""
    door.open = False
    first = LogWriter(door, tmp_path / "spool")
    for begin in (0, 100, 200):
        first.put(rows(range(begin, begin + 100)))
        first.flush(0.0)
        door.wait_for_a_try()
        door.wait_for_a_try()
    first.close(0.0)
    assert len(spooled(tmp_path)) >= 3
    begun, free = threading.Event(), threading.Event()

    def append(some):
        begun.set()
        free.wait(LONG_S)
        return len(some)

    slow = Door(append)
    second = LogWriter(slow, tmp_path / "spool")
    assert begun.wait(LONG_S)
    second.put(rows(range(300, 400)))
    free.set()
    assert second.close(LONG_S)
    assert [row[2] for row in slow.passed] == list(range(400))


def wrong_rows():
    good = rows(range(1000))
    return [*good[:321], (*good[0][:3], None, *good[0][4:]), *good[321:700], rows([2000], status=9)[0], *good[700:]]


@pytest.mark.parametrize("shut", [False, True], ids=["at once", "through the spool"])
def test_a_record_nobody_takes_holds_up_nothing(writer, door, store, tmp_path, shut, caplog):
    """It is set aside with its reason, counted and logged; all others are stored."""
    door.open = not shut
    writer.put(wrong_rows())
    if shut:
        door.wait_for_a_try()
        door.wait_for_a_try()
        door.open = True
    assert writer.flush(LONG_S)
    assert store.tasks_of("run", 0) == set(range(1000))
    assert (writer.stored, writer.refused, writer.queued) == (1000, 2, 0)
    aside = [json.loads(line) for line in (tmp_path / "spool" / "refused.jsonl").read_text().splitlines()]
    assert {line["record"][2] for line in aside} == {0, 2000}
    assert all(line["reason"] for line in aside)
    assert "set aside" in caplog.text


def test_without_a_spool_rows_stay_in_memory(tmp_path, door):
    """When the disk takes nothing either, memory keeps what it can, then refuses; nothing that was taken is lost."""
    door.open = False
    writer = LogWriter(door, tmp_path / "spool", limit=500)
    shutil.rmtree(tmp_path / "spool")
    writer.put(rows(range(400)))
    door.wait_for_a_try()
    door.wait_for_a_try()
    with pytest.raises(EnvironmentFault, match=r"door is shut; open it; and .*spool cannot be written.*EDGEBED_SPOOL"):
        writer.put(rows(range(400, 600)))
    writer.put(rows(range(400, 500)))
    door.open = True
    assert writer.close(LONG_S)
    assert [row[2] for row in door.passed] == list(range(500))


def test_rows_that_nothing_takes_are_told(tmp_path, door):
    """A writer that must close with rows in memory says how many are lost."""
    door.open = False
    writer = LogWriter(door, tmp_path / "spool")
    shutil.rmtree(tmp_path / "spool")
    writer.put(rows(range(40)))
    with pytest.raises(EnvironmentFault, match=r"40 records of the task log are lost.*EDGEBED_SPOOL"):
        writer.close(0.0)


def test_a_mistake_in_the_writer_is_heard_of(tmp_path):
    """Nobody waits for a thread that ended; the rows are in the spool."""
    writer = LogWriter(lambda _: 1 // 0, tmp_path / "spool")
    writer.put(rows(range(10)))
    with pytest.raises(RuntimeError, match="the log writer ended"):
        writer.flush(LONG_S)
    with pytest.raises(RuntimeError, match="the log writer ended"):
        writer.put(rows([11]))
    with pytest.raises(RuntimeError, match="the log writer ended"):
        writer.close(LONG_S)
    door = Door()
    assert LogWriter(door, tmp_path / "spool").close(LONG_S)
    assert [row[2] for row in door.passed] == list(range(10))


def test_what_is_wrong_for_good_is_not_tried_for_ever(tmp_path):
    """A database that refuses every row still lets a flush end."""

    def refuse(_):
        raise ModelError("records", "all", "give none")

    writer = LogWriter(refuse, tmp_path / "spool")
    writer.put(rows(range(33)))
    assert writer.flush(LONG_S)
    assert (writer.refused, writer.batches) == (33, 0)
    assert writer.close(LONG_S)


def test_a_locked_database_is_borne(store, writer, tmp_path):
    """Another program holds the file for a while: rows go to the spool, then to the database."""
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer.put(rows(range(500)))
    until = time.monotonic() + LONG_S
    while not writer.spooled and time.monotonic() < until:
        writer.flush(0.1)
    assert writer.spooled == 500
    assert "database is locked" in str(writer.fault)
    other.execute("ROLLBACK")
    other.close()
    assert writer.flush(LONG_S)
    assert store.tasks_of("run", 0) == set(range(500))


def test_a_full_disk_is_borne(small_disk, tmp_path):
    """Database on a full disk, spool on another: all records are there once some space is."""
    (small_disk / "ballast").write_bytes(bytes(3_300_000))
    store = TaskLogStore(f"sqlite:///{small_disk}/tasks.db", busy_s=0.05)
    writer = LogWriter(store.append_rows, tmp_path / "spool")
    writer.put(rows(range(10_000)))
    until = time.monotonic() + LONG_S
    while not writer.spooled and time.monotonic() < until:
        writer.flush(0.1)
    assert "free some space" in str(writer.fault)
    (small_disk / "ballast").unlink()
    assert writer.flush(LONG_S)
    assert store.tasks_of("run", 0) == set(range(10_000))
    assert writer.close(LONG_S)
    store.close()


CHILD = """
import sys
from pathlib import Path
from edgebed.stores.log_writer import LogWriter
from edgebed.stores.task_log import TaskLogStore
from tests.stores.records import rows
store = TaskLogStore(f"sqlite:///{sys.argv[1]}/tasks.db", busy_s=0.05)
writer = LogWriter(store.append_rows, Path(sys.argv[1]) / "spool")
print("open", flush=True)
sys.stdin.readline()
for begin in range(0, 20_000, 500):
    writer.put(rows(range(begin, begin + 500)))
while writer.counts().spooled < 20_000:
    writer.flush(0.1)
print("spooled", flush=True)
sys.stdin.readline()
"""


def test_a_killed_writer_leaves_its_spool(tmp_path):
    """kill -9 while the database is locked: the next process finds all records, and the database takes each once."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as child:
        assert child.stdout.readline() == "open\n"
        other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "spooled\n"
        os.kill(child.pid, signal.SIGKILL)
        child.wait(LONG_S)
    other.execute("ROLLBACK")
    other.close()
    store = TaskLogStore(f"sqlite:///{tmp_path}/tasks.db")
    writer = LogWriter(store.append_rows, tmp_path / "spool")
    assert writer.flush(LONG_S)
    assert writer.stored == 20_000
    assert store.tasks_of("run", 0) == set(range(20_000))
    assert spooled(tmp_path) == []
    assert writer.close()
    store.close()
