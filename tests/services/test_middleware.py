"""A whole run with MySQL, HDFS and Nacos in place of the embedded stores: the same luck, the same statuses."""

import json
import time
import uuid

import pytest
from sqlalchemy.engine import make_url

from edgebed.stores.artefacts import open_artefacts
from edgebed.stores.task_log import TaskLogStore
from tests import servers
from tests.services.experiment import O2O
from tests.stores.mysql_server import execute

SAME = 0.99
EPISODES = 2 + 3 + 4 + 2
"""Evaluated, collected, learned from online, and evaluated again."""


OUTAGE_S = 8.0
FINISHED = "SELECT COUNT(*) FROM episodes WHERE result IS NOT NULL"


@pytest.fixture
def middleware(tmp_path):
    """A file of settings that names the three servers, each with a place of its own for this test."""
    url = make_url(servers.need("mysql"))
    password = tmp_path / "password"
    password.write_text(str(url.password))
    namenode = servers.need("hdfs").removeprefix("http://")
    settings = {
        "EDGEBED_TASK_LOG": url.set(password=None, query={}).render_as_string(),
        "EDGEBED_TASK_LOG_PASSWORD_FILE": str(password),
        "EDGEBED_ARTEFACTS": f"webhdfs://edgebed@{namenode}/test-{uuid.uuid4().hex[:8]}",
        "EDGEBED_COORDINATION": f"nacos://{servers.need('nacos')}/public",
    }
    file = tmp_path / "middleware.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return file, settings, password.read_text()


def test_the_same_with_real_servers(command, middleware):
    """Collects, learns, deploys and fine-tunes; ends with the report, and with everything where it belongs."""
    file, settings, password = middleware
    one = command(more=O2O)
    status, _, error = one.run("--settings", str(file))
    assert status == 0, error
    results = json.loads((one.output / "results.json").read_text())
    fidelity = results["fidelity"]
    assert fidelity["sameStatus"] >= SAME, fidelity
    state = json.loads((one.output / "controller.json").read_text())

    store = TaskLogStore(settings["EDGEBED_TASK_LOG"], password=password)
    for episode in range(EPISODES):
        assert sum(store.counts(state["run"], episode).values()) > 0
    assert store.tasks_of(state["run"], EPISODES) == set()
    assert not (one.output / "testbed" / "tasks.db").exists()
    store.close()

    artefacts = open_artefacts(settings["EDGEBED_ARTEFACTS"])
    published = artefacts.open(state["artefact"])
    assert published.read("results.json") == (one.output / "results.json").read_bytes()
    assert any(name.startswith("models/") for name in artefacts.names())
    assert not (one.output / "testbed" / "artefacts").exists()


def test_servers_that_go_away_in_the_middle_cost_nothing_but_time(command, middleware):
    """MySQL and Nacos are killed while episodes are played, and come back: every task is in the log, once, as it would be."""
    url = servers.need_to_stop("mysql")
    servers.need_to_stop("nacos")
    file, settings, password = middleware
    TaskLogStore(settings["EDGEBED_TASK_LOG"], password=password).close()  # which makes the tables
    (before,) = execute(url, FINISHED)[0]
    one = command(episodes=8)
    one.start("--settings", str(file))
    one.wait_until(lambda: execute(url, FINISHED)[0][0] >= before + 2)
    servers.stop("mysql", "--kill")
    servers.stop("nacos", "--kill")
    try:
        time.sleep(OUTAGE_S)
    finally:
        servers.start("mysql")
        servers.start("nacos")
    status, _, error = one.end()
    assert status == 0, error
    assert one.results()["fidelity"]["sameStatus"] >= SAME
    run = json.loads((one.output / "controller.json").read_text())["run"]
    played = execute(url, f"SELECT episode, result FROM episodes WHERE run = '{run}' AND result IS NOT NULL")
    assert len(played) == 8
    logged = dict(execute(url, f"SELECT episode, COUNT(DISTINCT task) FROM tasks WHERE run = '{run}' GROUP BY episode"))
    for episode, result in played:
        assert logged[episode] == sum(json.loads(result)["counts"].values()) > 0
