"""A good text is in use, a wrong one changes nothing; what was good is there at the next start."""

import json
import threading

import pytest

from edgebed.experiment.errors import Problem, UserError
from edgebed.live.documents import DEFAULT_TEXTS, EdgeNodeSettings, Policies, TrainerSettings
from edgebed.live.in_use import Cache, InUse

GOOD = "probeTimeoutSeconds: 0.5"


def test_without_a_word_the_defaults_hold():
    used = InUse(EdgeNodeSettings)
    assert used.shown() == {
        "version": 0,
        "values": {"logLevel": None, "probeTimeoutSeconds": 0.25, "recordSeconds": 0.1},
        "refused": None,
        "fromCache": False,
    }


def test_a_wrong_text_changes_nothing_until_a_good_one_comes():
    used = InUse(EdgeNodeSettings)
    assert used.take(GOOD, 7)
    before = used.values
    assert not used.take("probeTimeoutSeconds: 50", 8)
    assert (used.values, used.version) == (before, 7)
    assert used.refused == (
        "version 8 is not in use: edge-node:1: probeTimeoutSeconds: 50 is not allowed; give a number of at most 5"
    )
    assert used.take(GOOD, 9)  # the text of before again
    assert (used.values, used.version) == (before, 9)
    assert not used.refused


def test_what_cannot_be_applied_is_not_in_use():
    """The service says why, and goes on with what it had."""
    applied = []

    def apply(values):
        if values.niceness < 5:
            raise UserError(Problem("niceness", f"{values.niceness} is not permitted", "give 5 or more"))
        applied.append(values.niceness)

    used = InUse(TrainerSettings, apply)
    assert used.take("niceness: 7", 1)
    assert not used.take("niceness: 2", 2)
    assert (applied, used.values.niceness) == ([7], 7)
    assert used.refused == "version 2 is not in use: niceness: 2 is not permitted; give 5 or more"


def test_a_reader_never_sees_half_a_change():
    """Two fields that are always published as equal are read as equal, while they change."""
    used, stop, seen = InUse(EdgeNodeSettings), threading.Event(), 0

    def change():
        version = 0
        while not stop.is_set():
            version += 1
            second = 0.1 if version % 2 else 0.2
            used.take(json.dumps({"probeTimeoutSeconds": second, "recordSeconds": second}), version)

    used.take('{"probeTimeoutSeconds": 0.1, "recordSeconds": 0.1}', 1)
    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(20_000):
        values = used.values
        assert values.probe_timeout_seconds == values.record_seconds
        seen |= 1 if values.record_seconds == 0.1 else 2
    stop.set()
    thread.join()


def test_what_was_good_is_there_again(tmp_path):
    cache = Cache(tmp_path / "cache")
    assert cache.find("edge-node") is None
    assert cache.lacks("edge-node", GOOD, 7)
    cache.keep("edge-node", GOOD, 7)
    assert not cache.lacks("edge-node", GOOD, 7)
    assert cache.lacks("edge-node", GOOD, 8)
    assert Cache(tmp_path / "cache").find("edge-node") == (GOOD, 7)
    assert cache.text("edge-node") == GOOD
    assert cache.text("trainer") == DEFAULT_TEXTS["trainer"]
    assert [path.name for path in (tmp_path / "cache/configuration").iterdir()] == ["edge-node.json"]


def test_defaults_are_kept_only_over_something_else(tmp_path):
    """A thousand nodes that nobody ever tells anything write nothing."""
    cache = Cache(tmp_path)
    default = DEFAULT_TEXTS["policies"]
    assert not cache.lacks("policies", default, 3)
    cache.keep("policies", "defaults: {rda: {coefficient: 2}}", 4)
    assert cache.lacks("policies", default, 5)
    found = cache.find("policies")
    assert found is not None
    assert InUse(Policies).take(*found)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"text": "probeTimeoutSeconds: 99", "version": 1}', '{"text": "a", "version": "b"}']
)
def test_a_damaged_cache_is_as_good_as_none(tmp_path, content, caplog):
    """And is told in the log, with the file."""
    (tmp_path / "configuration").mkdir()
    (tmp_path / "configuration/edge-node.json").write_text(content)
    cache = Cache(tmp_path)
    assert cache.find("edge-node") is None
    assert "edge-node.json is of no use" in caplog.text
    cache.keep("edge-node", GOOD, 2)
    assert cache.find("edge-node") == (GOOD, 2)


def test_a_folder_that_takes_nothing_harms_nobody(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file")
    cache.keep("edge-node", GOOD, 1)
    assert cache.find("edge-node") is None
    assert "set EDGEBED_CACHE to another" in caplog.text
