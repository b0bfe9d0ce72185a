"""What can go wrong around a command: a full disk, a file in the way, a device that is not there."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.tiny import TINY, assert_refused, edgebed


def test_run_says_what_to_do_instead_of_kubernetes(tiny: Path) -> None:
    """A backend that is not available yet ends with exit code 2, the field, and what to do, and writes nothing."""
    assert_refused(edgebed("run", tiny, "--backend", "kubernetes"), 2, "spec.backend", "--backend simulator")
    assert not Path("runs").exists()


def test_run_refuses_cuda_without_a_gpu(tiny: Path) -> None:
    """Learning on a GPU that is not there ends with exit code 2 and the remedy."""
    import torch

    if torch.cuda.is_available():
        return  # the GPU that is asked for is there
    online = "online: {algorithm: ppo, episodes: 1, hidden: 8}"
    tiny.write_text(TINY.replace("policy: random", online))
    assert_refused(edgebed("run", tiny, "--device", "cuda", "--jobs", "1"), 2, "cuda", "cpu")


def test_output_in_the_place_of_a_file_is_refused(tiny: Path) -> None:
    """A file where the run's folder, or one above it, should be ends the run with a message and stays as it is."""
    blocker = Path("blocker")
    blocker.write_text("mine")
    for output in (blocker, blocker / "run"):
        result = edgebed("run", tiny, "--output", output)
        assert result.exit_code in (2, 3)
        assert_refused(result, result.exit_code, "blocker", "another folder")
    assert blocker.read_text() == "mine"


@pytest.mark.parametrize(
    "full",
    [
        Path.exists,
        lambda folder: any(folder.glob("stages/*.tmp-*/*")),
        lambda folder: len([p for p in folder.glob("stages/evaluate-*") if ".tmp-" not in p.name]) == 2,
    ],
    ids=["at the start", "in a stage", "before the results"],
)
def test_full_disk_is_survived(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, full: Callable[[Path], bool], tmp_path: Path
) -> None:
    """A disk that fills up ends the run with exit code 3 and the remedy, no half results, and it goes on later."""
    folder = tmp_path / "run"
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if full(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        result = edgebed("run", tiny, "--output", folder, "--jobs", "1")
    assert_refused(result, 3, "no space left on the device; free some, or choose another folder with --output")
    assert not (folder / "results.json").exists()
    assert not list(folder.glob("stages/*.tmp-*"))
    after = edgebed("run", tiny, "--output", folder, "--jobs", "1", "--json")
    assert after.exit_code == 0, after.output
