"""The coordinator on a real server of Nacos, both by the SDK's connections and by plain HTTP."""

import time

import pytest

from edgebed.experiment.errors import UserError
from edgebed.stores.coordination import Instance, open_coordinator
from edgebed.stores.nacos import MARK, NacosCoordinator
from edgebed.stores.nacos_url import read_nacos_url
from tests import servers
from tests.stores.coordinator_suite import LONG_S, CoordinatorSuite
from tests.stores.nacos_server import Server


@pytest.fixture(scope="module")
def server():
    return Server(servers.need("nacos"))


@pytest.fixture
def namespace(server):
    with server.namespace() as name:
        yield name


@pytest.fixture
def opened(server, namespace, tmp_path):
    """Makes coordinators in the namespace; closed at the end."""
    made: list[NacosCoordinator] = []

    def make(light=False):
        url = f"nacos://{server.address}/{namespace}"
        made.append(open_coordinator(url, None, None, tmp_path / str(len(made)), light=light))
        return made[-1]

    yield make
    for coordinator in made:
        coordinator.close()


class NacosSuite(CoordinatorSuite):
    light = False

    @pytest.fixture
    def coordinator(self, opened):
        self.opened = opened
        return self.again(None)

    def again(self, coordinator):
        return self.opened(self.light)

    def end(self, coordinator):
        coordinator.close()

    def age(self, coordinator, seconds):
        time.sleep(seconds)  # the server's time cannot be set


class TestNacos(NacosSuite):
    pass


class TestNacosLight(NacosSuite):
    light = True
