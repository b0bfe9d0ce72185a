"""Conditions of an experiment's status, as Kubernetes means them: `lastTransitionTime` changes when `status` does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

TYPES = ("Ready", "Progressing", "Succeeded", "Failed")
_LONGEST = 32_768
"""Of a message, after the convention of the API."""


@dataclass(frozen=True)
class Condition:
    """One statement about an experiment."""

    type: str
    status: bool
    reason: str
    """One word in CamelCase."""
    message: str = ""


def merged(
    known: Sequence[Mapping[str, Any]], said: Sequence[Condition], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions as the status has them, in the order of `said`."""
    before = {condition.get("type"): condition for condition in known}
    found = []
    for one in said:
        status, last = str(one.status), before.get(one.type)
        unchanged = last is not None and last.get("status") == status
        found.append(
            {
                "type": one.type,
                "status": status,
                "reason": one.reason,
                "message": one.message[:_LONGEST],
                "lastTransitionTime": last["lastTransitionTime"] if last is not None and unchanged else stamp(now),
                "observedGeneration": generation,
            }
        )
    return found


def find(known: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    """The condition of a type."""
    return next((condition for condition in known if condition.get("type") == kind), None)


def holds(known: Sequence[Mapping[str, Any]], kind: str) -> bool:
    """Whether the condition of a type is true."""
    found = find(known, kind)
    return found is not None and found.get("status") == "True"


def stamp(now: datetime) -> str:
    """An instant as the API server writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def instant(text: str) -> datetime:
    """And back."""
    return datetime.fromisoformat(text)
