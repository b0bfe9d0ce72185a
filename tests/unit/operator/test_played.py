"""The controller's experiments as the operator's runs: found with results, stopped, forgotten, known after a restart."""

import copy
import time
from typing import Any

import pytest

from edgebed.controller.experiments import Experiments
from edgebed.experiment.errors import UserError
from edgebed.operator.played import PlayedRuns
from tests.unit.controller.world import SMALL, World

LIMIT_S = 60
RUN = "small-1a2b3c4d"


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    for served in made.nodes:  # as pods of one experiment register
        made.coordinator.register("edge-node", f"{served.name}.{RUN}", served.address, {"testbed": RUN})
    made.coordinator.register("task-generator", f"generator.{RUN}", made.generator_at.address, {"testbed": RUN})
    yield made
    made.close()


def document(**spec):
    made = copy.deepcopy(SMALL)
    made["spec"] |= {"backend": "kubernetes", "evaluation": {"episodes": 2}, **spec}
    return made


def until(is_so) -> Any:
    limit = time.monotonic() + LIMIT_S
    while not (found := is_so()):
        assert time.monotonic() < limit
        time.sleep(0.02)
    return found


def told(runs) -> Any:
    return runs.find(RUN)


def in_state(runs, *states) -> Any:
    return until(lambda: found if (found := told(runs))["state"] in states else None)


def test_a_run_is_played_by_the_services_of_its_own_testbed_and_found_with_its_results(world):
    runs = PlayedRuns(world.experiments)
    assert runs.find(RUN) is None
    runs.submit(RUN, document())
    runs.submit(RUN, document())  # it is at work, so nothing happens
    found = in_state(runs, "finished", "failed")
    assert found["state"] == "finished", found["reason"]
    assert set(found["results"]["methods"]) == {"ratc"}
    assert found["episodesKnown"] == 2
    assert world.artefacts.open(found["artefact"]).files
    again: Any = runs.find(RUN)
    assert again["results"] is found["results"]  # read once


def test_what_is_wrong_with_a_document_is_said_at_once(world):
    runs = PlayedRuns(world.experiments)
    with pytest.raises(UserError, match="ratk"):
        runs.submit(RUN, document(methods=[{"name": "a", "policy": "ratk"}]))
    assert list(runs.names()) == []


def test_names_survive_a_restart_and_those_of_people_are_not_among_them(world):
    runs = PlayedRuns(world.experiments)
    by_hand = world.experiments.submit({**document(evaluation={"episodes": 1}), "metadata": {"name": "by-hand"}})
    by_hand.thread.join(LIMIT_S)
    runs.submit(RUN, document(evaluation={"episodes": 6}))
    until(lambda: told(runs)["episodesKnown"] >= 1)
    world.experiments.close()
    other = Experiments(world.folder / "runs", world.experiments._services)
    again = PlayedRuns(other)
    assert list(again.names()) == [RUN]
    assert {running.name for running in other.resume()} >= {RUN}
    again.submit(RUN, document(evaluation={"episodes": 6}))
    assert in_state(again, "finished", "failed")["state"] == "finished"
    other.close()


def test_stopped_it_goes_on_and_forgotten_nothing_of_it_is_left(world):
    runs = PlayedRuns(world.experiments)
    runs.submit(RUN, document(evaluation={"episodes": 6}))
    until(lambda: told(runs)["episodesKnown"] >= 1)
    runs.stop(RUN)
    in_state(runs, "stopped")
    thread = world.experiments.current.thread
    thread.join(LIMIT_S)  # until then it is refused as busy, and asked again
    runs.submit(RUN, document(evaluation={"episodes": 6}))
    until(lambda: told(runs)["episodesPlayed"] >= 1)
    runs.forget(RUN)
    runs.forget(RUN)
    until(lambda: list(runs.names()) == [])
    until(lambda: list((world.folder / "runs").iterdir()) == [])
    assert runs.find(RUN) is None


def test_what_a_simulation_published_is_seen_like_a_run_until_it_is_forgotten(world):
    runs = PlayedRuns(world.experiments)
    files = {"results.json": b"{}", "report.html": b"<html>", "figures/comparison.svg": b"<svg/>"}
    world.artefacts.publish(f"results/{RUN}", files, {})
    for _ in range(2):  # told again after a restart
        runs.adopt(RUN, f"results/{RUN}", "2030-01-01T00:00:00Z", "2030-01-01T00:01:00Z")
    [listed] = world.experiments.all()
    assert (listed["name"], listed["state"], listed["endedAt"]) == (RUN, "finished", "2030-01-01T00:01:00Z")
    folder = world.experiments.folder(RUN)
    assert {file: (folder / file).read_bytes() for file in files} == files
    runs.forget(RUN)
    until(lambda: world.experiments.all() == [] and not list((world.folder / "runs").iterdir()))
