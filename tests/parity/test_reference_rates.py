"""The heuristics reach the success rates of an independent reference, on its exact networks.

`tests/data/reference` holds ten networks and, for each, every policy's mean success rate over 400 episodes with its
standard error. Ours must lie within four standard errors of the difference.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebed.simulator.rollout import play
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.policies.least_completion import LeastCompletion
from edgebed.systems.cooperative.policies.local import Local
from edgebed.systems.cooperative.policies.price_mask import PriceMask
from edgebed.systems.cooperative.policies.random import Random
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policies.rda import Rda
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import SIMULATION, TESTBED

DATA = Path(__file__).parents[1] / "data" / "reference"
EPISODES = 400
SETUPS = {"simulation": SIMULATION.workload, "testbed": TESTBED.workload}
POLICIES: dict[str, Any] = {
    "random": Random,
    "local": Local,
    "rda": Rda,
    "ratc": Ratc,
    "price-mask": PriceMask,
    "least-completion": LeastCompletion,
}


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("name", POLICIES)
def test_success_rate_equals_the_reference(setup: str, index: int, name: str) -> None:
    """400 fresh episodes of a policy agree with the reference to four standard errors of the difference."""
    model = SETUPS[setup]
    network = Network.from_document(json.loads((DATA / f"{setup}-networks.json").read_text())[index])
    reference = json.loads((DATA / "success-rates.json").read_text())[setup]["networks"][index]
    context = PolicyContext(network, model, Rules(), 0.25, index)
    # The prices depend on sample workloads, so the reference gives the ones that it used.
    policy = POLICIES[name](context, **({"prices": reference["prices"]} if name == "price-mask" else {}))
    workload = model.draw(network, 100 + index, Stream.EVALUATE, range(EPISODES))
    log = play(network, workload, Rules(), policy, 0.25).log
    rates = np.bincount(log.episode, log.status == 1) / np.bincount(log.episode)
    error = np.hypot(rates.std(ddof=1) / np.sqrt(EPISODES), reference[name]["standardError"])
    assert abs(rates.mean() - reference[name]["mean"]) <= 4 * error
