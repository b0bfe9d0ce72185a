"""The registry over HTTP is the coordinator that other services know, and refuses what no service would say."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx
import pytest
from fastapi import FastAPI

from edgebed.controller.registry import heartbeat_routes, registry_routes
from edgebed.stores.coordination import EmbeddedCoordinator
from edgebed.stores.http_coordinator import HttpCoordinator
from edgebed.wire.heartbeat import Heartbeat
from edgebed.wire.problems import install_problem_handlers
from edgebed.wire.server import Server, serve
from tests.stores.coordinator_suite import CoordinatorSuite

T = TypeVar("T")


class Served:
    """A coordinator's routes on a port, on an event loop in a thread of its own."""

    def __init__(self, coordinator: EmbeddedCoordinator) -> None:
        self.coordinator = coordinator
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        app = FastAPI()
        install_problem_handlers(app)
        app.include_router(registry_routes(coordinator))
        self._server: Server = serve(app, heartbeat_routes(coordinator), ("127.0.0.1", 0))
        self.call(self._server.start())
        self.address = self._server.address

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        self.call(self._server.stop(0.0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


class TestController(CoordinatorSuite):
    """The controller's registry is a coordinator like every other."""

    @pytest.fixture
    def coordinator(self):
        self.seconds = 100.0
        self.clients: list[HttpCoordinator] = []
        self.served = Served(EmbeddedCoordinator(lambda: self.seconds))
        yield self.again(None)
        for client in self.clients:
            client.close()
        self.served.close()

    def again(self, coordinator):
        self.clients.append(HttpCoordinator(self.served.address))
        return self.clients[-1]

    def end(self, coordinator):
        pass  # from now on it is not heard of

    def age(self, coordinator, seconds):
        self.seconds += seconds


@pytest.fixture
def served():
    made = Served(EmbeddedCoordinator())
    yield made
    made.close()


def test_a_heartbeat_registers(served):
    async def beat() -> Heartbeat:
        return Heartbeat("trainer", "t", "http://127.0.0.1:9", served.address, None)

    heartbeat = served.call(beat())
    until = time.monotonic() + 5
    while not served.coordinator.instances("trainer"):
        assert time.monotonic() < until
        time.sleep(0.01)
    served.call(heartbeat.stop())


def test_a_hundred_may_wait_and_others_are_answered(served):
    """A reader that waits holds no thread."""

    async def crowd() -> None:
        async with httpx.AsyncClient(
            base_url=served.address, timeout=20, limits=httpx.Limits(max_connections=200)
        ) as client:
            waiting = [asyncio.create_task(client.get("/v1/configuration/k?waitSeconds=15")) for _ in range(100)]
            await asyncio.sleep(0.2)
            begin = time.monotonic()
            assert (await client.get("/v1/registry/trainer")).json()["instances"] == []
            await client.put("/v1/configuration/k", json={"text": "x"})
            answers = await asyncio.gather(*waiting)
            assert [answer.json()["text"] for answer in answers] == ["x"] * 100
            assert time.monotonic() - begin < 10

    asyncio.run(crowd())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/registry/trainer/t", {"address": "ftp://x:1"}),
        ("PUT", "/v1/registry/trainer/t", {"address": "http://x:1", "colour": "red"}),
        ("PUT", "/v1/registry/trainer/..", {"address": "http://x:1"}),
        ("PUT", "/v1/registry/trainer/t", [1]),
        ("PUT", "/v1/configuration/k", {"text": 3}),
        ("GET", "/v1/configuration/k?waitSeconds=1000", None),
        ("GET", "/v1/configuration/k?after=-1", None),
        ("POST", "/v1/heartbeats", {"service": "trainer", "name": "t", "address": "nowhere"}),
        ("POST", "/v1/heartbeats", {"service": "trainer"}),
    ],
)
def test_what_no_service_would_say_is_refused_and_changes_nothing(served, method, path, body):
    answer = httpx.request(method, f"{served.address}{path}", json=body, timeout=5)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert served.coordinator.instances("trainer") == []
