"""What every coordinator must do. A backend subclasses it, and gives `coordinator`, `again`, `end` and `age`."""

import queue
import threading
import time
from abc import ABC, abstractmethod

import pytest

from edgebed.experiment.errors import UserError
from edgebed.stores.coordination import EXPIRY_S, HEARTBEAT_S, Entry, Instance

LONG_S = 30.0
WRONG = ["", "a b", "a/b", "../x", "ä", ".a", "a?b", "a%2Fb", "x" * 201, "a\n"]


class CoordinatorSuite(ABC):
    """Subclasses have a fixture `coordinator`, in which nobody is registered and nothing published."""

    @abstractmethod
    def again(self, coordinator):
        """The same coordinator as another process has it."""

    @abstractmethod
    def end(self, coordinator):
        """The process that has it ends: it registers nobody any more."""

    @abstractmethod
    def age(self, coordinator, seconds):
        """Lets so much time go by for the registry."""

    @pytest.fixture
    def told(self, coordinator):
        """Watches a key in a queue; closed at the end."""
        watches = []

        def watch(key, by=coordinator):
            entries: queue.Queue[Entry] = queue.Queue()
            watches.append(by.watch(key, entries.put))
            return entries

        yield watch
        for watch in watches:
            watch.close()

    def test_who_registered_is_there(self, coordinator):
        """With address and metadata, in order of names, for this process and others; services are apart."""
        coordinator.register("edge-node", "node-10", "http://127.0.0.1:8082", {})
        coordinator.register("edge-node", "node-1", "http://127.0.0.1:8081", {"cores": "4", "zone": "ä"})
        coordinator.register("trainer", "node-1", "http://127.0.0.1:8083", {})
        wanted = [
            Instance("edge-node", "node-1", "http://127.0.0.1:8081", {"cores": "4", "zone": "ä"}),
            Instance("edge-node", "node-10", "http://127.0.0.1:8082", {}),
        ]
        assert coordinator.instances("edge-node") == self.again(coordinator).instances("edge-node") == wanted
        assert [i.address for i in coordinator.instances("trainer")] == ["http://127.0.0.1:8083"]
        assert coordinator.instances("controller") == []

    def test_registered_again_it_is_replaced(self, coordinator):
        """A process that was started again has another address."""
        coordinator.register("edge-node", "node-1", "http://127.0.0.1:1", {"a": "1"})
        self.again(coordinator).register("edge-node", "node-1", "http://127.0.0.1:2", {})
        assert coordinator.instances("edge-node") == [Instance("edge-node", "node-1", "http://127.0.0.1:2", {})]

    def test_who_left_is_gone(self, coordinator):
        """At once; leaving twice is no mistake."""
        coordinator.register("edge-node", "node-1", "http://127.0.0.1:1", {})
        coordinator.deregister("edge-node", "node-1")
        coordinator.deregister("edge-node", "node-1")
        assert coordinator.instances("edge-node") == []

    def test_who_is_silent_is_gone_after_a_while(self, coordinator):
        """And who is heard of every HEARTBEAT_S stays; who comes back is there again."""
        other = self.again(coordinator)
        other.register("edge-node", "silent", "http://127.0.0.1:1", {})
        self.end(other)
        for _ in range(int(EXPIRY_S / HEARTBEAT_S) + 1):
            coordinator.register("edge-node", "heard", "http://127.0.0.1:2", {})
            self.age(coordinator, HEARTBEAT_S)
        assert [i.name for i in coordinator.instances("edge-node")] == ["heard"]
        self.again(coordinator).register("edge-node", "silent", "http://127.0.0.1:1", {})
        assert [i.name for i in coordinator.instances("edge-node")] == ["heard", "silent"]

    def test_the_age_of_what_is_known_is_told(self, coordinator):
        """Where it is asked each time there is none."""
        coordinator.register("edge-node", "node-1", "http://127.0.0.1:1", {})
        assert len(coordinator.instances("edge-node")) == 1
        assert 0 <= coordinator.age_s("edge-node") < LONG_S

    def test_a_late_heartbeat_is_borne(self, coordinator):
        coordinator.register("edge-node", "node-1", "http://127.0.0.1:1", {})
        self.age(coordinator, EXPIRY_S * 0.9)
        assert len(coordinator.instances("edge-node")) == 1

    @pytest.mark.parametrize("name", WRONG)
    def test_what_is_no_name_is_refused(self, coordinator, name):
        """Before anything is asked."""
        for work in (
            lambda: coordinator.register(name, "a", "http://x", {}),
            lambda: coordinator.register("a", name, "http://x", {}),
            lambda: coordinator.deregister("a", name),
            lambda: coordinator.instances(name),
            lambda: coordinator.publish(name, "x"),
            lambda: coordinator.get(name),
            lambda: coordinator.watch(name, print),
        ):
            with pytest.raises(UserError, match="is not a name"):
                work()

    @pytest.mark.parametrize(
        "text", ["a: 1\n", "", "ä \0 \u2028 " * 1000, '{"a": "\\""}'], ids=["yaml", "none", "odd", "json"]
    )
    def test_what_is_published_is_read(self, coordinator, text):
        """Letter by letter."""
        published = coordinator.publish("trainer", text)
        assert (published.key, published.text) == ("trainer", text)
        assert coordinator.get("trainer") == self.again(coordinator).get("trainer") == published

    def test_what_was_never_published_is_none(self, coordinator):
        coordinator.publish("other", "x")
        assert coordinator.get("trainer") is None
        assert coordinator.get("trainer", wait_s=0.05) is None

    def test_versions_rise_with_changes(self, coordinator):
        """The same text again is no change."""
        versions = [coordinator.publish("trainer", text).version for text in ("a", "a", "b", "a")]
        assert versions[0] == versions[1] < versions[2] < versions[3]
        assert coordinator.get("trainer").version == versions[3]

    def test_a_reader_waits_for_another_version(self, coordinator):
        """At once where it is another; when it comes; or not at all, once the time is over."""
        first = coordinator.publish("trainer", "a")
        assert coordinator.get("trainer", after=first.version + 7, wait_s=LONG_S) == first
        begin = time.monotonic()
        assert coordinator.get("trainer", after=first.version, wait_s=0.2) is None
        assert 0.2 <= time.monotonic() - begin < LONG_S
        found: queue.Queue[Entry | None] = queue.Queue()
        reader = threading.Thread(
            target=lambda: found.put(self.again(coordinator).get("trainer", first.version, LONG_S))
        )
        reader.start()
        coordinator.publish("other", "x")
        second = coordinator.publish("trainer", "b")
        assert found.get(timeout=LONG_S) == second
        reader.join()

    def test_who_watches_is_told(self, coordinator, told):
        """What is there, then what changes; by whomever; of its key only."""
        first = coordinator.publish("trainer", "a")
        mine, other = told("trainer"), told("other", self.again(coordinator))
        assert mine.get(timeout=LONG_S) == first
        second = self.again(coordinator).publish("trainer", "b")
        assert mine.get(timeout=LONG_S) == second
        coordinator.publish("trainer", "b")
        third = coordinator.publish("trainer", "c")
        assert mine.get(timeout=LONG_S) == third
        begun = coordinator.publish("other", "x")
        assert other.get(timeout=LONG_S) == begun
        assert mine.empty()

    def test_the_last_of_many_changes_is_told(self, coordinator, told):
        """Several publish at once: everybody ends with the same text, and versions never go back."""
        watches = [told("trainer"), told("trainer", self.again(coordinator))]
        threads = [
            threading.Thread(target=lambda n=n: [coordinator.publish("trainer", f"{n}-{i}") for i in range(20)])
            for n in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        last = coordinator.get("trainer")
        for entries in watches:
            seen = [entries.get(timeout=LONG_S)]
            while seen[-1] != last:
                seen.append(entries.get(timeout=LONG_S))
            versions = [entry.version for entry in seen]
            assert versions == sorted(set(versions))

    def test_who_closed_is_told_no_more(self, coordinator):
        """Closing twice is no mistake."""
        entries: queue.Queue[Entry] = queue.Queue()
        watch = coordinator.watch("trainer", entries.put)
        coordinator.publish("trainer", "a")
        entries.get(timeout=LONG_S)
        watch.close()
        watch.close()
        coordinator.publish("trainer", "b")
        coordinator.get("trainer", wait_s=0.05)
        assert entries.empty()

    def test_a_watcher_with_a_fault_harms_nobody(self, coordinator, told, caplog):
        """Its error is logged; the publisher, the others and its own next version are not touched."""
        calls: queue.Queue[str] = queue.Queue()

        def fail(entry):
            calls.put(entry.text)
            raise ZeroDivisionError

        watch = coordinator.watch("trainer", fail)
        good = told("trainer")
        for text in ("a", "b"):
            coordinator.publish("trainer", text)
            assert calls.get(timeout=LONG_S) == good.get(timeout=LONG_S).text == text
        watch.close()
        assert "ZeroDivisionError" in caplog.text
