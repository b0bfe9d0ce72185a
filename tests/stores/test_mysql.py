"""The task log in a real MySQL or MariaDB: the suite, and what only a server does."""

import math
import subprocess
import sys
import threading

import numpy as np
import pytest
from sqlalchemy.engine import make_url

from edgebed.experiment.errors import EnvironmentFault, UserError
from edgebed.stores import mysql, mysql_rows
from edgebed.stores.task_log import TaskLogStore
from edgebed.systems.cooperative.errors import ModelError
from tests import servers
from tests.stores.kill import environment
from tests.stores.mysql_server import connected, emptied, execute, others
from tests.stores.records import played, record, records_of, rows, same
from tests.stores.task_log_suite import TaskLogSuite


class TestMysql(TaskLogSuite):
    @pytest.fixture
    def url(self):
        return emptied(servers.need("mysql"))

    def execute(self, url, statement):
        return execute(url, statement)


@pytest.fixture
def url():
    return emptied(servers.need("mysql"))


@pytest.fixture
def store(url):
    store = TaskLogStore(url, busy_s=1)
    yield store
    store.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"slot": 1.5},
        {"slot": "1"},
        {"status": 1.0},
        {"cycles": "4e9"},
        {"cycles": math.inf},
        {"ended_s": mysql_rows.NEVER},
        {"run": "r" * 201},
        {"reason": "r" * 101},
        {"reason": "\ud800"},
        {"run": None},
        {"place": 2**31},
    ],
    ids=lambda changes: " ".join(f"{name} {value!r:.12}" for name, value in changes.items()),
)
def test_nothing_is_rounded_cut_or_guessed(store, changes):
    """The server would make 2 of 1.5 without a word, and cut a text that is too long when it is not strict."""
    with pytest.raises(ModelError, match="records"):
        store.append([record(1), record(2, **changes)])
    assert store.tasks_of("run", 0) == set()
    assert store.append([record(1)]) == 1


def test_a_server_that_is_not_strict_is_strict_with_us(url, store):
    """Whatever mode it gives to others."""
    (mode,) = execute(url, "SELECT @@GLOBAL.sql_mode")[0]
    execute(url, "SET GLOBAL sql_mode = ''")
    try:
        fresh = TaskLogStore(url)
        with pytest.raises(ModelError, match="records"):
            fresh.append([record(1, reason="r" * 101)])
        fresh.close()
    finally:
        execute(url, f"SET GLOBAL sql_mode = '{mode}'")


def test_numbers_of_numpy_and_enumerations_are_numbers(store):
    store.append([record(np.int64(1), status=True, cycles=np.float32(0.5), size_bits=7)])
    log = store.read("run", [0])
    assert (log.status[0], log.cycles[0], log.size_bits[0]) == (1, 0.5, 7.0)


@pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 1300])
def test_any_number_of_rows(store, count):
    """A batch is cut into statements of some lengths."""
    assert store.append_rows(rows(range(count))) == count
    assert store.append_rows(rows(range(count + 3))) == 3
    assert store.tasks_of("run", 0) == set(range(count + 3))


@pytest.mark.parametrize("where", [0, 200, 700, 1299])
@pytest.mark.parametrize("changes", [{"status": 7}, {"slot": "1"}], ids=["by the server", "before it is sent"])
def test_a_wrong_record_anywhere_refuses_all(store, where, changes):
    """Statements are on their way while others are made; their answers are not taken for those to what comes next."""
    given = rows(range(1300))
    given[where] = rows([where], **changes)[0]
    for _ in range(2):
        with pytest.raises(ModelError, match="records"):
            store.append_rows(given)
        assert store.tasks_of("run", 0) == set()
    assert store.append_rows(rows(range(1300))) == 1300


def test_texts_of_any_length_in_one_batch(store, url):
    """Runs and reasons differ from row to row; some are too long for a length of one byte."""
    runs = ["r", "é" * 200, "日" * 199, "run"]
    given = [record(t, run=runs[t % 4], reason="ü" * (t % 101)) for t in range(600)]
    assert store.append(given) == 600
    found = execute(url, "SELECT run, task, reason FROM tasks ORDER BY task")
    assert found == [(r.run, r.task, r.reason) for r in given]


