"""Machine code that comes with an installation nobody may write to, such as a container's.

numba keeps what it has compiled beside the sources, where it can write there, else in a cache of the user. In a new container
neither holds anything: each would compile the kernels again, for fifteen seconds of a processor. So an image brings them, in
`kernels` beside its libraries, compiled for any processor of its architecture, which makes them no slower:

    NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR=/opt/edgebed/kernels python -m edgebed.compiled           # when the image is built
    NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR=/tmp/numba NUMBA_CACHE_LOCATOR_CLASSES=edgebed.compiled.Shipped       # in the image

Whatever is missing there, or does not fit any more, is compiled as usual; nothing depends on it but time.
"""

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.caching import UserProvidedCacheLocator


class Shipped(UserProvidedCacheLocator):
    """NUMBA_CACHE_DIR, which begins as a copy of what is shipped, because numba uses no folder that it may not write to."""

    def ensure_cache_path(self) -> None:
        """As numba wants it: the folder exists and can be written, or OSError."""
        own = Path(self.get_cache_path())
        shipped = Path(sys.prefix) / "kernels" / own.name
        if shipped.exists() and not own.exists():
            _copy(shipped, own)
        super().ensure_cache_path()


def _copy(shipped: Path, own: Path) -> None:
    """Appears as a whole, because other processes look for it at this moment, or make it."""
    own.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=own.parent) as folder:
        content = Path(folder) / own.name
        shutil.copytree(shipped, content, copy_function=shutil.copyfile)
        with contextlib.suppress(OSError):  # another was faster
            os.rename(content, own)  # never into a folder that is there


def _layers(observation: Any, outputs: int) -> Any:
    """Of an actor that has learned nothing."""
    sizes = (observation.static_size + observation.dynamic_size, 8, 8, outputs)
    return tuple(
        (np.zeros(pair, dtype=np.float32), np.zeros(pair[1], dtype=np.float32)) for pair in itertools.pairwise(sizes)
    )


def compile_kernels() -> None:
    """Makes numba compile, or load, everything that the simulator and the conversion of logs call."""
    from edgebed.simulator.rollout import play
    from edgebed.systems.cooperative.actor import ActorWeights
    from edgebed.systems.cooperative.candidate import CandidateSpecification
    from edgebed.systems.cooperative.candidate_actor import CandidateWeights
    from edgebed.systems.cooperative.candidate_log import decisions
    from edgebed.systems.cooperative.conversion import Attribution, convert
    from edgebed.systems.cooperative.crowding import worth
    from edgebed.systems.cooperative.observation import ObservationSpecification
    from edgebed.systems.cooperative.policies.actor import Actor
    from edgebed.systems.cooperative.policy import PolicyContext
    from edgebed.systems.cooperative.randomness import Stream
    from edgebed.systems.cooperative.rules import Rules
    from edgebed.systems.cooperative.setups import TESTBED
    from edgebed.systems.registry import BUILT_IN, find_policy

    network, rules, mask = TESTBED.network.draw(1), Rules(), 0.25
    tasks = TESTBED.workload.draw(network, 1, Stream.EVALUATE, range(2))
    observation = ObservationSpecification.paper(*TESTBED)
    candidate = CandidateSpecification()
    context = PolicyContext(network, TESTBED.workload, rules, mask, 1)
    actors = [
        Actor(context, ActorWeights(observation, _layers(observation, observation.nodes + 1))),
        Actor(context, CandidateWeights(_layers(candidate, 1))),
    ]
    policies = [*actors, *(find_policy(name)(context) for name in BUILT_IN if name not in ("actor", "generalist"))]
    for policy in policies:
        log = play(network, tasks, rules, policy, mask).log
        slot_s, slots, crowd = tasks.slot_s, tasks.slots, Attribution.CROWDING
        like = (log, network, observation, rules)
        convert(*like, slot_s=slot_s, slots=slots, mask_coefficient=mask, attribution=crowd)
        decided = decisions(log, network, rules, slot_s=slot_s, slots=slots, mask_coefficient=mask)
        worth(decided, network, rules, slot_s, decided.known.available, 1.0)


if __name__ == "__main__":
    compile_kernels()
