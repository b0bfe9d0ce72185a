"""The task log in a real MySQL or MariaDB: the suite, and what can go wrong with a server."""

import pymysql
import pytest
from sqlalchemy.engine import make_url

from edgebed.stores import log_schema as schema
from tests import servers
from tests.stores.task_log_suite import TaskLogSuite


def connected(url):
    """A plain connection."""
    parsed = make_url(url)
    return pymysql.connect(
        host=parsed.host,
        port=parsed.port or 3306,
        user=parsed.username,
        password=parsed.password,
        database=parsed.database,
        autocommit=True,
    )


def execute(url, statement):
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


@pytest.fixture
def url():
    return emptied(servers.need("mysql"))


class TestMysql(TaskLogSuite):
    @pytest.fixture
    def url(self):
        return emptied(servers.need("mysql"))

    def execute(self, url, statement):
        return execute(url, statement)
