"""Why pods do not start, in a reason and a sentence: what `kubectl describe` would say, where people look first.

    troubles = troubles_of(pods, warnings, now)       # the most telling first

Sentences stay the same while the trouble does: no counters, no times, and one reason for states that take turns, such as
ErrImagePull and ImagePullBackOff. So a condition that repeats them changes only when there is something new to say.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

SLOW_S = 30.0
"""After so long without a reason, a pod that is not running is worth a word itself."""
_LONGEST = 500

_PULLING = ("ErrImagePull", "ImagePullBackOff")
_REASONS = {
    "ErrImagePull": "ImagePullBackOff",
    "ImagePullBackOff": "ImagePullBackOff",
    "ErrImageNeverPull": "ErrImageNeverPull",
    "InvalidImageName": "InvalidImageName",
    "CreateContainerConfigError": "CreateContainerConfigError",
    "CreateContainerError": "CreateContainerError",
    "RunContainerError": "RunContainerError",
    "CrashLoopBackOff": "CrashLoopBackOff",
}
_ORDER = [*dict.fromkeys(_REASONS.values()), "Unschedulable", "FailedCreate"]
"""What cannot get better by itself first."""
_WARNINGS = ("FailedCreate", "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedScheduling")

Pod = Mapping[str, Any]


@dataclass(frozen=True)
class Trouble:
    """Of one pod, or of what should make pods."""

    reason: str
    """One word, as Kubernetes has it."""
    where: str
    """`pod o2o-node-3`."""
    what: str
    """A clause: `cannot pull image …`."""

    def __str__(self) -> str:
        return f"{self.where} {self.what}"


def troubles_of(pods: Iterable[Pod], warnings: Sequence[Mapping[str, Any]], now: datetime) -> list[Trouble]:
    """Everything that keeps pods from running; `warnings` are the events of type Warning about them and their makers."""
    found: list[Trouble] = []
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp") or is_ready(pod):
            continue
        trouble = _waiting(pod) or _unschedulable(pod) or _warned(pod, warnings) or _slow(pod, now)
        if trouble is not None:
            found.append(trouble)
    # What makes no pods has none to ask: a quota, a policy of the namespace.
    makers = {(e["involvedObject"].get("kind"), e["involvedObject"].get("name")): e for e in warnings}
    for (kind, name), event in makers.items():
        if kind != "Pod" and event.get("reason") == "FailedCreate":
            found.append(Trouble("FailedCreate", f"{kind} {name}", f"makes no pods: {_short(event.get('message'))}"))
    return sorted(found, key=_rank)


def summary(troubles: Sequence[Trouble]) -> str:
    """One sentence: the first, and how many others there are."""
    if len(troubles) < 2:
        return str(troubles[0]) if troubles else ""
    return f"{troubles[0]} (and {len(troubles) - 1} more)"


def is_ready(pod: Pod) -> bool:
    """Whether a pod serves."""
    conditions = pod.get("status", {}).get("conditions") or []
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def ending(pod: Pod) -> str:
    """What a pod ended with, as a clause: its exit status, and the last line of its log."""
    for status in _statuses(pod):
        ended = status.get("state", {}).get("terminated") or status.get("lastState", {}).get("terminated")
        if ended:
            return _ended(ended)
    reason = pod.get("status", {}).get("reason")
    return f"ended ({reason}: {_short(pod['status'].get('message'))})" if reason else "ended"


def _waiting(pod: Pod) -> Trouble | None:
    where = f"pod {pod['metadata']['name']}"
    for status in _statuses(pod):
        state, last = status.get("state", {}), status.get("lastState", {}).get("terminated")
        waiting = state.get("waiting") or {}
        reason = _REASONS.get(waiting.get("reason", ""))
        # Between two crashes it runs for a moment; it has not got better until it is ready.
        if last and status.get("restartCount", 0) >= 2 and reason is None:
            reason = "CrashLoopBackOff"
        if reason is None:
            continue
        if waiting.get("reason") in _PULLING:
            return Trouble(reason, where, f"cannot pull image {status.get('image')}: {_pulling(waiting)}")
        if reason == "CrashLoopBackOff":
            return Trouble(reason, where, f"{_ended(last or {})}, again and again")
        return Trouble(reason, where, f"cannot start: {_short(waiting.get('message'))}")
    return None


def _unschedulable(pod: Pod) -> Trouble | None:
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            where = f"pod {pod['metadata']['name']}"
            return Trouble("Unschedulable", where, f"finds no machine: {_short(condition.get('message'))}")
    return None


def _warned(pod: Pod, warnings: Sequence[Mapping[str, Any]]) -> Trouble | None:
    for event in warnings:
        about = event["involvedObject"]
        if about.get("uid") == pod["metadata"].get("uid") and event.get("reason") in _WARNINGS:
            where = f"pod {pod['metadata']['name']}"
            return Trouble(event["reason"], where, f"cannot start: {_short(event.get('message'))}")
    return None


def _slow(pod: Pod, now: datetime) -> Trouble | None:
    created = pod["metadata"].get("creationTimestamp")
    if created is None or (now - datetime.fromisoformat(created)).total_seconds() < SLOW_S:
        return None
    name, phase = pod["metadata"]["name"], pod.get("status", {}).get("phase", "Pending")
    state = "does not answer" if phase == "Running" else f"is still {phase.lower()}"
    return Trouble("NotReady", f"pod {name}", f"{state}; kubectl describe pod {name} may say why")


def _rank(trouble: Trouble) -> tuple[int, list[tuple[int, str]]]:
    """By reason, then by name, with node-2 before node-10."""
    place = _ORDER.index(trouble.reason) if trouble.reason in _ORDER else len(_ORDER)
    parts = re.split(r"(\d+)", trouble.where)
    return place, [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _statuses(pod: Pod) -> list[Mapping[str, Any]]:
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _pulling(waiting: Mapping[str, Any]) -> str:
    """The reason alone: the two states take turns, and one of them puts words before it."""
    return _short(str(waiting.get("message") or "no reason given").rpartition("ErrImagePull: ")[2])


def _ended(ended: Mapping[str, Any]) -> str:
    code, reason = ended.get("exitCode"), ended.get("reason")
    said = f"ended with exit status {code}" if code is not None else "ended"
    if reason and reason not in ("Error", "Completed"):
        said += f" ({reason})"
    lines = [line for line in str(ended.get("message") or "").splitlines() if line.strip()]
    return f"{said}: {_short(lines[-1])}" if lines else said


def _short(text: object) -> str:
    said = " ".join(str(text or "no reason given").split())
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 3]}..."
