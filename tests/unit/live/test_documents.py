"""What can be changed while services run: the texts that people publish, and what they are told of a wrong one."""

import re

import pytest

from edgebed.experiment.errors import UserError
from edgebed.live.documents import DEFAULT_TEXTS, DOCUMENTS, LARGEST, fields, read
from edgebed.settings import SERVICES


@pytest.mark.parametrize("key", DOCUMENTS)
def test_the_text_to_edit_says_the_defaults(key):
    """Also where somebody has changed a blank, so that it is really read."""
    defaults = DOCUMENTS[key]()
    assert read(key, DEFAULT_TEXTS[key]) == read(key, DEFAULT_TEXTS[key] + "\n") == read(key, "") == defaults
    assert read(key, "# nothing yet\n") == defaults
    for name, default, meaning in fields(key):
        assert f"# {meaning}\n{name}: {default}\n" in DEFAULT_TEXTS[key]
        assert meaning


def test_every_service_has_a_document_and_a_log_level():
    assert set(SERVICES) < set(DOCUMENTS)
    for service in SERVICES:
        assert read(service, "logLevel: debug").log_level == "debug"


@pytest.mark.parametrize(
    "text", ["probeTimeoutSeconds: 0.5\nlogLevel: info", '{"logLevel": "info", "probeTimeoutSeconds": 0.5}']
)
def test_a_text_is_yaml_or_json(text):
    """What it leaves out has its default."""
    found = read("edge-node", text)
    assert (found.probe_timeout_seconds, found.log_level, found.record_seconds) == (0.5, "info", 0.1)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        (
            "edge-node",
            "a: 1\nprobeTimeoutSecond: 1",
            "edge-node:2: probeTimeoutSecond: is unknown; did you mean probeTim",
        ),
        ("edge-node", "probeTimeoutSeconds: 60", "probeTimeoutSeconds: 60 is not allowed; give a number of at most 5"),
        ("edge-node", "probeTimeoutSeconds: soon", "probeTimeoutSeconds: 'soon' is not allowed; give a number"),
        ("edge-node", "probeTimeoutSeconds: .nan", "probeTimeoutSeconds: .nan is not allowed; give a finite number"),
        ("edge-node", '{"probeTimeoutSeconds": NaN}', "probeTimeoutSeconds"),
        ("controller", "logLevel: loud", "logLevel: 'loud' is not allowed; give debug, error, info or warning"),
        ("trainer", "threads: 1.5", "threads: 1.5 is not allowed; give a whole number"),
        ("trainer", "threads: 1\nthreads: 2", "trainer:2: threads: is given twice"),
        ("trainer", "[1]", "[1] is not allowed; give a mapping with logLevel, threads, niceness"),
        ("trainer", "a: [", "trainer:1: not valid YAML"),
        ("trainer", "[" * 10_000, "trainer"),
        ("policies", "defaults: {rda: 3}", "defaults.rda: 3 is not allowed; give a mapping"),
        ("policies", '{"defaults": {"rda": {"coefficient": Infinity}}}', "has a value that is not finite"),
        ("policies", '{"defaults": {"rda": {"coefficient": "\\ud800"}}}', "or no text; give plain values"),
        ("nodes", "a: 1", "nodes: is not a configuration; give controller, edge-node, policies"),
        ("edge-nodes", "a: 1", "edge-nodes: is not a configuration; did you mean edge-node?"),
        ("trainer", "#" * (LARGEST + 1), f"{LARGEST + 1} characters are too many; give at most {LARGEST}"),
    ],
)
def test_a_wrong_text_is_refused_with_field_value_and_remedy(key, text, expected):
    with pytest.raises(UserError, match=re.escape(expected)):
        read(key, text)


def test_everything_that_is_wrong_is_told_at_once():
    with pytest.raises(UserError) as refused:
        read("trainer", "threads: 0\nniceness: 20\n")
    assert [problem.path for problem in refused.value.problems] == ["threads", "niceness"]
    assert [problem.line for problem in refused.value.problems] == [1, 2]
