"""What a task record costs on its way into SQLite, against SQLAlchemy's executemany, and the log writer's share of a core.

Records are those of one node after another, in batches of 500 as nodes send them; making them is not timed.
"""

import shutil
import tempfile
import threading
import time
from dataclasses import astuple
from pathlib import Path

from sqlalchemy import create_engine, event, insert

from edgebed.stores import log_schema
from edgebed.stores.log_schema import COLUMNS, LogRecord, Row
from edgebed.stores.log_writer import LogWriter
from edgebed.stores.task_log import TaskLogStore
from tests.benchmarks.result import Result, alternate, compare, limit

NODES, BATCH = 20, 500
RECORDS, BASELINE_RECORDS = 100_000, 20_000
RATE, SECONDS = 20_000, 5.0
PATIENCE_S = 60.0


def batches(count: int) -> list[list[Row]]:
    """Batches of records; every second task was offloaded."""
    rows: list[Row] = []
    for task in range(count):
        slot, source = divmod(task, NODES)
        destination = (source + 1) % NODES if task % 2 else source
        begin = 0.1 * slot
        sent, received = (begin + 0.02, begin + 0.11) if task % 2 else (None, None)
        record = LogRecord(
            "testbed-2025-01-01", 3, task, slot, source, destination, destination, 1 + task % 3, 8e6 + task, 4.8e9 + task, 1.0,
            begin, begin + 0.001, sent, received, begin + 0.2, begin + 0.41, task / count, 1 - task / count, 0.25, 7,
        )  # fmt: skip
        rows.append(astuple(record))
    return [rows[start : start + BATCH] for start in range(0, count, BATCH)]


def through_the_writer(given: list[list[Row]]) -> None:
    """Everything that is put, until the database has it."""
    folder = Path(tempfile.mkdtemp())
    store = TaskLogStore(f"sqlite:///{folder}/tasks.db")
    writer = LogWriter(store.append_rows, folder / "spool")
    for batch in given:
        writer.put(batch)
    assert writer.close(PATIENCE_S)
    assert writer.stored == sum(len(batch) for batch in given)
    store.close()
    shutil.rmtree(folder)


def with_executemany(rows: list[Row]) -> None:
    """As one would write it first: SQLAlchemy's insert, a thousand dictionaries a transaction."""
    folder = Path(tempfile.mkdtemp())
    engine = create_engine(f"sqlite:///{folder}/tasks.db")

    @event.listens_for(engine, "connect")
    def settings(connection, _):  # the same promises to the disk
        connection.execute("PRAGMA journal_mode=WAL").close()
        connection.execute("PRAGMA synchronous=NORMAL").close()

    log_schema.metadata.create_all(engine)
    statement = insert(log_schema.tasks).prefix_with("OR IGNORE")
    for start in range(0, len(rows), 1000):
        with engine.begin() as connection:
            connection.execute(statement, [dict(zip(COLUMNS, row, strict=True)) for row in rows[start : start + 1000]])
    engine.dispose()
    shutil.rmtree(folder)


def bench_log() -> list[Result]:
    """Microseconds per record, against executemany and against the 20,000 records a second that the testbed must log."""
    given = batches(RECORDS)
    plain = [row for batch in given for row in batch][:BASELINE_RECORDS]
    ours, baseline = alternate(lambda: through_the_writer(given), lambda: with_executemany(plain), runs=3)
    us = ours / RECORDS * 1e6
    return [
        compare("record into SQLite: log writer / executemany", "us", us, baseline / BASELINE_RECORDS * 1e6, 1.5),
        limit("record into SQLite, 20,000 a second", "us", us, 1e6 / RATE),
    ]


def bench_log_writer_share() -> Result:
    """Percent of a core that the log writer's thread takes while records come at 20,000 a second."""
    folder = Path(tempfile.mkdtemp())
    store = TaskLogStore(f"sqlite:///{folder}/tasks.db")
    given = batches(int(RATE * SECONDS))
    writer = LogWriter(store.append_rows, folder / "spool")
    thread = next(thread for thread in threading.enumerate() if thread.name == "log writer")
    assert thread.ident is not None  # it runs
    clock = time.pthread_getcpuclockid(thread.ident)
    begin, used = time.perf_counter(), time.clock_gettime(clock)
    for number, batch in enumerate(given):
        time.sleep(max(0.0, begin + number * BATCH / RATE - time.perf_counter()))
        writer.put(batch)
    assert writer.flush(PATIENCE_S)
    share = (time.clock_gettime(clock) - used) / (time.perf_counter() - begin)
    assert writer.close(PATIENCE_S)
    store.close()
    shutil.rmtree(folder)
    return limit("log writer at 20,000 records a second", "%core", share * 100, 25)
