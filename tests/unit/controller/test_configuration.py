"""The controller's desk: what is published is checked, kept over a restart, and handed to who waits for it."""

import asyncio
import json
import threading
import time
from typing import Any

import httpx
import pytest

from edgebed.controller.configuration import Desk, check
from edgebed.controller.directory import Directory, Stopped
from edgebed.controller.registry import Waiting, heartbeat_routes
from edgebed.controller.remote import Caller
from edgebed.experiment.errors import EnvironmentFault, UserError
from edgebed.live.documents import DEFAULT_TEXTS, DOCUMENTS
from edgebed.stores.coordination import EmbeddedCoordinator
from edgebed.wire.problems import Problem

GOOD = "probeTimeoutSeconds: 0.5"
LONG_S = 30.0


@pytest.fixture
def desk(tmp_path):
    """Of a controller that is started: a new one over the same folder at every call."""
    caller = Caller()

    def start():
        coordinator = EmbeddedCoordinator()
        made = Desk(coordinator, caller, tmp_path / "cache")
        made.open(coordinator)
        return made, coordinator

    yield start
    caller.close()


def test_where_nothing_is_published_the_defaults_are(desk):
    _, coordinator = desk()
    assert {key: coordinator.get(key).text for key in DOCUMENTS} == DEFAULT_TEXTS


def test_what_is_there_stays(tmp_path):
    """A controller that joins Nacos changes nothing of what people have published."""
    coordinator = EmbeddedCoordinator()
    entry = coordinator.publish("edge-node", GOOD)
    caller = Caller()
    Desk(coordinator, caller, tmp_path).open(coordinator)
    assert coordinator.get("edge-node") == entry
    caller.close()


def test_a_controller_that_is_started_again_publishes_what_was_in_use(desk):
    """The last that was good of each key; whoever published something else in between."""
    _, coordinator = desk()
    coordinator.publish("edge-node", GOOD)
    coordinator.publish("edge-node", "probeTimeoutSeconds: 99")
    coordinator.publish("policies", "defaults: {rdaa: {}}")
    _, again = desk()
    assert again.get("edge-node").text == GOOD
    assert again.get("policies").text == DEFAULT_TEXTS["policies"]


def test_the_overview_says_who_does_not_answer(desk):
    made, coordinator = desk()
    coordinator.register("edge-node", "node-1", "http://127.0.0.1:9", {})
    found = made.overview()
    assert found["keys"]["edge-node"] == {"version": 2, "text": DEFAULT_TEXTS["edge-node"], "inUse": []}
    ((away),) = found["away"]
    assert (away["service"], away["name"]) == ("edge-node", "node-1")
    assert "edge-node node-1 (http://127.0.0.1:9)" in away["reason"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("defaults: {rdaa: {coefficient: 1}}", "defaults.rdaa: is not an installed policy; did you mean rda?"),
        ("defaults: {rda: {coeficient: 1}}", "coeficient: 1; did you mean coefficient? rda has coefficient"),
        ("defaults: {random: {seed: 1}}", "random has no parameters"),
    ],
)
def test_parameters_that_no_policy_has_are_refused(text, expected):
    with pytest.raises(UserError) as refused:
        check("policies", text)
    assert expected in str(refused.value)


def test_a_parameter_that_a_policy_needs_need_not_have_a_default():
    check("policies", "defaults: {actor: {}, rda: {coefficient: 0.5}}")


