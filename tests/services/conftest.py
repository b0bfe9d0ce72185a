"""What all runs on processes share: the command, and that it leaves nobody behind."""

import os
import signal

import pytest

from tests.services.experiment import Command


@pytest.fixture
def command(tmp_path):
    made = []

    def make(**options):
        made.append(Command(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()
        assert one.orphans() == set()
