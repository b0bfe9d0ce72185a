"""The tests' MySQL, without the code under test: plain connections, and its database emptied of our tables."""

import threading
import time
from contextlib import contextmanager

import pymysql
from sqlalchemy.engine import make_url

from edgebed.stores import log_schema as schema

LONG_S = 120.0


def connected(url, **more):
    """A plain connection."""
    parsed = make_url(url)
    return pymysql.connect(
        host=parsed.host,
        port=parsed.port or 3306,
        user=parsed.username,
        password=parsed.password,
        database=parsed.database,
        **{"autocommit": True, "read_timeout": 60, "write_timeout": 60, **more},
    )


def execute(url, statement):
    """The rows of a statement."""
    connection = connected(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())
    finally:
        connection.close()


def emptied(url):
    """The test's database without our tables."""
    execute(url, f"DROP VIEW IF EXISTS {schema.VIEW_NAME}")
    for name in (*schema.metadata.tables, "schema_version"):
        execute(url, f"DROP TABLE IF EXISTS {name}")
    return url


def others(url):
    """Numbers of the connections of the tests' user, but for that which asks."""
    rows = execute(url, "SELECT id FROM information_schema.processlist WHERE user = SUBSTRING_INDEX(USER(), '@', 1)"
                        " AND id != CONNECTION_ID()")  # fmt: skip
    return [number for (number,) in rows]


@contextmanager
def load(writer, rows_of, rate, batch=500):
    """Within it, a thread puts rows at a rate; gives how many there are so far as a list of one, complete at the end."""
    count, stop = [0], threading.Event()

    def put():
        begin = time.monotonic()
        while not stop.is_set():
            writer.put(rows_of(range(count[0], count[0] + batch)))
            count[0] += batch
            stop.wait(max(0.0, begin + count[0] / rate - time.monotonic()))

    thread = threading.Thread(target=put)
    thread.start()
    try:
        yield count
    finally:
        stop.set()
        thread.join()
