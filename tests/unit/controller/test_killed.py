"""A controller that is killed in the middle of a phase and started again goes on with it: real processes, kill -9."""

import contextlib
import copy
import json
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx

from edgebed.processes.family import Family
from tests.unit.controller.world import SMALL

LIMIT_S = 120


def test_a_controller_that_is_killed_goes_on_with_the_next_episode(tmp_path):
    """What had been played is kept and not played again, and the results are those of every episode."""
    document = copy.deepcopy(SMALL)
    document["spec"] |= {"methods": [{"name": "ratc", "policy": "ratc"}], "evaluation": {"episodes": 8}}
    environment = {
        "EDGEBED_RUNS": str(tmp_path / "runs"),
        "EDGEBED_TASK_LOG": f"sqlite:///{tmp_path / 'tasks.db'}",
        "EDGEBED_SPOOL": str(tmp_path / "spool"),
        "EDGEBED_ARTEFACTS": f"file:{tmp_path / 'artefacts'}",
        "EDGEBED_TOKEN": "secret",
    }
    with Family(tmp_path / "services") as family:
        controller = family.start("controller", "controller", environment)
        registered = {"EDGEBED_CONTROLLER": controller.address, "EDGEBED_TOKEN": "secret"}
        node = {key: environment[key] for key in ("EDGEBED_SPOOL", "EDGEBED_ARTEFACTS")}
        for k in range(3):
            family.start(f"node-{k}", "edge-node", {**registered, **node, "EDGEBED_NODE": f"node-{k}"})
        family.start("task-generator", "task-generator", registered)
        headers = {"Authorization": "Bearer secret"}
        with httpx.Client(base_url=controller.address, timeout=60, headers=headers, trust_env=False) as client:
            assert client.post("/v1/experiments", json=document).status_code == 202
            wait(client, lambda found: found["episodesPlayed"] >= 2)
            family.signal("controller", signal.SIGKILL)
            until = time.monotonic() + LIMIT_S
            while "controller" not in family.gone:
                assert time.monotonic() < until
                time.sleep(0.01)
            before = finished(tmp_path)
            assert 2 <= len(before) < 8
            family.start("controller", "controller", environment)
            found = wait(client, lambda found: found["state"] != "running")
            assert found["state"] == "finished", found["reason"]
            assert found["methods"]["ratc"]["evaluate"]["episodes"] == 8  # the view knows those before, too
    after = finished(tmp_path)
    assert len(after) == 8
    assert before.items() <= after.items()
    results = json.loads((tmp_path / "runs" / "small" / "results.json").read_text())
    assert len(results["methods"]["ratc"]["successRate"]["perReplicate"]) == 1


def wait(client: httpx.Client, until: Any) -> dict[str, Any]:
    """The experiment once it is so; a controller that is away for a moment is borne."""
    limit = time.monotonic() + LIMIT_S
    while time.monotonic() < limit:
        with contextlib.suppress(httpx.HTTPError):
            found = client.get("/v1/experiments/small").json()
            if until(found):
                return dict(found)
        time.sleep(0.05)
    raise AssertionError("the experiment did not get there in time")


def finished(folder: Path) -> dict[int, int]:
    """Position to number of the finished episodes."""
    with contextlib.closing(sqlite3.connect(folder / "tasks.db")) as database:
        rows = database.execute("select position, episode from episodes where result is not null").fetchall()
    assert len({position for position, _ in rows}) == len(rows)  # none was played twice
    return dict(rows)
