"""The task log in SQLite: the suite, and what can go wrong with a file."""

import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgebed.experiment.errors import EnvironmentFault, UserError
from edgebed.stores.database import Database
from edgebed.stores.task_log import TaskLogStore
from tests.stores.kill import environment
from tests.stores.records import record, rows
from tests.stores.task_log_suite import TaskLogSuite


class TestSqlite(TaskLogSuite):
    @pytest.fixture
    def url(self, tmp_path):
        return f"sqlite:///{tmp_path}/tasks.db"

    def execute(self, url, statement):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            found = connection.execute(statement).fetchall()
        connection.close()
        return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tasks.db"


def opened(path, busy_s=0.05):
    return TaskLogStore(f"sqlite:///{path}", busy_s)


@pytest.mark.parametrize(
    "url", ["tasks.db", "sqlite://", "sqlite:///:memory:", "nosuch:///x", "mssql+nosuch://u:secret@h/d"]
)
def test_a_wrong_url_is_refused(url):
    """With the setting, and never with a password."""
    with pytest.raises(UserError, match="EDGEBED_TASK_LOG") as caught:
        TaskLogStore(url)
    assert "secret" not in str(caught.value)


def test_readers_do_not_wait_for_the_writer(path):
    """A long transaction of another writer holds no reader up; they see what was there before it."""
    store = opened(path)
    store.append([record(1)])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM tasks")
    begin = time.monotonic()
    assert store.tasks_of("run", 0) == {1}
    assert time.monotonic() - begin < 1
    other.execute("ROLLBACK")
    other.close()
    store.close()


def test_a_writer_has_its_place_from_the_beginning(path):
    """Nobody writes between what a transaction reads and what it writes, so nothing has to be undone half-way."""
    opened(path).close()
    database = Database(f"sqlite:///{path}", "EDGEBED_TASK_LOG")
    other = sqlite3.connect(path, isolation_level=None, timeout=0)

    def work(connection):
        connection.exec_driver_sql("SELECT * FROM episodes").close()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")

    database.write("cannot be written", work)
    other.execute("BEGIN IMMEDIATE")
    other.close()
    database.close()


def test_a_locked_database_is_named_after_a_while(path):
    """File, reason and remedy; the wait has a limit; once the lock is gone, the same store goes on."""
    store = opened(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begin = time.monotonic()
    with pytest.raises(EnvironmentFault) as caught:
        store.append([record(1)])
    assert time.monotonic() - begin < 5
    for part in (str(path), "database is locked", "end the program that holds it"):
        assert part in str(caught.value)
    other.execute("ROLLBACK")
    other.close()
    assert store.append([record(1)]) == 1
    store.close()


def test_a_short_lock_is_waited_for(path):
    """Nobody hears of a lock that is given back in time."""
    store = opened(path, busy_s=5)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    timer.start()
    assert store.append([record(1)]) == 1
    timer.join()
    other.close()
    store.close()


def test_what_is_no_database_is_named(path):
    path.write_text("episode,task\n" * 1000)
    with pytest.raises(EnvironmentFault, match="is not a database") as caught:
        opened(path)
    assert str(path) in str(caught.value)
    assert "not there yet" in str(caught.value)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(EnvironmentFault, match=r"its folder is not there\); make the folder"):
        opened(tmp_path / "none" / "tasks.db")


def test_a_damaged_database_is_named(path):
    """A page of nonsense is an error, not an empty log."""
    store = opened(path)
    store.append_rows(rows(range(5000)))
    store.close()
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half:] = b"\xff" * (len(content) - half)  # random bytes are sometimes a page that ends what is read
    path.write_bytes(content)
    with pytest.raises(EnvironmentFault, match="put a copy of it back"):
        opened(path).read_all("run", [0])


def test_another_schema_is_refused(path):
    """A later version's database is not written to."""
    opened(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(UserError, match="has schema 9999, later than"):
        opened(path)


def test_a_database_of_the_first_schema_is_brought_up_to_date(path):
    """Nothing is lost, and the tables are those of a new database: by every column's type, and by key."""
    opened(path).close()
    new = described(path)
    with sqlite3.connect(path) as connection:
        for statement in (
            "DROP TABLE alembic_version",
            "ALTER TABLE episodes DROP COLUMN registered_at",
            "CREATE TABLE schema_version (version INTEGER NOT NULL)",
            "INSERT INTO schema_version VALUES (1)",
            "INSERT INTO episodes VALUES ('run', 3, 'collect', 0, '{}', '{}')",
        ):
            connection.execute(statement)
    connection.close()
    assert described(path) != new
    store = opened(path)
    assert store.episodes("run", "collect")[0].episode == 3
    assert store.append([record(1)]) == 1
    store.close()
    assert described(path) == new


def described(path):
    """Every table with its columns, and the view."""
    with sqlite3.connect(path) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: sorted(row[1:] for row in connection.execute(f"PRAGMA table_info({name})")) for name in names}
    connection.close()
    return found


LIMITED = """
import resource, sys
from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.database import Database
from edgebed.stores.task_log import TaskLogStore
from tests.stores.kill import environment
from tests.stores.records import rows
store = TaskLogStore(f"sqlite:///{sys.argv[1]}")
stored, limit = 0, 400_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    while True:
        stored += store.append_rows(rows(range(stored, stored + 1000)))
except EnvironmentFault as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.tasks_of("run", 0) == set(range(stored)), "what was stored is there, and nothing of the batch that failed"
assert store.append_rows(rows(range(stored + 1000))) == 1000, "and it goes on when there is room"
print("stored", stored)
"""


def test_a_file_that_may_not_grow_is_named(path):
    """Under a limit on the size of files, as with a full disk: the batch is not stored, all others are."""
    command = [sys.executable, "-c", LIMITED, str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert str(path) in said[0]
    assert "free some space" in said[0]
    assert int(said[1].split()[1]) >= 1000


def test_a_full_disk_is_named(small_disk):
    """The batch that found it full is not stored, all others are; with some space it goes on."""
    ballast: Path = small_disk / "ballast"
    ballast.write_bytes(bytes(3_300_000))
    store, stored, said = opened(small_disk / "tasks.db"), 0, ""
    while not said:
        try:
            stored += store.append_rows(rows(range(stored, stored + 500)))
        except EnvironmentFault as error:
            said = str(error)
    assert "tasks.db cannot be written" in said
    assert "free some space" in said
    assert stored >= 500
    ballast.unlink()
    assert store.tasks_of("run", 0) == set(range(stored))
    assert store.append_rows(rows(range(stored + 500))) == 500
    store.close()
