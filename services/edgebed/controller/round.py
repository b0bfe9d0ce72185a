"""One episode on the wall clock: everybody is told of it, it is waited for, and everybody is told of its end.

    ended = Round(fleet, watch, generator, arrivals, stop, check).play(plan_at, decision_key, longest_s, tell_again)

Waiting costs the nodes nothing: the records that arrive say how many tasks have ended. Only when the last slot is over and
tasks are still missing are the nodes asked, twice a second, whether anybody has anything left.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from edgebed.controller.account import Stats
from edgebed.controller.directory import Stopped
from edgebed.controller.fleet import Fleet
from edgebed.controller.ingest import Arrivals
from edgebed.controller.remote import Remote, RemoteAway, RemoteError, RemoteRefused
from edgebed.controller.watch import Watch
from edgebed.experiment.errors import EdgebedError, EnvironmentFault
from edgebed.wire.generated import testbed_pb2 as pb

LEAD_S = 0.15
LEAD_NODE_S = 0.004
"""Between telling everybody and the first slot: every service must have heard by then. Grows with the nodes."""
STARTS = 4
"""Tries to tell everybody in time; the lead doubles with each."""
PATIENCE_S = 5.0
"""Beyond twice the longest stage, without a task that ends, before an episode counts as stuck."""
FINISH_S = 20.0
_TICK_S = 0.1
_IDLE_S = 0.5

PlanAt = Callable[[int], pb.EpisodePlan]
"""The plan of the episode for a start in Unix nanoseconds."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """An episode that is over."""

    plan: pb.EpisodePlan
    emitted: dict[str, Any]
    """What the generator says of it."""
    stats: Stats
    loss_s: float
    """When a node was first noticed to be lost, from the episode's start; its end where none was."""


class GeneratorAway(RemoteAway):
    """The generator does not answer, or was started again: what it had not emitted will never come."""


