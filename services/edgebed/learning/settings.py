"""What each algorithm can be told: plain values, without torch, for a controller that only says what a trainer is to learn."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SacCqlSettings:
    """Paper section V.A."""

    batch_slots: int = 128
    """Slots per update, each with all its agents."""
    hidden: int = 64
    learning_rate: float = 3e-4
    discount: float = 0.99
    tau: float = 0.0005
    """Share by which the targets follow the critics at each update."""
    temperature: float = 0.05
    """alpha: the weight of the policy's entropy."""
    conservatism: float = 0.1
    """lambda_c: the weight of the conservative term."""


@dataclass(frozen=True)
class PpoSettings:
    """Paper section V.A, and what it leaves open."""

    own_reward: bool = False
    """Judge a decision by the outcome of its own task (attribution perTask) instead of the team's reward."""
    discount: float = 0.99
    """gamma; 0 with `own_reward`."""
    gae: float = 0.95
    """lambda of the generalised advantages."""
    clip: float = 0.2
    epochs: int = 4
    minibatches: int = 8
    learning_rate: float = 3e-4
    entropy: float = 0.0
    """Weight of the policy's entropy."""
    hidden: int = 64
    falls_over: int | None = None
    """The learning rate falls linearly to 0 within so many updates; None keeps it."""
    warmup_epochs: int = 8
    """Epochs of the critic alone before the first step of the policy."""

    @classmethod
    def per_task(cls, updates: int) -> "PpoSettings":
        """The recipe that learns most here: a decision is judged by its own task, over so many updates of 32 episodes.

        Small steps make this one dip at first, by a point on heavily loaded networks: the nodes all learn to prefer the
        best nodes long before each learns its own. Large steps, which then become small, are through with that at once.
        """
        return cls(own_reward=True, discount=0.0, learning_rate=2e-3, falls_over=updates, minibatches=16, entropy=0.003)
