"""What is no message is refused with the status that says whose mistake it is."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebed.wire.frames import read_frame, varint
from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.messages import JSON, parse
from edgebed.wire.problems import Problem


@pytest.mark.parametrize(
    ("body", "content_type", "status", "said"),
    [
        (b"\x0a\x05run", None, 400, "Probe"),
        (b"\xff\xff\xff\xff", "application/x-protobuf", 400, "Probe"),
        (b"\x0a\x02\xff\xfe", "application/octet-stream", 400, "Probe"),
        (b"{", JSON, 400, "Probe"),
        (b"\xff", JSON, 400, "UTF-8"),
        (b"", JSON, 400, "Probe"),
        (b'{"slott": 1}', JSON, 422, "slott"),
        (b'{"slot": "x"}', JSON, 422, "slot"),
        (b'{"slot": -1}', JSON, 422, "slot"),
        (b'{"slot": 1e400}', JSON, 422, "slot"),
        (b'{"slot": 4294967296}', JSON, 422, "slot"),
        (b"[1]", JSON, 422, "Probe"),
        (b"[" * 10_000, JSON, 400, "Probe"),
        (b"", "text/html", 415, "text/html"),
        (b"", "", 415, "''"),
    ],
)
def test_what_is_no_message_is_refused(body, content_type, status, said):
    """The problem names what was found, and what to send."""
    with pytest.raises(Problem) as refused:
        parse(pb.Probe, body, content_type)
    assert refused.value.status == status
    assert said in refused.value.detail
    assert "send" in refused.value.detail


@given(st.binary(max_size=300), st.binary(max_size=50))
def test_a_frame_is_read_from_any_part_that_holds_it(head, payload):
    """Every shorter part asks for more, every longer one gives the same head."""
    body = varint(len(head)) + head + payload
    begins = len(body) - len(payload)
    for end in range(len(body) + 1):
        found = read_frame(body[:end], len(body), 1000)
        assert found == ((head, begins) if end >= begins else None)


@given(st.binary(max_size=12), st.integers(0, 12))
def test_what_is_no_frame_is_refused(data, length):
    """Never an endless wait: the whole body is a frame, or is refused."""
    body = data[:length]
    with contextlib.suppress(Problem):
        found = read_frame(body, len(body), 10)
        assert found is not None
        head, begins = found
        assert len(head) <= 10
        assert body[:begins].endswith(head)
