"""The coordinator on a real server of Nacos, both by the SDK's connections and by plain HTTP."""

import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edgebed.experiment.errors import EnvironmentFault, UserError
from edgebed.stores import nacos_watches
from edgebed.stores.coordination import Entry, Instance, open_coordinator
from edgebed.stores.nacos import MARK, NacosCoordinator
from edgebed.stores.nacos_url import read_nacos_url
from tests import servers
from tests.stores.coordinator_suite import LONG_S, CoordinatorSuite
from tests.stores.nacos_server import GROUP, Server


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


both = pytest.mark.parametrize("light", [False, True], ids=["sdk", "light"])


@both
def test_a_text_edited_by_hand_is_read(server, namespace, opened, light):
    """With a higher version, which is the same for all readers; and what we publish looks in the console as it is."""
    one, other = opened(light), opened(True)
    first = one.publish("trainer", "rate: 1\n")
    told: queue.Queue[Entry] = queue.Queue()
    one.watch("trainer", told.put)
    assert told.get(timeout=LONG_S) == first
    server.set_by_hand(namespace, "trainer", "rate: 2\n")
    second = told.get(timeout=LONG_S)
    assert second.text == "rate: 2\n"
    assert second.version > first.version
    assert one.get("trainer") == other.get("trainer") == second
    third = other.publish("trainer", "rate: 3\n")
    assert third.version > second.version
    found = server.ask("GET", "admin/cs/config", dataId="trainer", groupName=GROUP, namespaceId=namespace)
    assert found["data"]["content"] == "rate: 3\n"


@both
@pytest.mark.parametrize("text", ["", " \n", MARK, f"{MARK}x", "\n a \n"])
def test_a_text_that_nacos_would_not_keep_is_kept(opened, light, text):
    coordinator = opened(light)
    assert coordinator.publish("trainer", text).text == text
    assert opened(True).get("trainer").text == text


@both
def test_a_removed_configuration_is_none(server, namespace, opened, light):
    """Who watches keeps what it has, and is told when there is one again."""
    coordinator = opened(light)
    coordinator.publish("trainer", "a")
    told: queue.Queue[Entry] = queue.Queue()
    coordinator.watch("trainer", told.put)
    assert told.get(timeout=LONG_S).text == "a"
    server.remove_by_hand(namespace, "trainer")
    _until(lambda: coordinator.get("trainer") is None)
    server.set_by_hand(namespace, "trainer", "b")
    assert told.get(timeout=LONG_S).text == "b"


@both
def test_a_change_arrives_soon(opened, light, record_property):
    """The bar is 2 s; what is needed is printed, because a busy machine needs longer."""
    publisher, watcher = opened(True), opened(light)
    told: queue.Queue[Entry] = queue.Queue()
    publisher.publish("trainer", "0")
    watcher.watch("trainer", told.put)
    assert told.get(timeout=LONG_S).text == "0"
    took = []
    for number in range(1, 11):
        begin = time.monotonic()
        publisher.publish("trainer", str(number))
        assert told.get(timeout=LONG_S).text == str(number)
        took.append(time.monotonic() - begin)
    print(f"a change reaches a watcher within {min(took):.2f} to {max(took):.2f} s ({'light' if light else 'sdk'})")
    record_property("change_s", max(took))
    assert max(took) < 10


def test_changes_are_pushed(opened, monkeypatch):
    """With the SDK they come by its connection, long before the next look."""
    coordinator = opened()
    told: queue.Queue[Entry] = queue.Queue()
    monkeypatch.setattr(nacos_watches, "POLL_S", 3600.0)
    coordinator.publish("trainer", "0")
    coordinator.watch("trainer", told.put)
    assert told.get(timeout=LONG_S).text == "0"
    for number in range(1, 4):
        coordinator.publish("trainer", str(number))
        assert told.get(timeout=LONG_S).text == str(number)


@both
def test_a_namespace_is_made(server, namespace, opened, light):
    assert namespace not in server.namespaces()
    opened(light).register("trainer", "trainer", "http://127.0.0.1:1", {})
    assert namespace in server.namespaces()


@both
def test_what_vanished_from_the_server_is_registered_again(server, namespace, opened, light):
    """A registration is looked after by what the server says."""
    coordinator = opened(light)
    coordinator.register("edge-node", "node-1", "http://127.0.0.1:1234", {})
    if light:
        where = {"ip": "127.0.0.1", "port": 1234, "serviceName": "edge-node", "groupName": GROUP}
        server.ask("DELETE", "client/ns/instance", ephemeral="true", namespaceId=namespace, **where)
    else:  # the SDK believes what it was told last
        line = coordinator._line
        line._do(line._hold("edge-node", []))
    _until(lambda: server.names(namespace, "edge-node") == [])
    _until(lambda: server.names(namespace, "edge-node") == ["node-1"])


