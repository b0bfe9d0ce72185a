"""The values that go into a decision and come out of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Refusal:
    """What the controller said to a document."""

    message: str
    lasting: bool
    """Whether it would say the same again: the document is wrong, rather than something around it."""


@dataclass(frozen=True)
class Observed:
    """What there is, beside the experiment itself."""

    objects: tuple[Item, ...] = ()
    """Those that are called as the experiment's own, whoever owns them."""
    pods: tuple[Item, ...] = ()
    """Those with the experiment's uid in their labels."""
    warnings: tuple[Item, ...] = ()
    """Events of type Warning about them and their makers; need not be complete."""
    run: Item | None = None
    """The controller's state document of the run."""
    handed: bool = False
    """Whether this process has handed the run to the controller."""
    refusal: Refusal | None = None
    """What it said."""
    objection: str | None = None
    """What the API server said to an object that it would not have."""
    log: tuple[str, ...] = ()
    """The last lines of a simulation."""
    results: Item | None = None
    """The `results.json` that a simulation has published."""

    def object(self, kind: str, name: str) -> Item | None:
        """One of the objects."""
        return next((o for o in self.objects if o["kind"] == kind and o["metadata"]["name"] == name), None)


@dataclass(frozen=True)
class Event:
    """Something to tell people who look at the experiment."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Delete:
    """An object to delete; only the very one, not what has its name by then."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class Patch:
    """A change of a few fields."""

    kind: str
    name: str
    body: Item


@dataclass(frozen=True)
class Submit:
    """A document for the controller; one that runs already is left alone."""

    run: str
    document: Item


@dataclass(frozen=True)
class Stop:
    """A run to stop."""

    run: str


@dataclass(frozen=True)
class Plan:
    """What to do, in this order."""

    delete: tuple[Delete, ...] = ()
    apply: tuple[Item, ...] = ()
    """Objects to create, or to bring back to what they should be."""
    patch: tuple[Patch, ...] = ()
    runs: tuple[Submit | Stop, ...] = ()
    status: Item | None = None
    """The whole new status; None where it is as it should be."""
    events: tuple[Event, ...] = ()
    again_s: float | None = None
    """When to look again even if nothing is heard; None where only a change matters."""
