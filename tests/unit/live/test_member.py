"""A service joins, hears of changes at once, and bears that the coordination is away: by heartbeats and by a coordinator."""

import asyncio
import json
import logging
import threading
import time

import pytest
from fastapi import FastAPI

from edgebed.controller.registry import Waiting, heartbeat_routes
from edgebed.experiment.errors import EnvironmentFault
from edgebed.live.documents import EdgeNodeSettings, Policies
from edgebed.live.in_use import Cache, InUse
from edgebed.live.member import Member
from edgebed.settings import read_settings
from edgebed.stores.coordination import Coordinator, EmbeddedCoordinator
from edgebed.wire.server import bind, serve

LIMIT_S = 20.0
BLOCKED_S = 2.0
GOOD = "probeTimeoutSeconds: 0.5"


class Controller:
    """Heartbeats over a coordinator, at an address that stays."""

    def __init__(self):
        self.coordinator = EmbeddedCoordinator(first_version=100)
        listener = bind("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        listener.close()
        self.server = None

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    async def start(self):
        self.waiting = Waiting()
        routes = heartbeat_routes(self.coordinator, self.waiting)
        self.server = serve(FastAPI(), routes, bind("127.0.0.1", self.port))
        await self.server.start()

    async def stop(self):
        self.waiting.close()
        await self.server.stop(5.0)


class Counting(EmbeddedCoordinator):
    """Counts what it hears."""

    beats = 0

    def register(self, *about):
        self.beats += 1
        super().register(*about)


class Shaky(EmbeddedCoordinator):
    """One that is away while `away` is set, and blocks its callers for a while before it says so."""

    def __init__(self):
        super().__init__()
        self.away, self.closed = threading.Event(), False

    def _mind(self):
        if self.away.is_set():
            time.sleep(BLOCKED_S)
            raise EnvironmentFault("the registry is away; start it")

    def register(self, *about):
        self._mind()
        super().register(*about)

    def watch(self, *about):
        self._mind()
        return super().watch(*about)

    def close(self):
        self.closed = True


def member_of(tmp_path, controller=None, **more):
    environment = {"EDGEBED_CACHE": str(tmp_path / "cache"), **more}
    if controller is not None:
        environment["EDGEBED_CONTROLLER"] = controller
    used = InUse(EdgeNodeSettings)
    settings = read_settings("edge-node", environment)
    return Member(settings, "edge-node", "node-7", [used, InUse(Policies)], metadata={"node": "7"}), used


async def until(condition):
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def test_heartbeats_register_and_bring_changes_at_once(tmp_path):
    """Well before the next heartbeat would be sent; what is wrong is refused, and the old stays."""

    async def main():
        controller = Controller()
        await controller.start()
        member, used = member_of(tmp_path, controller.address)
        member.join()
        await until(lambda: controller.coordinator.instances("edge-node"))
        (instance,) = controller.coordinator.instances("edge-node")
        assert (instance.name, instance.metadata["node"]) == ("node-7", "7")
        assert {"version", "startedAt", "pid"} < instance.metadata.keys()
        took = []
        for k in range(5):
            begin = time.monotonic()
            entry = controller.coordinator.publish("edge-node", f"probeTimeoutSeconds: {0.3 + k / 10}")
            await until(lambda entry=entry: used.version == entry.version)
            took.append(time.monotonic() - begin)
            assert used.values.probe_timeout_seconds == pytest.approx(0.3 + k / 10)
        print(f"a change was in use after {1000 * min(took):.1f} to {1000 * max(took):.1f} ms")
        assert min(took) < 0.5
        bad = controller.coordinator.publish("edge-node", "probeTimeoutSeconds: -1")
        await until(lambda: used.refused is not None)
        assert used.version < bad.version
        assert used.values.probe_timeout_seconds == pytest.approx(0.7)
        state = member.state()
        assert state["coordination"] == {"kind": "embedded", "fault": None, "controller": controller.address}
        assert state["configuration"]["edge-node"]["refused"].startswith(f"version {bad.version} is not in use")
        assert json.loads(json.dumps(state)) == state
        await member.stop()
        await controller.stop()
        assert Cache(tmp_path / "cache").find("edge-node") == ("probeTimeoutSeconds: 0.7", entry.version)

    asyncio.run(main())


def test_a_heartbeat_a_second_and_no_more(tmp_path):
    """Also while nothing changes, after a change, and after one that was refused."""

    async def main():
        controller = Controller()
        controller.coordinator = Counting()
        await controller.start()
        member, used = member_of(tmp_path, controller.address)
        controller.coordinator.publish("edge-node", GOOD)
        controller.coordinator.publish("policies", "defaults: 3")
        member.join()
        await until(lambda: used.version > 0)
        await asyncio.sleep(3)
        assert controller.coordinator.beats <= 7
        await member.stop()
        await controller.stop()

    asyncio.run(main())


def test_away_at_the_start_the_last_good_configuration_is_used(tmp_path, caplog):
    """The service says so in its log and its state, and joins when the controller comes."""
    Cache(tmp_path / "cache").keep("edge-node", GOOD, 42)

    async def main():
        controller = Controller()
        member, used = member_of(tmp_path, controller.address)
        assert (used.values.probe_timeout_seconds, used.version, used.from_cache) == (0.5, 42, True)
        member.join()
        await until(lambda: "the controller does not hear this service" in caplog.text)
        state = member.state()
        assert "/v1/heartbeats" in state["coordination"]["fault"]
        assert state["configuration"]["edge-node"]["fromCache"]
        assert not state["configuration"]["policies"]["fromCache"]
        entry = controller.coordinator.publish("edge-node", GOOD)
        await controller.start()
        await until(lambda: not used.from_cache)
        assert used.version == entry.version
        assert member.state()["coordination"]["fault"] is None
        assert "the controller hears this service now" in caplog.text
        await member.stop()
        await controller.stop()

    asyncio.run(main())


def test_a_controller_that_comes_back_is_found(tmp_path):
    """It knows nothing of before, and its versions are others."""

    async def main():
        controller = Controller()
        await controller.start()
        member, used = member_of(tmp_path, controller.address)
        member.join()
        await until(lambda: member.state()["coordination"]["fault"] is None)
        await controller.stop()
        controller.coordinator = EmbeddedCoordinator(first_version=200)
        controller.coordinator.publish("edge-node", GOOD)
        await controller.start()
        await until(lambda: used.version == 200)
        await member.stop()
        await controller.stop()

    asyncio.run(main())


def test_without_a_controller_a_service_stays_by_itself(tmp_path):
    async def main():
        member, _ = member_of(tmp_path)
        member.join()
        assert "set EDGEBED_CONTROLLER" in member.state()["coordination"]["fault"]
        await member.stop()

    asyncio.run(main())


def test_with_a_coordinator_a_service_registers_watches_and_leaves(tmp_path):
    """In a thread: the event loop is never held up. The controller is found by its name."""

    async def main():
        coordinator = Shaky()
        coordinator.register("controller", "controller", "http://10.0.0.1:8080", {})
        member, used = member_of(tmp_path)
        member.join(coordinator)
        await until(lambda: coordinator.instances("edge-node"))
        coordinator.publish("edge-node", GOOD)
        await until(lambda: used.values.probe_timeout_seconds == 0.5)
        assert member.state()["coordination"]["controller"] == "http://10.0.0.1:8080"
        await member.stop()
        assert coordinator.instances("edge-node") == []
        assert coordinator.closed

    asyncio.run(main())


def test_a_coordinator_that_is_away_is_tried_again_and_holds_nobody_up(tmp_path, caplog):
    async def main():
        coordinator = Shaky()
        coordinator.away.set()
        firsts: list[Coordinator] = []
        member, used = member_of(tmp_path)
        member.join(coordinator, firsts.append)
        late = 0.0
        while member.state()["coordination"]["fault"] != "the registry is away; start it":
            begin = time.monotonic()
            await asyncio.sleep(0.001)
            late = max(late, time.monotonic() - begin)
        assert late < 0.8 * BLOCKED_S
        assert caplog.text.count("does not hear this service") == 1
        coordinator.away.clear()
        await until(lambda: coordinator.instances("edge-node"))
        coordinator.publish("edge-node", GOOD)
        await until(lambda: used.version > 0)
        assert firsts == [coordinator]
        assert caplog.text.count("does not hear this service") == 1
        await member.stop()

    asyncio.run(main())


def test_the_log_level_changes_and_returns(tmp_path):
    """Back to what EDGEBED_LOG_LEVEL says, when nobody asks for another any more."""
    root = logging.getLogger()
    before = root.level
    try:
        _, used = member_of(tmp_path, EDGEBED_LOG_LEVEL="error")
        used.take("logLevel: debug", 1)
        assert root.level == logging.DEBUG
        assert not used.take("logLevel: debug\nrecordSeconds: 99", 2)
        assert root.level == logging.DEBUG
        used.take("", 3)
        assert root.level == logging.ERROR
    finally:
        root.setLevel(before)
