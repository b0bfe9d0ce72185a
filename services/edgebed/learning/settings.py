"""What the algorithms are told, without torch: whoever plans learning for a trainer elsewhere needs the settings only."""

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


@dataclass(frozen=True)
class CandidatePpoSettings:
    """How to learn."""

    crowding: float = 1.0
    """eta: weight of what a decision does to others."""
    every: bool = True
    """Judge every candidate, not the chosen one only."""
    temperature: float = 0.0
    """Over 0: learn by regression, and decide by a softmax of worth over this temperature."""
    load_exponent: float = 0.0
    """Power of the network's load, at most 1, that multiplies the temperature."""
    focus: float = 0.0
    """Share of the regression's weight that follows the policy's probabilities; the rest is the same for all candidates."""
    clip: float = 0.2
    epochs: int = 3
    minibatches: int = 8
    learning_rate: float = 1e-3
    entropy: float = 0.003
    """Weight of the policy's entropy."""
    hidden: int = 48
    falls_over: int | None = None
    """The learning rate falls linearly to 0 within so many updates; None keeps it."""


@dataclass(frozen=True)
class OutcomesSettings:
    """How to learn."""

    temperature: float = 0.2
    """What predicted outcomes, between -1 and 1, are divided by in the softmax."""
    batch: int = 1024
    """Decisions in one gradient step."""
    learning_rate: float = 1e-3
    hidden: int = 48
    every: bool = True
    """Learn from what would have become of a task at every candidate, not at the chosen one only."""
