"""The controller's own coordinator, in memory and over HTTP: the suite, the clock, and a controller that goes and comes."""

import asyncio
import queue
import socket
import threading
import time

import pytest
from fastapi import FastAPI

from edgebed.controller.registry import registry_routes
from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.coordination import EXPIRY_S, EmbeddedCoordinator, Entry
from edgebed.stores.http_coordinator import HttpCoordinator
from edgebed.wire.server import HotRoutes, Server, serve
from tests.stores.coordinator_suite import LONG_S, CoordinatorSuite
from tests.stores.registry_server import RegistryServer


class Now:
    """A clock that is set."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


class TestEmbedded(CoordinatorSuite):
    @pytest.fixture
    def coordinator(self):
        self.now = Now()
        return EmbeddedCoordinator(self.now)

    def again(self, coordinator):
        return coordinator

    def end(self, coordinator):
        pass  # from now on it is not heard of

    def age(self, coordinator, seconds):
        self.now.seconds += seconds


class TestHttp(CoordinatorSuite):
    @pytest.fixture
    def coordinator(self):
        self.now = Now()
        self.clients: list[HttpCoordinator] = []
        with RegistryServer(EmbeddedCoordinator(self.now)).running() as self.server:
            yield self.again(None)
            for client in self.clients:
                client.close()

    def again(self, coordinator):
        self.clients.append(HttpCoordinator(self.server.address))
        return self.clients[-1]

    def end(self, coordinator):
        pass  # from now on it is not heard of

    def age(self, coordinator, seconds):
        self.now.seconds += seconds


class TestController(CoordinatorSuite):
    """The API that the controller really serves."""

    @pytest.fixture
    def coordinator(self):
        self.now = Now()
        self.clients: list[HttpCoordinator] = []
        app = FastAPI()
        app.include_router(registry_routes(EmbeddedCoordinator(self.now)))
        started: queue.Queue[Server] = queue.Queue()
        stop = asyncio.Event()

        async def run():
            server = serve(app, HotRoutes(), ("127.0.0.1", 0))
            await server.start()
            started.put(server)
            await stop.wait()
            await server.stop(0.1)

        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=lambda: (loop.run_until_complete(run()), loop.close()))
        thread.start()
        self.address = started.get(timeout=LONG_S).address
        yield self.again(None)
        for client in self.clients:
            client.close()
        loop.call_soon_threadsafe(stop.set)
        thread.join()

    def again(self, coordinator):
        self.clients.append(HttpCoordinator(self.address))
        return self.clients[-1]

    def end(self, coordinator):
        pass  # from now on it is not heard of

    def age(self, coordinator, seconds):
        self.now.seconds += seconds


def test_an_instance_expires_at_its_time():
    """The registry is told the time and knows no other."""
    now = Now()
    coordinator = EmbeddedCoordinator(now)
    coordinator.register("edge-node", "node-1", "http://127.0.0.1:1", {})
    now.seconds += EXPIRY_S - 0.001
    assert len(coordinator.instances("edge-node")) == 1
    now.seconds += 0.001
    assert coordinator.instances("edge-node") == []


def test_versions_begin_where_they_are_told():
    """A controller that was started again goes on above the versions that others have seen."""
    coordinator = EmbeddedCoordinator(first_version=1000)
    assert [coordinator.publish(key, "x").version for key in ("a", "b")] == [1000, 1001]


def test_a_watcher_may_close_and_publish():
    """What is told may be acted upon at once."""
    coordinator = EmbeddedCoordinator()
    seen = []

    def told(entry):
        seen.append(entry.text)
        if entry.text == "a":
            coordinator.publish("trainer", "b")
        else:
            watch.close()

    watch = coordinator.watch("trainer", told)
    coordinator.publish("trainer", "a")
    coordinator.publish("trainer", "c")
    assert seen == ["a", "b"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_a_controller_that_is_away_is_named():
    address = f"http://127.0.0.1:{free_port()}"
    client = HttpCoordinator(address)
    for work in (lambda: client.instances("a"), lambda: client.get("a"), lambda: client.publish("a", "x")):
        with pytest.raises(EnvironmentFault, match=rf"{address}/v1/.* does not answer .*start the controller"):
            work()
    client.close()


def test_a_controller_that_is_silent_is_named():
    """The wait has a limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = HttpCoordinator(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
        begin = time.monotonic()
        with pytest.raises(EnvironmentFault, match="does not answer"):
            client.instances("a")
        assert time.monotonic() - begin < LONG_S
        client.close()


@pytest.mark.parametrize("address", ["127.0.0.1:80", "ftp://x", "http://", "http://[", "http://a:b"])
def test_an_address_that_is_none_is_named(address):
    client = HttpCoordinator(address)
    with pytest.raises(EnvironmentFault, match="mend EDGEBED_CONTROLLER"):
        client.instances("a")
    client.close()


def test_a_server_that_is_no_controller_is_named():
    with RegistryServer(None).running() as server:
        client = HttpCoordinator(f"{server.address}/elsewhere/")
        with pytest.raises(EnvironmentFault, match=r"answers 404 .*mend EDGEBED_CONTROLLER"):
            client.instances("a")
        client.close()


def test_a_client_that_is_closed_ends_its_watches():
    """Whatever they are doing at that instant: asking, waiting for an answer, or passing one on."""
    coordinator = EmbeddedCoordinator()
    with RegistryServer(coordinator).running() as server:
        for number in range(60):
            client = HttpCoordinator(server.address)
            for _ in range(3):
                client.watch("trainer", lambda _: None)
            if number % 3 == 1:
                time.sleep(0.001 * number / 3)  # from before the request to after its answer
            elif number % 3 == 2:
                coordinator.publish("trainer", str(number))
            client.close()
    until = time.monotonic() + LONG_S
    while (left := [t for t in threading.enumerate() if t.name == "watch trainer"]) and time.monotonic() < until:
        left[0].join(LONG_S)
    assert not left


@pytest.mark.parametrize("document", [None, {}, [], {"instances": [{}]}, {"instances": 3}, "text"])
def test_an_answer_that_is_none_of_a_controller_is_named(document):
    """Another server may answer the same path with other JSON."""
    with RegistryServer(None, answer=document).running() as server:
        client = HttpCoordinator(server.address)
        for work in (lambda: client.instances("a"), lambda: client.get("a")):
            with pytest.raises(EnvironmentFault, match=r"something else than a controller; mend EDGEBED_CONTROLLER"):
                work()
        client.close()


def test_a_server_that_does_not_wait_is_not_asked_on_and_on():
    """A reader waits by itself where the server answers at once."""
    with RegistryServer(EmbeddedCoordinator()).running() as server:
        server.stopping.set()  # from now on it answers at once
        client = HttpCoordinator(server.address)
        begin, asked = time.monotonic(), server.requests
        assert client.get("a", wait_s=1.2) is None
        assert time.monotonic() - begin >= 1.2
        assert server.requests - asked <= 5
        client.close()


def test_the_token_is_sent():
    """With the wrong one, the setting is named; never the token."""
    with RegistryServer(EmbeddedCoordinator(), token="right").running() as server:
        good, bad = HttpCoordinator(server.address, token="right"), HttpCoordinator(server.address, token="secret")
        assert good.instances("a") == []
        with pytest.raises(EnvironmentFault, match=r"answers 401 .*EDGEBED_TOKEN") as caught:
            bad.instances("a")
        assert "secret" not in str(caught.value)
        good.close()
        bad.close()


def test_a_controller_that_comes_back_is_watched_again():
    """Also when its versions begin anew: a watcher hears of the text that is there then."""
    told: queue.Queue[Entry] = queue.Queue()
    with RegistryServer(EmbeddedCoordinator(first_version=50)).running() as server:
        client = HttpCoordinator(server.address)
        watch = client.watch("trainer", told.put)
        client.publish("trainer", "old")
        assert told.get(timeout=LONG_S).text == "old"
        port = server.server_port
    coordinator = EmbeddedCoordinator()
    coordinator.publish("trainer", "new")
    with RegistryServer(coordinator, port=port).running():
        assert told.get(timeout=LONG_S).text == "new"
        watch.close()
        client.close()
