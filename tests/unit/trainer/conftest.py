"""Learning on one thread, as units and trainers do."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """torch's own threads wait for each other where the machine is busy, and then small updates take a hundred times longer."""
    torch.set_num_threads(1)
