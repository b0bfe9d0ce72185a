"""The networks and tasks that policies meet, none of them seen in training."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgebed.systems.cooperative.distributions import Uniform
from edgebed.systems.cooperative.network import BITS_PER_KB, Network, NetworkModel
from edgebed.systems.cooperative.setups import SIMULATION, TESTBED
from edgebed.systems.cooperative.workload import WorkloadModel
from scripts.generalist.models import ROOT

FRESH_SEED = 700_000
"""Network seeds of fresh networks begin here."""
NETWORKS, EPISODES = 20, 4
REFERENCE_EPISODES = 400
SIZES = (5, 10, 20, 30, 40, 60)


@dataclass(frozen=True)
class Case:
    """Some networks, and the tasks that arrive in them."""

    name: str
    words: str
    """For people."""
    workload: WorkloadModel
    episodes: int
    make: Callable[[], list[Network]]

    def networks(self) -> list[Network]:
        """In order."""
        return self.make()


def _reference(setup: str) -> list[Network]:
    path = ROOT / "tests" / "data" / "reference" / f"{setup}-networks.json"
    return [Network.from_document(d) for d in json.loads(path.read_text())]


def _fresh(model: NetworkModel) -> Callable[[], list[Network]]:
    return lambda: [model.draw(FRESH_SEED + k) for k in range(NETWORKS)]


def _cases() -> dict[str, Case]:
    model, tasks = SIMULATION
    sized = {n: replace(model, nodes=n) for n in SIZES}
    small = replace(tasks, size_bits=Uniform(1000 * BITS_PER_KB, 5000 * BITS_PER_KB))
    large = replace(tasks, size_bits=Uniform(1000 * BITS_PER_KB, 10_000 * BITS_PER_KB))
    rare = replace(model, arrival_probability=Uniform(0, 0.6))
    frail = replace(model, execution_failure_rate=Uniform(0, 0.3))
    cases = [
        Case("reference-simulation", "the 5 reference networks, simulation", tasks, REFERENCE_EPISODES,
             lambda: _reference("simulation")),
        Case("reference-testbed", "the 5 reference networks, testbed", TESTBED.workload, REFERENCE_EPISODES,
             lambda: _reference("testbed")),
        *(Case(f"nodes-{n}", f"N = {n}", tasks, EPISODES, _fresh(m)) for n, m in sized.items()),
        Case("sizes-5000", "tasks of up to 5000 KB", small, EPISODES, _fresh(model)),
        Case("sizes-10000", "tasks of up to 10,000 KB", large, EPISODES, _fresh(model)),
        Case("arrivals-0.6", "arrivals of up to 0.6 per slot", tasks, EPISODES, _fresh(rare)),
        Case("failures-0.3", "node failures of up to 0.3 per second", tasks, EPISODES, _fresh(frail)),
        Case("testbed", "the testbed preset", TESTBED.workload, EPISODES, _fresh(TESTBED.network)),
    ]  # fmt: skip
    return {case.name: case for case in cases}


CASES = _cases()