def test_an_instance_that_others_registered_is_found(server, namespace, opened):
    """Nacos's own fields say where it is."""
    server.ask(
        "POST",
        "client/ns/instance",
        ip="10.0.0.9",
        port=80,
        serviceName="trainer",
        groupName=GROUP,
        namespaceId=namespace,
        metadata='{"zone": "a"}',
    )
    coordinator = opened(True)
    _until(lambda: coordinator.instances("trainer"))
    assert coordinator.instances("trainer") == [Instance("trainer", "10.0.0.9:80", "http://10.0.0.9:80", {"zone": "a"})]


@both
def test_the_probe_says_what_it_found(server, namespace, opened, light):
    """And leaves nothing."""
    said = opened(light).probe()
    assert said.startswith("Nacos 3.")
    assert namespace in said
    _until(
        lambda: (
            not server.ask("GET", "admin/cs/config/list", namespaceId=namespace, pageNo=1, pageSize=9)["data"][
                "pageItems"
            ]
        )
    )


@both
@pytest.mark.parametrize("address", ["nowhere", "http://", "http://a:b", "ftp://x"])
def test_an_address_that_is_none_is_refused(opened, light, address):
    with pytest.raises(UserError, match="is not an address; give http://HOST:PORT"):
        opened(light).register("edge-node", "node-1", address, {})


@pytest.mark.parametrize(
    ("url", "servers", "namespace"),
    [
        ("nacos://a:8848", ("a:8848",), "public"),
        ("nacos://a:8848/", ("a:8848",), "public"),
        ("nacos://a-1.svc:8848,10.0.0.2:1/edgebed_2-x", ("a-1.svc:8848", "10.0.0.2:1"), "edgebed_2-x"),
    ],
)
def test_a_url_is_read(url, servers, namespace):
    assert read_nacos_url(url) == (servers, namespace)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "embedded",
        "nacos",
        "nacos:a:8848",
        "http://a:8848",
        "nacos://",
        "nacos://a",
        "nacos://a:",
        "nacos://a:x",
        "nacos://a:0",
        "nacos://a:65000",
        "nacos://a:8848,",
        "nacos://a:8848/b/c",
        "nacos://a:8848/b c",
        "nacos://user:secret@a:8848/b",
    ],
)
def test_a_wrong_url_is_refused(url, tmp_path):
    """Naming the setting; never a password that somebody put there."""
    with pytest.raises(UserError, match=r"EDGEBED_COORDINATION: .*; give") as caught:
        open_coordinator(url, None, None, tmp_path)
    assert "secret" not in str(caught.value)


@pytest.fixture
def stranger():
    """A server that answers everything with the same text, which is in its list."""
    answer = ["{}"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer[0].encode())

        do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"nacos://127.0.0.1:{server.server_port}/x", answer
        server.shutdown()


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "3", "text", '{"code": 0}', '{"code": "x"}', '{"code": 0, "data": 3}', '{"code": 0, "data": [{}]}'],
)
def test_a_server_that_is_none_of_nacos_is_named(stranger, tmp_path, text):
    """And harms no thread: watches and registrations go on when Nacos is there."""
    url, answer = stranger
    answer[0] = text
    coordinator = open_coordinator(url, None, None, tmp_path, light=True)
    for work in (lambda: coordinator.get("a"), lambda: coordinator.instances("a")):
        with pytest.raises(EnvironmentFault, match=r"Nacos .*mend EDGEBED_COORDINATION"):
            work()
    told: queue.Queue[Entry] = queue.Queue()
    coordinator.watch("a", told.put)
    time.sleep(nacos_watches.POLL_S / 5)
    answer[0] = '{"code": 0, "data": {"content": "b", "lastModified": 7}}'
    assert told.get(timeout=LONG_S) == Entry("a", "b", 7)
    coordinator.close()


def test_the_next_server_is_asked_when_one_is_away(server, namespace, tmp_path):
    """By both ways, wherever it stands in the list."""
    for light in (True, False):
        url = f"nacos://127.0.0.1:9,{server.address}/{namespace}"
        coordinator = open_coordinator(url, None, None, tmp_path, light=light)
        _until(lambda c=coordinator, n=str(light): _registers(c, n))
        assert coordinator.publish("k", str(light)).text == str(light)
        coordinator.close()


def _registers(coordinator, name):
    try:
        coordinator.register("a", name, "http://127.0.0.1:1", {})
    except EnvironmentFault:
        return False
    return True


def _until(holds, limit_s=LONG_S):
    until = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)