@pytest.mark.parametrize("seed", range(3))
def test_both_ways_of_reading_agree(store, monkeypatch, seed):
    """Many episodes at once as bytes, by one connection or two, and one by one as text; in any order, also twice."""
    monkeypatch.setattr(mysql_rows, "READER_EPISODES", 4)
    monkeypatch.setattr(mysql_rows, "RANGES", 2)
    log, rng = played(seed), np.random.default_rng(seed)
    numbers = rng.permutation(40)[:20].tolist()
    for number in numbers:
        records = records_of(log.select(slice(rng.integers(1, len(log)))), episode=number)
        rng.shuffle(records)
        store.append(records)
    for asked in (numbers, sorted(numbers), range(40), [numbers[0], 99, numbers[0]], numbers[:1], [99], []):
        assert same(store.read("run", asked), store.read_all("run", asked).log)


def test_a_large_answer_comes_whole(store):
    """More than is read at once, cut by the network anywhere."""
    for episode in range(3):
        store.append_rows(rows(range(4000), episode=episode))
    log = store.read("run", range(3))
    assert len(log) == 12_000
    assert np.array_equal(log.episode, np.repeat(np.arange(3), 4000))


def test_the_conversions_read_follows_the_key(url, store):
    """Rows lie as they are asked for: no other index, no sorting."""
    for episode in range(20):
        store.append_rows(rows(range(200), episode=episode))
    execute(url, "ANALYZE TABLE tasks")
    seen = []
    fetch = mysql_rows.mysql_binary.fetch

    def noted(driver, sql, names):
        seen.append(sql)
        return fetch(driver, sql, names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mysql_rows.mysql_binary, "fetch", noted)
        store.read("run", range(3, 9))
    (plan,) = execute(url, f"EXPLAIN {seen[0]}")
    assert "PRIMARY" in plan
    assert not any("filesort" in str(part) or "temporary" in str(part) for part in plan)


def test_what_was_half_made_is_completed(url):
    """A server that dies while tables are made, or a controller: the next one goes on."""
    TaskLogStore(url).close()
    execute(url, "DROP VIEW task_log")
    execute(url, "DROP TABLE tasks")
    execute(url, "DELETE FROM alembic_version")
    store = TaskLogStore(url)
    assert store.append([record(1)]) == 1
    assert execute(url, "SELECT status FROM task_log") == [("succeeded",)]
    store.close()


def test_a_later_schema_is_refused(url):
    TaskLogStore(url).close()
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UserError, match=r"has schema 9999, later than .*EDGEBED_TASK_LOG"):
        TaskLogStore(url)


def test_texts_are_utf8_and_tables_innodb(url, store):
    (database,) = execute(url, "SELECT DATABASE()")[0]
    kinds = "SELECT DISTINCT engine, table_collation LIKE 'utf8mb4%' FROM information_schema.tables"
    found = execute(url, f"{kinds} WHERE table_schema = '{database}' AND table_type = 'BASE TABLE'")
    assert found == [("InnoDB", 1)]


