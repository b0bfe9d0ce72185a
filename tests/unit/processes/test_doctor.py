"""What is wrong is found before a run starts, with the remedy."""

import socket

import pytest

from edgebed.experiment.errors import EnvironmentFault
from edgebed.processes.doctor import check_stores, examine


@pytest.fixture
def nobody():
    """An address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_what_is_embedded_is_well():
    found = {finding.what: finding for finding in examine({})}
    assert set(found) == {"task log", "artefacts", "coordination", "precedence", "awake", "cores", "ffmpeg"}
    assert {found[what].verdict for what in ("task log", "artefacts", "coordination")} == {"well"}


def test_servers_that_are_away_are_named_with_the_remedy(nobody):
    """All of them at once, and never a password."""
    given = {
        "EDGEBED_TASK_LOG": f"mysql+pymysql://edgebed@{nobody}/edgebed",
        "EDGEBED_TASK_LOG_PASSWORD": "b1946ac9",
        "EDGEBED_ARTEFACTS": f"webhdfs://edgebed@{nobody}/edgebed",
        "EDGEBED_COORDINATION": f"nacos://{nobody}/public",
    }
    found = {finding.what: finding for finding in examine(given)}
    for what, variable in (("task log", "EDGEBED_TASK_LOG"), ("artefacts", "EDGEBED_ARTEFACTS")):
        assert found[what].verdict == "broken"
        assert nobody in found[what].said
        assert variable in found[what].said
    assert found["coordination"].verdict == "broken"
    with pytest.raises(EnvironmentFault) as caught:
        check_stores(given)
    assert str(caught.value).count(nobody) >= 3
    assert "b1946ac9" not in str(caught.value) + str(found)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="EDGEBED_ARTEFACTS"):
        check_stores({"EDGEBED_ARTEFACTS": f"file:{tmp_path / 'file' / 'artefacts'}"})
