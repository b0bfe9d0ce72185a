"""The task log on a real MySQL: the way in, the way to transitions, and an outage under full load.

The server is that of the tests (`tests/servers.py` says how to have one); the tables of its database are emptied. Where
there is none, nothing is measured, and it is said why.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, insert, select
from sqlalchemy.engine import Engine

from edgebed.experiment.errors import EnvironmentFault
from edgebed.processes.replay import ProcessStand
from edgebed.stores import log_schema
from edgebed.stores.log_schema import COLUMNS, Row
from edgebed.stores.log_writer import LogWriter
from edgebed.stores.task_log import TaskLogStore
from edgebed.systems.cooperative.conversion import Attribution
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.rules import Rules
from tests import servers
from tests.benchmarks.bench_learning import MASK, NETWORK, OBSERVATION, ratc_log, transitions
from tests.benchmarks.bench_log import BATCH, RATE, batches
from tests.benchmarks.bench_replay import loaded, transfer_errors
from tests.benchmarks.plain_conversion import plain_convert
from tests.benchmarks.result import Result, alternate, compare, limit, stolen_s
from tests.e2e.replay_on_pods import drawn_case
from tests.stores.mysql_server import emptied, execute

RECORDS, BASELINE_RECORDS = 50_000, 20_000
EPISODES, BASELINE_EPISODES = 1160, 10
"""Of RATC in the paper's simulation setup: a million records."""
OUTAGE_S, BEFORE_S = 30.0, 5.0
CAUGHT_UP_S = 0.5
"""A log is up to date when it lacks only what came in so long."""
PATIENCE_S = 600.0
_LOG = tuple(field.name for field in fields(TaskLog))


@contextmanager
def server(need: Callable[[str], str]) -> Iterator[str]:
    """An empty database. Raises pytest's Skipped without one."""
    url = emptied(need("mysql"))
    try:
        yield url
    finally:
        emptied(url)


def measured(need: Callable[[str], str], measure: Callable[[str], list[Result]]) -> list[Result]:
    """What is measured with a server; nothing where there is none."""
    try:
        with server(need) as url:
            return measure(url)
    except pytest.skip.Exception as reason:  # `need` is the tests': without a server it skips, and in CI it fails
        print(f"not measured: {reason}")
        return []


def through_the_writer(store: TaskLogStore, given: list[list[Row]]) -> None:
    """Everything that is put, until the database has it."""
    folder = Path(tempfile.mkdtemp())
    writer = LogWriter(store.append_rows, folder / "spool")
    for batch in given:
        writer.put(batch)
    assert writer.close(PATIENCE_S)
    assert writer.stored == sum(len(batch) for batch in given)
    shutil.rmtree(folder)


def with_executemany(engine: Engine, rows: list[Row]) -> None:
    """As one would write it first: SQLAlchemy's insert, a thousand dictionaries a transaction."""
    statement = insert(log_schema.tasks).prefix_with("IGNORE")
    for start in range(0, len(rows), 1000):
        with engine.begin() as connection:
            connection.execute(statement, [dict(zip(COLUMNS, row, strict=True)) for row in rows[start : start + 1000]])


def bench_mysql_ingest() -> list[Result]:
    """Microseconds per record, against executemany of 1000."""

    def measure(url: str) -> list[Result]:
        store, engine, given = TaskLogStore(url), create_engine(url), batches(RECORDS)
        plain = [row for batch in given for row in batch][:BASELINE_RECORDS]

        def ours() -> None:
            execute(url, "TRUNCATE tasks")
            through_the_writer(store, given)

        def baseline() -> None:
            execute(url, "TRUNCATE tasks")
            with_executemany(engine, plain)

        seconds, theirs = alternate(ours, baseline, runs=3)
        store.close()
        engine.dispose()
        us, plain_us = seconds / RECORDS * 1e6, theirs / BASELINE_RECORDS * 1e6
        return [compare("record into MySQL: log writer / executemany", "us", us, plain_us, 1.5)]

    return measured(servers.need, measure)


def rows_of(log: TaskLog) -> Iterator[list[Row]]:
    """A log's records in batches, as nodes would send them."""
    names = dict.fromkeys(COLUMNS) | {"run": "run", "decided_s": None, "model_version": 1, "reason": ""}
    for begin in range(0, len(log), 50_000):
        part = log.select(slice(begin, begin + 50_000))
        columns = {name: getattr(part, name).tolist() for name in _LOG}
        columns["place"] = columns["destination"]
        yield list(zip(*(columns.get(name) or [names[name]] * len(part) for name in COLUMNS), strict=True))


def plain_read(engine: Engine, episodes: int) -> TaskLog:
    """As one would write it first: SQLAlchemy's rows, and a Python list for every column."""
    tasks = log_schema.tasks.c
    query = select(*(tasks[name] for name in _LOG)).where(tasks.run == "run", tasks.episode < episodes)
    columns: dict[str, list[float]] = {name: [] for name in _LOG}
    with engine.connect() as connection:
        for row in connection.execute(query.order_by(tasks.episode, tasks.slot, tasks.source)):
            for name in _LOG:
                value = getattr(row, name)
                columns[name].append(float("nan") if value is None else value)
    kinds = {field.name: getattr(ratc_log(1), field.name).dtype for field in fields(TaskLog)}
    return TaskLog(**{name: np.array(values, kinds[name]) for name, values in columns.items()})


