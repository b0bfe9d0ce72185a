"""The testbed as the runner sees it: episodes of a stream under a policy, as the log of what really happened.

Episodes that the log has already are not played again. What is being played is named by a key of everything that determines it,
so the same key after a restart finds the same episodes, and other decisions, tasks or rules never do.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from edgebed.controller.deployment import Decider
from edgebed.controller.fidelity import messages_of
from edgebed.controller.testbed import Testbed
from edgebed.experiment.files import canonical
from edgebed.experiment.methods import PolicyChoice
from edgebed.runner.setting import Setting, read_actor
from edgebed.simulator.rollout import Rollout
from edgebed.stores.task_log import EpisodeRow
from edgebed.systems.cooperative.actor import ActorWeights
from edgebed.systems.cooperative.randomness import Stream

Told = Callable[[EpisodeRow], None]


class Player:
    """Plays for one replicate; the testbed is open for its setting."""

    def __init__(self, testbed: Testbed, setting: Setting, told: Told) -> None:
        """`told` hears of every episode, played now or found in the log."""
        self._testbed, self._setting, self._told = testbed, setting, told

    def play(
        self,
        decider: Decider,
        stream: Stream,
        episodes: range,
        *index: int,
        identity: Any = None,
        advanced: Callable[[], None] = lambda: None,
    ) -> tuple[Rollout, list[EpisodeRow]]:
        """The episodes of a stream under a decider, numbered from 0; `advanced` is called after each.

        `identity` says what determines the decisions beyond kind, parameters and model: the code of another package's policy.
        """
        phase = self.phase(decider, stream, *index, identity=identity)
        there = self._testbed.played(phase)
        rows = []
        for episode in episodes:
            row = there.get(episode)
            if row is None:
                self._testbed.deploy(decider)
                tasks = self._setting.tasks(stream, range(episode, episode + 1), *index)
                about = {"stream": stream.name.lower(), "index": list(index), "networkSeed": self._setting.network_seed}
                row = self._testbed.play(tasks, phase, episode, about)
            rows.append(row)
            self._told(row)
            advanced()
        log = self._testbed.store.read(self._testbed.run, [row.episode for row in rows])
        return Rollout(log, messages_of(log, [row.result or {} for row in rows])), rows

    def phase(self, decider: Decider, stream: Stream, *index: int, identity: Any = None) -> str:
        """The key of what is played, with a part that people can read."""
        actor = None if decider.actor is None else hashlib.sha256(decider.actor.to_bytes()).hexdigest()
        content = {
            "setting": self._setting.fingerprint(),
            "stream": stream.name,
            "index": list(index),
            "kind": decider.kind,
            "parameters": decider.parameters,
            "actor": actor,
            "identity": identity,
        }
        digest = hashlib.sha256(canonical(content)).hexdigest()
        return f"{stream.name.lower()}-{decider.kind}-{digest[:24]}"


def decider_of(setting: Setting, choice: PolicyChoice) -> Decider:
    """How nodes decide under a policy of the specification; the model of an actor is read. Raises like `Setting.policy`."""
    parameters = choice.parameters
    if choice.kind == "actor" and isinstance(model := parameters.pop("model", None), str):
        actor = read_actor(setting.folder / model)
        actor.require(setting.observation)
        return Decider("actor", parameters, actor)
    return Decider(choice.kind, parameters)


def learned(actor: ActorWeights) -> Decider:
    """How nodes decide under a trained actor."""
    return Decider("actor", {}, actor)
