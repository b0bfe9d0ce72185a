"""Bytes that version 1 of the protocol has put on the wire mean the same for ever.

`tests/data/wire/version1.json` is never changed; what a later version adds is recorded beside it.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.messages import JSON, PROTOBUF, JsonText, dump, parse

RECORDED = json.loads(Path("tests/data/wire/version1.json").read_text(encoding="utf-8"))


def named(recorded: dict[str, Any]) -> str:
    return str(recorded["name"])


@pytest.mark.parametrize("recorded", RECORDED, ids=named)
def test_recorded_bytes_have_their_values(recorded):
    """Every field is read with its value, and nothing else is."""
    message = parse(getattr(pb, recorded["message"]), bytes.fromhex(recorded["hex"]), PROTOBUF)
    assert MessageToDict(message, preserving_proto_field_name=True) == recorded["values"]
    assert message.SerializeToString(deterministic=True).hex() == recorded["hex"]


@pytest.mark.parametrize("recorded", RECORDED, ids=named)
def test_people_may_say_the_same_in_json(recorded):
    """The values as JSON are the same message, and come back as JSON."""
    kind = getattr(pb, recorded["message"])
    message = parse(kind, json.dumps(recorded["values"]).encode(), "application/json; charset=utf-8")
    assert message.SerializeToString(deterministic=True).hex() == recorded["hex"]
    answer = dump(message, JSON)
    assert isinstance(answer, JsonText)
    assert parse(kind, answer, JSON) == message
    assert not isinstance(dump(message, PROTOBUF), JsonText)
    assert parse(kind, dump(message, None), None) == message


def test_fields_of_a_later_version_are_passed_over():
    """A node of version 1 understands one that says more."""
    probe = parse(pb.Probe, bytes.fromhex("0a0572756e2d37100318042007") + bytes.fromhex("f23f03616263"), None)
    assert (probe.run, probe.episode, probe.slot, probe.asker) == ("run-7", 3, 4, 7)


def test_all_messages_of_version_1_are_recorded():
    """None was forgotten."""
    assert {recorded["message"] for recorded in RECORDED} == set(pb.DESCRIPTOR.message_types_by_name)