def test_only_what_could_be_used_is_published(world):
    """Refused with the reason; what is there stays."""
    with httpx.Client(base_url=world.controller.address, trust_env=False) as client:
        good = client.put("/v1/configuration/edge-node", json={"text": GOOD})
        assert good.status_code == 200
        for key, text, expected in (
            ("edge-node", "probeTimeoutSeconds: 99", "edge-node:1: probeTimeoutSeconds: 99 is not allowed; give"),
            ("edge-nodes", GOOD, "edge-nodes: is not a configuration; did you mean edge-node?"),
            ("policies", "defaults: {rdaa: {}}", "did you mean rda?"),
        ):
            refused = client.put(f"/v1/configuration/{key}", json={"text": text})
            assert refused.status_code == 422
            assert expected in refused.json()["detail"]
        assert client.get("/v1/configuration/edge-node").json() == good.json()
        keys = client.get("/v1/configuration").json()["keys"]
        assert keys["edge-node"]["version"] == good.json()["version"]
        assert client.get("/v1/state").status_code == 200


def beat(known, wait_s):
    content = {"service": "trainer", "name": "t", "address": "http://127.0.0.1:9", "known": known}
    return json.dumps({**content, "waitSeconds": wait_s}).encode()


def test_a_heartbeat_is_answered_with_news_or_nothing():
    """At once where there are news, else when they come; with nothing when the time is over, or the controller stops."""

    async def main():
        coordinator, waiting = EmbeddedCoordinator(), Waiting()
        route: Any = heartbeat_routes(coordinator, waiting).unary["/v1/heartbeats"]
        first = coordinator.publish("trainer", "threads: 2")
        told = json.loads(await route(beat({"trainer": 0, "policies": 0}, LONG_S), None))
        assert told == {"entries": [{"key": "trainer", "text": "threads: 2", "version": first.version}]}
        assert await route(beat({"trainer": first.version}, 0.05), None) == b""
        assert await route(beat({}, LONG_S), None) == b""
        waits = asyncio.create_task(route(beat({"trainer": first.version, "policies": 0}, LONG_S), None))
        await asyncio.sleep(0.05)
        coordinator.publish("other", "x")
        await asyncio.sleep(0.05)
        assert not waits.done()
        threading.Thread(target=coordinator.publish, args=("policies", "")).start()
        assert [entry["key"] for entry in json.loads(await waits)["entries"]] == ["policies"]
        begin = time.monotonic()
        waits = asyncio.create_task(route(beat({"trainer": first.version}, LONG_S), None))
        await asyncio.sleep(0.05)
        waiting.close()
        assert await waits == b""
        assert await route(beat({"trainer": first.version}, LONG_S), None) == b""
        assert time.monotonic() - begin < LONG_S / 2
        assert coordinator._watches == []

    asyncio.run(main())


class Elsewhere(EmbeddedCoordinator):
    """Stands for one that is not in this process, and is away while `away` is set."""

    away = False

    def instances(self, service):
        if self.away:
            raise EnvironmentFault("the registry is away; start it")
        return super().instances(service)


def test_a_registry_that_is_away_loses_no_node():
    """The directory answers at once from what it knows."""
    coordinator = Elsewhere()
    for k in range(3):
        coordinator.register("edge-node", f"node-{k}", f"http://127.0.0.1:{k + 1}", {})
    directory = Directory(coordinator, wait_s=LONG_S)
    before = directory.nodes(3, threading.Event())
    coordinator.away = True
    begin = time.monotonic()
    assert directory.nodes(3, threading.Event()) == before
    assert time.monotonic() - begin < LONG_S / 2


def test_what_was_never_known_is_waited_for_and_the_reason_told():
    coordinator = Elsewhere()
    coordinator.away = True
    with pytest.raises(EnvironmentFault, match=r"0 of 1 trainer services .* the registry is away; start it"):
        Directory(coordinator, wait_s=0.2).one("trainer", threading.Event())
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        Directory(coordinator, wait_s=LONG_S).one("trainer", stop)


def test_who_would_register_where_the_registry_is_elsewhere_is_told(tmp_path):
    """It would be in nobody's registry."""

    async def main():
        class Other:
            pass

        route: Any = heartbeat_routes(Other()).unary["/v1/heartbeats"]
        with pytest.raises(Problem, match="give the service its EDGEBED_COORDINATION, too"):
            await route(beat({}, 0), None)

    asyncio.run(main())
