"""A whole run with MySQL, HDFS and Nacos in place of the embedded stores: the same luck, the same statuses."""

import json
import uuid

import pytest
from sqlalchemy.engine import make_url

from edgebed.stores.artefacts import open_artefacts
from edgebed.stores.task_log import TaskLogStore
from tests import servers
from tests.services.experiment import O2O

SAME = 0.99
EPISODES = 2 + 3 + 4 + 2
"""Evaluated, collected, learned from online, and evaluated again."""


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