def bench_mysql_to_transitions() -> list[Result]:
    """10^6 records to transitions; and per record against SQLAlchemy's rows and plain Python loops."""

    def measure(url: str) -> list[Result]:
        store, engine, log = TaskLogStore(url), create_engine(url), ratc_log(EPISODES)
        for rows in rows_of(log):
            store.append_rows(rows)
        few = int((log.episode < BASELINE_EPISODES).sum())

        def ours() -> None:
            found = store.read("run", range(EPISODES))
            assert len(found) == len(log)
            transitions(found)

        def baseline() -> None:
            plain_convert(
                plain_read(engine, BASELINE_EPISODES),
                NETWORK,
                OBSERVATION,
                Rules(),
                slot_s=0.5,
                slots=100,
                mask_coefficient=MASK,
                attribution=Attribution.COMPLETION,
            )

        seconds, theirs = alternate(ours, baseline, runs=3)
        store.close()
        engine.dispose()
        million, plain_million = seconds / len(log) * 1e6, theirs / few * 1e6
        return [
            limit("10^6 records from MySQL to transitions", "s", million, 2),
            compare("MySQL to transitions against rows and loops", "s", million, plain_million, 10),
        ]

    return measured(servers.need, measure)


def bench_mysql_outage() -> list[Result]:
    """The server stops for 30 s while 20,000 records a second come: seconds until the log is up to date again.

    A record that is lost or there twice is no result, but an error.
    """

    def measure(url: str) -> list[Result]:
        store, folder, stop = TaskLogStore(url), Path(tempfile.mkdtemp()), threading.Event()
        writer, base, sent = LogWriter(store.append_rows, folder / "spool"), batches(BATCH)[0], [0]

        def send() -> None:
            begin = time.monotonic()
            while not stop.is_set():
                rows = [(row[0], sent[0], *row[2:]) for row in base]  # an episode for each batch
                try:
                    writer.put(rows)
                except EnvironmentFault:  # full: a node keeps it and sends it again
                    stop.wait(0.05)
                    continue
                sent[0] += 1
                stop.wait(max(0.0, begin + sent[0] * BATCH / RATE - time.monotonic()))

        sender, run = threading.Thread(target=send), base[0][0]
        sender.start()
        time.sleep(BEFORE_S)
        servers.stop("mysql")
        time.sleep(OUTAGE_S)
        servers.start("mysql")
        begin = time.monotonic()
        while writer.queued > RATE * CAUGHT_UP_S and time.monotonic() < begin + PATIENCE_S:
            time.sleep(0.05)
        caught_up_s, spooled = time.monotonic() - begin, writer.counts().spooled
        stop.set()
        sender.join()
        rate = sent[0] * BATCH / (BEFORE_S + OUTAGE_S + caught_up_s)
        assert writer.close(PATIENCE_S)
        (count,) = execute(url, f"SELECT COUNT(*) FROM tasks WHERE run = '{run}'")[0]  # the key has no task twice
        assert count == sent[0] * BATCH == writer.stored + writer.repeated, (count, sent, writer.counts())
        assert writer.refused == 0
        print(f"{count} records at {rate:.0f} a second, {spooled} of them by the spool; none lost, none twice")
        store.close()
        shutil.rmtree(folder)
        return [limit("until the log has caught up after 30 s without", "s", caught_up_s, 30)]

    return measured(servers.need_to_stop, measure)


def bench_pacing_in_a_mysql_outage() -> list[Result]:
    """Ten nodes play beside 20,000 records a second, first with MySQL, then for 40 s, for 30 of which the server is stopped.

    Of five pairs, with the server and without, the three from which the machine's host took least processor time.
    """
    with_server, case = drawn_case(10, 1, slots=200), drawn_case(10, 1, slots=400)
    begins = case.workload.slot_s * np.arange(400)
    away = (begins > BEFORE_S) & (begins < BEFORE_S + OUTAGE_S)

    def measure(url: str) -> list[Result]:
        pairs = []
        for number in range(1, 6):
            before = stolen_s()
            with tempfile.TemporaryDirectory() as folder, ProcessStand(Path(folder), 10, emptied(url)) as stand:
                with ThreadPoolExecutor(1) as one, loaded(stand, RATE):
                    there = np.percentile(transfer_errors(with_server, stand.play(with_server)), (50, 99))
                    played = one.submit(stand.play, case)
                    time.sleep(BEFORE_S)
                    servers.stop("mysql")
                    time.sleep(OUTAGE_S)
                    servers.start("mysql")
                log = played.result()
            outage = np.percentile(transfer_errors(case, log.select(away[log.slot])), (50, 99))
            pairs.append((stolen_s() - before, there, outage))
            print(
                f"pacing of ten nodes, pair {number}: p50 {there[0]:.3g} %, without MySQL {outage[0]:.3g} %; "
                f"p99 {there[1]:.3g} %, without {outage[1]:.3g} %; {1000 * pairs[-1][0]:.0f} ms stolen by the host"
            )
        kept = sorted(pairs, key=lambda pair: pair[0])[:3]
        there = np.median([pair[1] for pair in kept], axis=0)
        outage = np.median([pair[2] for pair in kept], axis=0)
        return [
            limit("pacing of ten nodes while MySQL is away: error p50", "%", float(outage[0]), 0.3),
            limit("pacing of ten nodes while MySQL is away: error p99", "%", float(outage[1]), 2),
            compare("the same p99 against that with MySQL", "%", float(outage[1]), float(there[1]), 0.8),
        ]

    return measured(servers.need_to_stop, measure)
