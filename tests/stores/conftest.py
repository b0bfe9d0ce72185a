"""What several tests of the stores need."""

import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small file system here; RLIMIT_FSIZE stands in for it above")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
