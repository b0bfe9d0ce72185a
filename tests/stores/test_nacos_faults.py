"""Nacos is stopped, paused or loses its data: what services go on with meanwhile, and how soon all is as before."""

import contextlib
import queue
import time

import pytest

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.coordination import Entry, open_coordinator
from edgebed.stores.nacos_keeper import CHECK_S
from tests import servers
from tests.stores.coordinator_suite import LONG_S
from tests.stores.nacos_server import OwnServer, Server

AWAY_S = 60.0
BACK_LIMIT_S = 75.0
"""The bar is 15 s on a quiet machine; what is needed is printed."""
FAILS_LIMIT_S = 30.0
OLD_S = 2.0
"""What is heard of services gets older than this, though they are asked for all the time, only while Nacos does not answer. A
server that was told to pause may still do so once.
"""


class Fleet:
    """Two services by the SDK and two by plain HTTP, of which each registers one before the fault and one during it."""

    def __init__(self, address, namespace, folder):
        self.server, self.namespace = Server(address), namespace
        self.coordinators = {
            name: open_coordinator(f"nacos://{address}/{namespace}", None, None, folder / name, light=light)
            for name, light in (("sdk", False), ("late-sdk", False), ("light", True), ("late-light", True))
        }
        self.told: dict[str, queue.Queue[Entry]] = {name: queue.Queue() for name in self.coordinators}

    def begin(self):
        self.coordinators["light"].publish("trainer", "before")
        for name, coordinator in self.coordinators.items():
            coordinator.watch("trainer", self.told[name].put)
            assert self.told[name].get(timeout=LONG_S).text == "before"
        for name in ("sdk", "light"):
            self.register(name)
        assert self.names("sdk") == self.names("light") == ["light", "sdk"]

    def register(self, name):
        self.coordinators[name].register("edge-node", name, f"http://127.0.0.1:{1000 + len(name)}", {"of": name})

    def names(self, name):
        return [instance.name for instance in self.coordinators[name].instances("edge-node")]

    def bear_it(self):
        """Instances come from memory, and grow old; what must be asked fails in time, and says what to do."""
        for name in ("sdk", "light"):
            coordinator = self.coordinators[name]
            until = time.monotonic() + FAILS_LIMIT_S
            while coordinator.age_s("edge-node") < OLD_S:
                assert self.names(name) == ["light", "sdk"]
                assert time.monotonic() < until
                time.sleep(0.05)
            assert self.names(name) == ["light", "sdk"]
            self.fails(lambda c=coordinator: c.instances("never-asked"))
            self.fails(lambda c=coordinator: c.get("trainer"))
            self.fails(lambda c=coordinator: c.publish("trainer", "meanwhile"))
            begin = time.monotonic()
            with contextlib.suppress(EnvironmentFault):  # known already, or not
                self.register(name)
            assert time.monotonic() - begin < FAILS_LIMIT_S
        for name in ("late-sdk", "late-light"):
            self.fails(lambda n=name: self.register(n))
        assert all(told.empty() for told in self.told.values())

    @staticmethod
    def fails(work):
        begin = time.monotonic()
        with pytest.raises(EnvironmentFault, match=r"Nacos .*(start|mend)"):
            work()
        assert time.monotonic() - begin < FAILS_LIMIT_S

    def recover(self, record_property):
        """Everybody is registered; and a change arrives."""
        begin = time.monotonic()
        while self.server.names(self.namespace, "edge-node") != ["late-light", "late-sdk", "light", "sdk"]:
            assert time.monotonic() - begin < BACK_LIMIT_S
            time.sleep(0.05)
        registered_s = time.monotonic() - begin
        assert self.names("sdk") == self.names("light") == ["late-light", "late-sdk", "light", "sdk"]
        begin = time.monotonic()
        self.coordinators["light"].publish("trainer", "after")
        arrived: dict[str, float] = {}
        while len(arrived) < len(self.told):
            assert time.monotonic() - begin < LONG_S
            for name, told in self.told.items():
                if not told.empty() and told.get().text == "after":
                    arrived[name] = round(time.monotonic() - begin, 2)
            time.sleep(0.01)
        assert max(arrived.values()) < 20
        record_property("registered_s", registered_s)
        print(f"all registered again within {registered_s:.1f} s; a change arrived within {arrived} s")

    def close(self):
        for coordinator in self.coordinators.values():
            coordinator.close()


@pytest.fixture
def fleet(tmp_path):
    address = servers.need_to_stop("nacos")
    with Server(address).namespace() as namespace:
        made = Fleet(address, namespace, tmp_path)
        yield made
        servers.start("nacos")
        made.close()


@pytest.mark.parametrize(
    ("how", "away_s"), [("", AWAY_S), ("--kill", 5.0), ("--pause", 20.0)], ids=["stopped", "killed", "paused"]
)
def test_nacos_goes_away_and_comes_back(fleet, how, away_s, record_property):
    """Nobody is told anything meanwhile; who could not register then is registered too."""
    fleet.begin()
    servers.stop("nacos", how)
    until = time.monotonic() + away_s
    fleet.bear_it()
    time.sleep(max(0.0, until - time.monotonic()))
    servers.start("nacos")
    fleet.recover(record_property)


def test_a_service_may_start_before_nacos(tmp_path, record_property):
    """And one that lost its data has everybody again; watchers keep what they had."""
    own = OwnServer(tmp_path)
    fleet = Fleet(own.address, "test", tmp_path / "fleet")
    try:
        for name in ("sdk", "light"):
            fleet.fails(lambda n=name: fleet.register(n))
        own.start()
        until = time.monotonic() + BACK_LIMIT_S
        while fleet.server.names("test", "edge-node") != ["light", "sdk"]:
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(2 * CHECK_S)  # those who registered know it as well
        fleet.begin()
        own.purge()
        fleet.bear_it()
        own.start()
        fleet.recover(record_property)
    finally:
        fleet.close()
        own.purge()
