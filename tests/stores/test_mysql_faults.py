"""The log on its way into a real MySQL that is stopped, killed, frozen, or cuts connections: nothing is lost, nothing twice."""

import contextlib
import threading
import time

import pymysql
import pytest

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores import mysql, mysql_binary
from edgebed.stores.database import Away
from edgebed.stores.log_writer import LogWriter
from edgebed.stores.task_log import TaskLogStore
from tests import servers
from tests.stores.mysql_server import LONG_S, emptied, execute, load, others
from tests.stores.records import record, rows

RATE = 2000
LIMIT_S = 1.0
"""Of an answer in the tests of a frozen server; the real one is ten times as long."""


@pytest.fixture
def url():
    address = servers.need_to_stop("mysql")
    yield emptied(address)
    servers.start("mysql")


@pytest.fixture
def store(url):
    store = TaskLogStore(url, busy_s=1)
    yield store
    store.close()


@pytest.fixture
def writer(store, tmp_path):
    writer = LogWriter(store.append_rows, tmp_path / "spool")
    yield writer
    servers.start("mysql")
    writer.close(LONG_S)


@contextlib.contextmanager
def away(how):
    """The server is stopped within, and back after it."""
    servers.stop("mysql", how)
    try:
        yield
    finally:
        servers.start("mysql")


def wait_until(condition):
    until = time.monotonic() + LONG_S
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    assert condition()


@pytest.mark.parametrize("how", ["", "--kill"])
def test_a_server_that_is_away_for_a_while_misses_nothing(store, writer, how):
    """Under load: records wait in the spool, and all are there once, soon after it is back."""
    with load(writer, rows, RATE) as count:
        wait_until(lambda: writer.stored > RATE)
        with away(how):
            wait_until(lambda: writer.spooled > RATE)
            assert isinstance(writer.fault, Away)
        wait_until(lambda: writer.fault is None)
    assert writer.flush(LONG_S)
    assert store.tasks_of("run", 0) == set(range(count[0]))
    assert writer.refused == 0
    assert writer.stored + writer.repeated == count[0]


def test_a_server_killed_again_and_again_in_the_middle_of_batches(store, writer, url):
    """What it had acknowledged is there; what it had begun is whole or not there."""
    with load(writer, rows, RATE) as count:
        for _ in range(3):
            stored = writer.stored
            wait_until(lambda stored=stored: writer.stored > stored)
            servers.stop("mysql", "--kill")
            servers.start("mysql")
    assert writer.flush(LONG_S)
    assert store.tasks_of("run", 0) == set(range(count[0]))
    assert execute(url, "SELECT COUNT(*) FROM tasks") == [(count[0],)]
    assert writer.refused == 0


def test_connections_cut_in_the_middle_of_batches(store, writer, url):
    """As an administrator or a proxy does it."""
    with load(writer, rows, RATE) as count:
        for _ in range(10):
            stored = writer.stored
            wait_until(lambda stored=stored: writer.stored > stored)
            for number in others(url):
                with contextlib.suppress(pymysql.OperationalError):  # it is gone already
                    execute(url, f"KILL {number}")
    assert writer.flush(LONG_S)
    assert store.tasks_of("run", 0) == set(range(count[0]))
    assert writer.refused == 0


@pytest.mark.parametrize("when", ["idle", "new"])
def test_nobody_hangs_on_a_frozen_server(url, monkeypatch, when):
    """Every call ends within its limit, also one that connects; and the same store goes on when the server does."""
    for name in ("ANSWER_S", "CONNECT_S"):
        monkeypatch.setattr(mysql, name, LIMIT_S)
    store = TaskLogStore(url)
    store.append([record(1)])
    if when == "new":
        store._database.close()  # its connections
    calls = [
        lambda: store.append([record(2)]),
        lambda: store.read("run", [0]),
        lambda: store.counts("run", 0),
        lambda: store.register("run", "collect", 0, {}),
        store.probe,
        lambda: TaskLogStore(url),
    ]
    with away("--pause"):
        for call in calls:
            begin = time.monotonic()
            with pytest.raises(Away, match="task log"):
                call()
            assert time.monotonic() - begin < 10 * LIMIT_S, "twice for the probe, which tries to delete what it wrote"
    assert store.append([record(1), record(2)]) in (0, 1)  # the server may have had it before it froze
    assert store.tasks_of("run", 0) == {1, 2}
    store.close()


def test_a_frozen_server_keeps_no_sender_waiting(url, tmp_path, monkeypatch):
    """Records go to the spool, and on when it thaws."""
    monkeypatch.setattr(mysql, "ANSWER_S", LIMIT_S)
    store = TaskLogStore(url)
    writer = LogWriter(store.append_rows, tmp_path / "spool")
    with load(writer, rows, RATE) as count:
        wait_until(lambda: writer.stored > 0)
        with away("--pause"):
            wait_until(lambda: writer.spooled > 0)
            begin = time.monotonic()
            writer.put(rows([1]))
            assert time.monotonic() - begin < LIMIT_S
    assert writer.close(LONG_S)
    assert store.tasks_of("run", 0) == set(range(count[0]))
    store.close()


def test_who_is_patient_waits_for_a_server(store):
    """The answer comes when the server is back; who is not patient hears at once that it is away."""
    found = []
    with away(""):
        with pytest.raises(Away):
            store.counts("run", 0)
        patient = store.patient(LONG_S, threading.Event())
        waiting = threading.Thread(target=lambda: found.append(patient.counts("run", 0)))
        waiting.start()
    waiting.join(LONG_S)
    assert len(found) == 1


def test_patience_ends(store):
    """After its limit, and when somebody wants it to."""
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    with away(""):
        timer.start()
        for patient in (store.patient(LONG_S, stop), store.patient(2.0, threading.Event())):
            begin = time.monotonic()
            with pytest.raises(Away):
                patient.counts("run", 0)
            assert time.monotonic() - begin < LONG_S / 2
    timer.join()


def test_a_controller_that_starts_without_its_server_says_so(url):
    """Host, setting and remedy, at once."""
    with away(""):
        begin = time.monotonic()
        with pytest.raises(EnvironmentFault, match=r"cannot be opened.*start the server.*EDGEBED_TASK_LOG"):
            TaskLogStore(url)
        assert time.monotonic() - begin < mysql.LONGEST_S


def test_a_connection_that_breaks_in_a_large_answer(store, url, monkeypatch):
    """It is an error, never a part of the log; the next question is answered by another connection."""
    for episode in range(40):
        store.append_rows(rows(range(2500), episode=episode))
    reading = threading.Event()
    rows_of = mysql_binary._rows

    def cut(driver, layout):
        if not reading.is_set():
            reading.set()
            execute(url, f"KILL {driver.thread_id()}")
        return rows_of(driver, layout)

    monkeypatch.setattr(mysql_binary, "_rows", cut)
    with pytest.raises(Away):
        store.read("run", range(40))
    assert len(store.read("run", range(40))) == 100_000
