"""What can go wrong with a peer, and who can put it right.

PeerError        a request was not answered as hoped; the message names address, path and reason
  PeerAway       nobody there: refused, reset, no route, or something that does not speak our HTTP. Try again later.
  PeerSilent     connected, but no answer within the time. The request may have been handled.
  PeerRefused    answered with a status outside 2xx and a problem. The same request will be refused again, unless the status
                 says otherwise (5xx, 429); `problem` says what to change.
"""

import json
from collections.abc import Mapping
from typing import Any


class PeerError(Exception):
    """A request to a peer was not answered as hoped."""


class PeerAway(PeerError):
    """Nobody who speaks our protocol is at the address, or they left before they had answered."""


class PeerSilent(PeerError):
    """The peer did not answer within the time."""


class PeerRefused(PeerError):
    """The peer answered with a status outside 2xx, and why."""

    def __init__(self, status: int, problem: Mapping[str, Any], where: str = "") -> None:
        """`problem` is the body after RFC 9457 (title, status, detail)."""
        self.status, self.problem, self.where = status, dict(problem), where
        super().__init__(f"{where}{': ' if where else ''}{status} {told(problem)}")

    def __reduce__(self) -> tuple[type["PeerRefused"], tuple[int, dict[str, Any], str]]:
        # Exceptions are pickled as type(*args), and args is the message.
        return type(self), (self.status, self.problem, self.where)


def problem_in(body: bytes) -> dict[str, Any] | None:
    """The problem that a body is after RFC 9457; None for another, which is no refusal of ours: all of those have a title.

    Somebody else answers where an address has passed on, or where a network has a gateway for those that are nobody's.
    """
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("title") else None


def told(problem: Mapping[str, Any]) -> str:
    """What a problem says to people."""
    return ": ".join(str(problem[key]) for key in ("title", "detail") if problem.get(key))
