"""How work tells how far it is, without knowing who looks."""

from typing import Protocol


class Progress(Protocol):
    """Told from one thread; a stage is any name that is not in use."""

    def started(self, stage: str, label: str, total: float | None) -> None:
        """A stage begins; `total` is its amount of work, if that is known."""

    def advanced(self, stage: str, amount: float, note: str = "") -> None:
        """So much more of it is done; `note` says something worth seeing, such as a success rate."""

    def finished(self, stage: str) -> None:
        """It is done."""


class Silent:
    """Nobody looks."""

    def started(self, stage: str, label: str, total: float | None) -> None:
        """As in `Progress`."""

    def advanced(self, stage: str, amount: float, note: str = "") -> None:
        """As in `Progress`."""

    def finished(self, stage: str) -> None:
        """As in `Progress`."""