class Round:
    """Plays one episode with the nodes of a fleet."""

    def __init__(
        self,
        fleet: Fleet,
        watch: Watch,
        generator: Remote,
        arrivals: Arrivals,
        stop: threading.Event,
        check: Callable[[], None],
    ) -> None:
        """`check` raises when the nodes that are lost are too many; `stop` ends what runs with Stopped."""
        self._fleet, self._watch, self._generator = fleet, watch, generator
        self._arrivals, self._stop, self._check = arrivals, stop, check

    def play(self, plan_at: PlanAt, decision_key: int, longest_s: float, tell_again: Callable[[], None]) -> Ended:
        """From telling everybody to the end; whatever is raised, nothing runs anywhere afterwards, as far as it answers.

        Raises GeneratorAway, after which the episode may be played anew. `longest_s` is the longest that a task can be
        served, `tell_again` configures nodes that know nothing.
        """
        before = set(self._fleet.lost)
        try:
            plan, begins = self._begin(plan_at, decision_key, tell_again)
            self._watch.begin(plan.run, plan.episode)
            noticed = self._wait(plan, begins, longest_s, before)
            emitted = self._emitted(plan)
            stats = self._fleet.ask(lambda _, node: node.post(_FINISH, _name(plan), timeout_s=FINISH_S))
            self._check()
        except BaseException as error:
            self._watch.end()
            with contextlib.suppress(EdgebedError):
                self._generator.delete(_CURRENT)
            with contextlib.suppress(EdgebedError):
                self._fleet.ask(lambda _, node: finish_whatever(node))
            if isinstance(error, RemoteAway):  # nodes that do not answer are lost, so this is not about them
                raise GeneratorAway(str(error)) from error
            raise
        self._watch.end()
        return Ended(plan, emitted, stats, (noticed or time.monotonic()) - begins)

    def _begin(
        self, plan_at: PlanAt, decision_key: int, tell_again: Callable[[], None]
    ) -> tuple[pb.EpisodePlan, float]:
        """Everybody knows, before the first slot, when it begins; returns the plan and the start on time.monotonic()."""
        lead_s = LEAD_S + LEAD_NODE_S * len(self._fleet.nodes)
        for attempt in range(STARTS):
            begins, starts_ns = time.monotonic() + lead_s, time.time_ns() + round(lead_s * 1e9)
            plan = plan_at(starts_ns)
            body = {
                **_name(plan),
                "startsAtUnixNs": starts_ns,
                "slots": plan.slots,
                "decisionKey": str(decision_key),
            }
            try:
                self._fleet.ask(partial(_begin_at, body))
                self._check()
                if time.time_ns() < starts_ns:
                    self._generator.send(_EPISODES, plan.SerializeToString())
                    return plan, begins
            except RemoteRefused as error:
                # A node that was started again knows nothing; a generator that heard too late refuses.
                _log.warning("episode %s is begun again: %s", plan.episode, error)
                if attempt + 1 == STARTS:
                    raise
                clear(self._fleet, self._generator)
                tell_again()
            else:
                clear(self._fleet, self._generator)
            lead_s *= 2
        raise EnvironmentFault(
            f"{len(self._fleet.nodes)} nodes could not be told of an episode within {lead_s / 2:.1f} s; this machine is too "
            "busy, or its network too slow: free some of it, and give the same command again"
        )

    def _wait(self, plan: pb.EpisodePlan, begins: float, longest_s: float, before: set[int]) -> float | None:
        """Until every task has ended, or nothing more will; returns when a node was first noticed to be lost."""
        over = begins + plan.slots * plan.slot_s
        stuck_s = PATIENCE_S + 2 * longest_s
        noticed: float | None = None
        idle_at: int | None = None
        asked = 0.0
        while not self._arrivals.wait(len(plan.tasks), _TICK_S):
            if self._stop.is_set():
                raise Stopped
            for node, fault in self._watch.faults.items():
                raise RemoteError(f"{self._fleet.nodes[node]}: {fault}")
            if noticed is None and set(self._fleet.lost) - before:
                noticed = time.monotonic()
            self._check()
            now = time.monotonic()
            if now < over or now - asked < _IDLE_S:
                continue
            asked, ended = now, sum(self._arrivals.ended().values())
            if not self._all_idle(plan):
                idle_at = None
            elif idle_at == ended:
                break  # twice in a row nobody had anything, and nothing came: what is missing will not come
            else:
                idle_at = ended
            if self._arrivals.quiet_s > stuck_s and now > over + stuck_s:
                break
        return noticed

    def _all_idle(self, plan: pb.EpisodePlan) -> bool:
        """Whether no node has a task or a record left, and the generator is done."""
        if not self._progress(plan)["done"]:
            return False
        states = self._fleet.ask(lambda _, node: node.get(_CURRENT, timeout_s=1.0))
        return all(state["idle"] and not state["unsentRecords"] for state in states.values())

    def _progress(self, plan: pb.EpisodePlan) -> dict[str, Any]:
        """What the generator says of the episode. Raises GeneratorAway for one that knows nothing of it."""
        said: dict[str, Any] = self._generator.get(_CURRENT)
        if (said.get("run"), said.get("episode")) != (plan.run, plan.episode):
            raise GeneratorAway(f"{self._generator}: was started again in the middle of episode {plan.episode}")
        return said

    def _emitted(self, plan: pb.EpisodePlan) -> dict[str, Any]:
        """What the generator says of the episode, once it is done; stopped where it does not get done."""
        until = time.monotonic() + PATIENCE_S
        while not (said := self._progress(plan))["done"]:
            if time.monotonic() > until:
                return dict(self._generator.delete(_CURRENT))
            time.sleep(0.01)
        return said


def clear(fleet: Fleet, generator: Remote) -> None:
    """Nothing runs anywhere, not even what a controller before us had begun."""
    generator.delete(_CURRENT)
    fleet.ask(lambda _, node: finish_whatever(node))


def finish_whatever(node: Remote) -> None:
    """Ends the episode that runs at a node, if one does."""
    current = node.get(_CURRENT)
    if current.get("run") is not None:
        with contextlib.suppress(RemoteRefused):
            node.post(_FINISH, {"run": current["run"], "episode": current["episode"]}, timeout_s=FINISH_S)


_EPISODES, _CURRENT, _FINISH = "/v1/episodes", "/v1/episodes/current", "/v1/episodes/finish"


def _name(plan: pb.EpisodePlan) -> dict[str, Any]:
    return {"run": plan.run, "episode": plan.episode}


def _begin_at(body: dict[str, Any], _: int, node: Remote) -> None:
    """Begins an episode at a node; one that has begun it already, because it was asked twice, has done so."""
    try:
        node.post(_EPISODES, body)
    except RemoteRefused:
        current = node.get(_CURRENT)
        if (current.get("run"), current.get("episode")) != (body["run"], body["episode"]):
            raise
