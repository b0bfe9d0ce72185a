"""What is due when, and whether the watch is heard."""

import threading

from edgebed.operator.agenda import Agenda
from edgebed.operator.conditions import Condition, merged
from edgebed.operator.heard import Heard
from tests.unit.operator.world import START


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_each_name_once_and_as_early_as_anybody_asked():
    clock = Clock()
    agenda = Agenda(clock)
    agenda.put("a", 10)
    agenda.put("a", 5)
    agenda.put("a", 20)
    agenda.put("b", 7)
    clock.now = 6.0
    assert agenda.take(0) == "a"
    assert agenda.take(0) is None
    clock.now = 30.0
    assert agenda.take(0) == "b"
    assert agenda.take(0) is None


def test_what_was_dropped_is_not_due():
    agenda = Agenda(Clock())
    agenda.put("a")
    agenda.drop("a")
    assert agenda.take(0) is None


def test_who_waits_is_woken_by_what_comes_in():
    import time

    agenda, found = Agenda(time.monotonic), []
    thread = threading.Thread(target=lambda: found.append(agenda.take(30)))
    thread.start()
    agenda.put("a")
    thread.join(10)
    assert found == ["a"]


def item(version, uid="1"):
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}}


def test_what_was_listed_and_not_told_is_missed_until_it_is_told():
    heard = Heard()
    heard.tell(item(5))
    heard.compare([item(5)], 0)
    assert heard.silent_s(100) == 0
    heard.compare([item(7)], 100)
    heard.compare([item(9)], 130)
    assert heard.silent_s(160) == 60
    heard.tell(item(6))
    assert heard.silent_s(160) == 60
    heard.tell(item(8))  # what came after it will be, too
    assert heard.silent_s(160) == 0


def test_what_is_told_before_it_is_listed_is_not_missed():
    heard = Heard()
    heard.tell(item(9))
    heard.compare([item(7)], 0)
    assert heard.silent_s(50) == 0


def test_what_is_gone_is_not_missed():
    heard = Heard()
    heard.compare([item(7), item(8, "2")], 0)
    heard.tell(item(9), gone=True)
    assert heard.silent_s(10) == 10
    heard.compare([], 20)
    assert heard.silent_s(30) == 0


def test_another_watch_has_its_own_time():
    heard = Heard()
    heard.compare([item(7)], 0)
    heard.begin_anew(50)
    assert heard.silent_s(60) == 10


def test_a_condition_keeps_its_time_while_it_says_the_same():
    first = merged([], [Condition("Ready", False, "A", "a")], 1, START)
    [second] = merged(first, [Condition("Ready", False, "B", "b")], 2, START.replace(year=2031))
    assert (second["reason"], second["observedGeneration"]) == ("B", 2)
    assert second["lastTransitionTime"] == first[0]["lastTransitionTime"]
    [third] = merged([second], [Condition("Ready", True, "C")], 2, START.replace(year=2031))
    assert third["lastTransitionTime"] == "2031-01-01T00:00:00Z"
