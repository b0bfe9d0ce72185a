"""Where episodes are played: the seam between the phases of an experiment and a backend.

    played = ground.play(Decider.of(choice), Request(Stream.EVALUATE, range(50), phase="evaluate-1f…", label="…"), progress)

The phases (`stages`) ask a ground to let a decider play some episodes of a stream, and get the task log. The simulator plays
them in virtual time at once; a testbed lets real nodes play them one by one, and keeps what it has played in its own log, so
that an interrupted request goes on at the next episode.
"""

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from edgebed.experiment.methods import PolicyChoice
from edgebed.runner.progress import Progress
from edgebed.runner.setting import Setting
from edgebed.simulator.rollout import Rollout
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.models import Model
from edgebed.systems.cooperative.policies.actor import Actor
from edgebed.systems.cooperative.policy import Policy
from edgebed.systems.cooperative.randomness import Stream

EPISODES_AT_ONCE = 50
"""The simulator tells progress after so many episodes."""


@dataclass(frozen=True)
class Decider:
    """Who decides: a policy of the specification, or a trained actor."""

    choice: PolicyChoice | None
    actor: Model | None
    name: str
    """For people."""

    @classmethod
    def of(cls, choice: PolicyChoice) -> Self:
        """A policy by its name in the specification."""
        return cls(choice, None, choice.kind)

    @classmethod
    def trained(cls, actor: Model, name: str) -> Self:
        """A trained actor."""
        return cls(None, actor, name)

    def policy(self, setting: Setting) -> Policy:
        """The decider as a policy of one replicate."""
        if self.actor is not None:
            return Actor(setting.context, self.actor)
        assert self.choice is not None  # one of the two
        return setting.policy(self.choice)


@dataclass(frozen=True)
class Request:
    """Which episodes to play, and what for."""

    stream: Stream
    episodes: range
    index: tuple[int, ...] = ()
    """Distinguishes streams further, by training seed for example."""
    phase: str = ""
    """The key of the stage that asks: the same phase and episode is played once."""
    label: str = ""
    """For progress; without one nothing is shown."""
    method: str = ""
    """Name of the method, where the episodes belong to one."""


class Ground(Protocol):
    """What a backend does for the phases."""

    setting: Setting
    """The replicate."""
    plays_curve: bool
    """Whether a point of the learning curve is played on episodes of its own. Where time is real it is not: the online
    episodes themselves are the curve, as in the paper."""

    def fingerprint(self) -> dict[str, Any]:
        """What of the backend determines results, as JSON: part of the key of every stage that plays."""

    def play(self, decider: Decider, request: Request, progress: Progress) -> Rollout:
        """Plays the episodes; the log numbers them from 0."""


class SimulatorGround:
    """Plays in the simulator."""

    plays_curve = True

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def fingerprint(self) -> dict[str, Any]:
        """Nothing: the setting says all."""
        return {}

    def play(self, decider: Decider, request: Request, progress: Progress) -> Rollout:
        """As in `Ground`."""
        setting, policy = self.setting, decider.policy(self.setting)
        if not request.label:
            return setting.play(policy, setting.tasks(request.stream, request.episodes, *request.index))
        key = f"{request.label} {id(policy)}"
        count = len(request.episodes)
        progress.started(key, request.label, count)
        parts = []
        for begin in range(0, count, EPISODES_AT_ONCE):
            span = request.episodes[begin : begin + EPISODES_AT_ONCE]
            played = setting.play(policy, setting.tasks(request.stream, span, *request.index))
            parts.append(Rollout(played.log.shifted(begin), played.messages))
            progress.advanced(key, len(span))
        progress.finished(key)
        return Rollout(TaskLog.join([p.log for p in parts]), np.concatenate([p.messages for p in parts]))
