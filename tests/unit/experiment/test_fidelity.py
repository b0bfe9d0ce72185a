"""What the fidelity section says of logs whose differences are known."""

from dataclasses import replace

import numpy as np
import pytest

from edgebed.experiment.fidelity import compare, sentence, summarise
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import TESTBED
from edgebed.systems.cooperative.virtual import run_episode

NETWORK = TESTBED.network.draw(1)
LOG = run_episode(
    NETWORK,
    TESTBED.workload.draw(NETWORK, 1, Stream.EVALUATE, range(1)),
    Rules(),
    Ratc(PolicyContext(NETWORK, TESTBED.workload, Rules(), 0.25, 1)),
    0.25,
)


def unit(measured, **more):
    beside = {
        "method": "ratc",
        "successRate": 0.9,
        "simulatedSuccessRate": 0.91,
        "slotLatenessSeconds": [0.001, 0.002],
        "probes": {"count": 500, "bytes": 10_000, "latencyP50Seconds": 0.001},
        "priorities": ["usual"],
        "lost": 0,
    }
    return {**compare(measured, LOG, NETWORK), **beside, **more}


def test_a_log_compared_with_itself_shows_no_error():
    found = summarise([unit(LOG)], slot_s=0.1)
    assert found["sameStatus"] == 1
    assert found["endErrorSeconds"]["max"] == 0
    assert found["transferErrorShare"]["max"] < 1e-5
    assert found["executionErrorSeconds"]["max"] < 1e-6
    assert all(link["measuredMBps"] == pytest.approx(link["configuredMBps"], rel=1e-3) for link in found["links"])
    assert sentence(found).startswith("The testbed kept its schedule: 100.0 %")


def test_errors_that_were_put_in_are_found_again():
    ended = LOG.ended_s + np.where(np.arange(len(LOG)) % 2 == 0, 0.002, -0.002)
    late = replace(LOG, ended_s=ended, received_s=LOG.received_s + 0.01 * (LOG.received_s - LOG.sent_s))
    found = summarise([unit(late)], slot_s=0.1)
    assert found["endErrorSeconds"]["p50"] == pytest.approx(0.002)
    assert found["transferErrorShare"]["p50"] == pytest.approx(0.01, abs=1e-5)


def test_a_status_that_differs_counts_and_its_end_is_not_compared():
    status = LOG.status.copy()
    status[:10] = 0
    measured = replace(LOG, status=status, ended_s=np.where(np.arange(len(LOG)) < 10, 99.0, LOG.ended_s))
    found = unit(measured)
    assert found["sameStatus"] == len(LOG) - 10
    assert max(found["endErrorSeconds"]) == 0


def test_a_slot_that_began_late_makes_the_run_unreliable():
    found = summarise([unit(LOG, slotLatenessSeconds=[0.0, 0.011])], slot_s=0.1)
    assert not found["reliable"]
    assert sentence(found).startswith("Unreliable: 1 slots began more than 10 ms late (up to 11 ms)")


def test_logs_of_different_tasks_are_not_compared():
    with pytest.raises(ValueError, match="not of the same tasks"):
        compare(LOG.select(slice(1, None)), LOG.select(slice(0, -1)), NETWORK)
