"""What an application is to a node: it is told when a task begins, and tells when it ended.

A node executes one task at a time, so `start` follows the end, or the stop, of the task before. How long a task is to take is
the model's word (c / F); whether the application keeps to it, or measures what it really took, is its nature.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from edgebed.emulation.clock import Clock
from edgebed.experiment.errors import EnvironmentFault
from edgebed.systems.cooperative.errors import ModelError


@dataclass(frozen=True, slots=True)
class Work:
    """A task as an application sees it."""

    cycles: float
    size_bits: float
    """Input data."""
    profile: int = 0
    """Which of the application's profiles it is, from 1; 0 for none."""


class Running(Protocol):
    """A task in execution."""

    def stop(self) -> None:
        """Gives the task up; its end is not told any more."""


class Application(ABC):
    """Executes the tasks of one node. A subclass takes the clock, and parameters of its own with defaults."""

    real: ClassVar[bool] = True
    """Whether it uses the machine, so that a failing task has to be stopped at its failure instant."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.broken: Callable[[EnvironmentFault], None] | None = None
        """Set by the user; told when a task cannot be executed for a reason of the machine's. Its end is not told then."""

    @classmethod
    def check(cls) -> None:
        """Whether this machine has what the application needs; quick, before an experiment starts anything.

        Raises EnvironmentFault with the remedy.
        """
        return

    @classmethod
    def profiles(cls) -> Sequence[str]:
        """Names of the kinds of work that it does, number 1 first; empty where all tasks are alike."""
        return ()

    @classmethod
    def admit(cls, profile: int) -> None:
        """Raises ModelError for the profile of a task that it cannot do."""
        known = len(cls.profiles())
        if known and not 1 <= profile <= known:
            raise ModelError("profile", profile, f"the application has profiles 1 to {known}; calibrate it again")

    async def prepare(self) -> None:
        """Whatever takes long or may be missing, before the first task. Raises EnvironmentFault with the remedy."""
        return

    @abstractmethod
    def start(self, task: Work, busy_s: float, begins: float, ended: Callable[[float], None]) -> Running:
        """Executes a task that began at the clock's instant `begins` and is to take `busy_s` seconds.

        Tells `ended` once, from the event loop, with the instant of its end.
        """

    async def close(self) -> None:
        """Lets go of what `prepare` took."""
        return