WRONG = {
    "password": (lambda url: url.set(password="not-the-one"), r"Access denied.*EDGEBED_TASK_LOG_PASSWORD"),
    "user": (lambda url: url.set(username="nobody"), r"Access denied.*EDGEBED_TASK_LOG"),
    "database": (lambda url: url.set(database="no_such"), r"Unknown database 'no_such'.*EDGEBED_TASK_LOG"),
    "port": (lambda url: url.set(port=1), r"Can't connect.*start the server.*EDGEBED_TASK_LOG"),
    "host": (lambda url: url.set(host="no-such-host.invalid"), r"Can't connect.*mend its host.*EDGEBED_TASK_LOG"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_opened_is_named(url, wrong):
    """Host, reason, setting and remedy; never a password."""
    change, said = WRONG[wrong]
    changed = change(make_url(url).set(query={}))
    with pytest.raises(EnvironmentFault, match=said) as caught:
        TaskLogStore(changed.render_as_string(hide_password=False))
    assert str(changed.host) in str(caught.value)
    assert f":{changed.password}" not in str(caught.value)
    assert "not-the-one" not in str(caught.value)


def test_the_password_may_come_beside_the_url(url):
    """From its own setting, or a file; it wins over the one in the URL, and is never shown."""
    parsed = make_url(url)
    store = TaskLogStore(parsed.set(password="wrong").render_as_string(hide_password=False), password=parsed.password)
    assert store.append([record(1)]) == 1
    assert store.where.endswith(f"@{parsed.host}:{parsed.port}/{parsed.database}")
    assert ":wrong" not in f"{store.where} {store._database._engine!r}"
    store.close()


@pytest.mark.parametrize(
    "wrong", ["mysql+pymysql://u:s3cret@h", "mysql://u:s3cret@h/d", "mysql+pymysql://u:s3cret@h/d?autocommit=1"]
)
def test_a_wrong_url_is_refused(wrong):
    with pytest.raises(UserError, match=r"EDGEBED_TASK_LOG.*mysql\+pymysql://USER@HOST") as caught:
        TaskLogStore(wrong)
    assert "s3cret" not in str(caught.value)


WITHOUT = """
import sys
sys.modules["pymysql"] = None  # as where it is not installed
from edgebed.experiment.errors import UserError
from edgebed.stores.task_log import TaskLogStore
TaskLogStore(f"sqlite:///{sys.argv[1]}/tasks.db").close()
try:
    TaskLogStore("mysql+pymysql://edgebed@mysql/edgebed")
except UserError as error:
    print(error)
"""


def test_without_the_extra_it_is_named(tmp_path):
    """And SQLite needs none."""
    command = [sys.executable, "-c", WITHOUT, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment(), timeout=120)
    assert "pip install 'edgebed[mysql]'" in done.stdout
    assert "EDGEBED_TASK_LOG" in done.stdout


def test_a_server_that_may_only_be_read_is_named(url, store):
    """And nothing is set aside as wrong: it may be written again later."""
    name = "transaction_read_only" if not execute(url, "SHOW VARIABLES LIKE 'tx_read_only'") else "tx_read_only"
    execute(url, f"SET GLOBAL {name} = 1")
    try:
        fresh = TaskLogStore(url)
        with pytest.raises(EnvironmentFault, match="read-only"):
            fresh.append([record(1)])
        fresh.close()
    finally:
        execute(url, f"SET GLOBAL {name} = 0")
    assert store.append([record(1)]) == 1


def test_a_table_that_is_gone_is_no_fault_of_the_records(url, store):
    """They wait until somebody mends it."""
    execute(url, "RENAME TABLE tasks TO tasks_away")
    try:
        with pytest.raises(EnvironmentFault, match="doesn't exist"):
            store.append([record(1)])
    finally:
        execute(url, "RENAME TABLE tasks_away TO tasks")
    assert store.append([record(1)]) == 1


def test_a_row_that_another_holds_is_waited_for_and_then_named(url, store, monkeypatch):
    monkeypatch.setattr(mysql.Mysql, "pauses_s", (0.1,))
    store.append([record(1)])
    other = connected(url, autocommit=False)
    with other.cursor() as cursor:
        cursor.execute("SELECT * FROM tasks WHERE task = 1 FOR UPDATE")
    with pytest.raises(EnvironmentFault, match="Lock wait timeout"):
        store.append([record(1)])
    timer = threading.Timer(0.5, other.rollback)
    timer.start()
    assert store.append([record(1), record(2)]) == 1
    timer.join()
    other.close()


def test_writers_that_meet_crosswise_both_get_through(url):
    """The server undoes one of two that wait for each other; it is tried again, and each task is there once."""
    stores, errors, new = [TaskLogStore(url) for _ in range(4)], [], []

    def some(store, step):
        try:
            for begin in range(0, 600, 100):
                batch = rows(range(begin, begin + 300))[::step]
                new.append(store.append_rows(batch))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=some, args=(s, 1 if k % 2 else -1)) for k, s in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sum(new) == 800
    assert stores[0].tasks_of("run", 0) == set(range(800))
    for store in stores:
        store.close()


def test_idle_connections_that_were_cut_are_replaced(url, store):
    """By the server, a proxy or a firewall: nobody hears of it."""
    store.append([record(1)])
    for number in others(url):
        execute(url, f"KILL {number}")
    assert store.append([record(1), record(2)]) == 1
    assert len(store.read("run", [0])) == 2


def test_the_first_to_register_is_waited_for(url, store):
    """Also by one that comes while another holds the place; in the end it is named."""
    held = connected(url)
    with held.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(CONCAT('edgebed.', LEFT(DATABASE(), 50)), 1)")
    with pytest.raises(EnvironmentFault, match="another edgebed has held the database"):
        store.register("run", "collect", 0, {})
    held.close()
    assert store.register("run", "collect", 0, {}) == 0
