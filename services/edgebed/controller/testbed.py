"""Plays episodes on real nodes, one after the other, and accounts for every task.

    testbed = Testbed(...)                        # one run
    testbed.open(setting, application)            # a replicate: nodes found and configured
    testbed.deploy(Decider("ratc"))               # acknowledged by every node
    played = testbed.play(tasks, "phase", 0)      # one episode, in the log

An episode that the log has under (run, phase, position) is not played again: that is how a controller that was killed goes
on in the middle of a phase. One that was begun and not finished is played anew under another number.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from edgebed.controller.deployment import Decider, configure, deploy
from edgebed.controller.directory import Directory, Stopped
from edgebed.controller.episode import account, longest_stages_s, lost_rows, missing, plan_of
from edgebed.controller.fleet import LOSS_S, Fleet
from edgebed.controller.ingest import Ingest
from edgebed.controller.remote import Caller, Remote, RemoteError, RemoteRefused
from edgebed.controller.watch import Watch
from edgebed.experiment.errors import EdgebedError, EnvironmentFault
from edgebed.experiment.fidelity import LATENESS_SHARE
from edgebed.experiment.specification import OnNodeLoss
from edgebed.runner.setting import Setting
from edgebed.stores.artefacts import ArtefactStore
from edgebed.stores.task_log import EpisodeRow, TaskLogStore
from edgebed.systems.cooperative.workload import Workload
from edgebed.wire.generated import testbed_pb2 as pb

LEAD_S = 0.15
LEAD_NODE_S = 0.004
"""Between telling everybody and the first slot: every service must have heard by then. Grows with the nodes."""
STARTS = 4
"""Tries to tell everybody in time; the lead doubles with each."""
PATIENCE_S = 5.0
"""Beyond twice the longest stage, without a task that ends, before an episode counts as stuck."""
FINISH_S = 20.0
FLUSH_S = 30.0
_TICK_S = 0.1
_IDLE_S = 0.5

_log = logging.getLogger(__name__)


class NodeLost(EnvironmentFault):
    """A node went away, and the specification says to stop then."""


class Testbed:
    """The testbed of one run. Used from one thread; what it shows may be read from others."""

    __test__ = False  # its name is no wish to be collected by pytest

    def __init__(
        self,
        run: str,
        *,
        directory: Directory,
        caller: Caller,
        store: TaskLogStore,
        ingest: Ingest,
        artefacts: ArtefactStore,
        log_address: str,
        next_version: Callable[[], int],
        stop: threading.Event,
        on_node_loss: OnNodeLoss = "fail",
        loss_s: float = LOSS_S,
    ) -> None:
        """`log_address` is where nodes send records; `stop` ends what runs with Stopped."""
        self.run, self.store = run, store
        self._directory, self._caller, self._ingest, self._artefacts = directory, caller, ingest, artefacts
        self._log_address, self._next_version, self._stop = log_address, next_version, stop
        self._continue, self._loss_s = on_node_loss == "continue", loss_s
        self._fleet: Fleet | None = None
        self._watch: Watch | None = None
        self._generator: Remote | None = None
        self._setting: Setting | None = None
        self._application: dict[str, Any] = {}
        self._decider: Decider | None = None
        self._version = 0

    # A replicate

    def open(self, setting: Setting, application: dict[str, Any]) -> None:
        """Nodes for the setting's network, configured. Raises EnvironmentFault when there are not enough."""
        self.close()
        nodes = self._directory.nodes(setting.network.nodes, self._stop)
        generator = self._directory.one("task-generator", self._stop)
        self._generator = self._caller.to("task-generator", generator.address)
        self._fleet = Fleet(
            [self._caller.to(f"node {k}, {i.name}", i.address) for k, i in enumerate(nodes)], self._loss_s
        )
        self._watch = Watch(self._fleet)
        self._setting, self._application, self._decider = setting, application, None
        self._clear()
        configure(self._fleet, setting, application, self._log_address, self._next_version())
        self._mind_losses()
        self._watch.start()

    def close(self) -> None:
        """Lets go of the nodes; they stay configured."""
        if self._watch is not None:
            self._watch.close()
        if self._fleet is not None:
            self._fleet.close()
        self._fleet, self._watch, self._generator = None, None, None

    def deploy(self, decider: Decider) -> int:
        """Lets every node decide so, unless they do already; returns the version that all have acknowledged."""
        fleet, _, _ = self._opened()
        if decider != self._decider:
            version = self._next_version()
            deploy(fleet, decider, self._artefacts, self.run, version)
            self._mind_losses()
            self._decider, self._version = decider, version
        return self._version

    # An episode

    def played(self, phase: str) -> dict[int, EpisodeRow]:
        """The episodes of a phase that need not be played again, by position."""
        return self.store.episodes(self.run, phase)

    def play(self, tasks: Workload, phase: str, position: int, about: dict[str, Any] | None = None) -> int:
        """Plays one episode with the deployed scheduler; returns its number in the run. `tasks` holds that episode alone.

        Raises NodeLost, TasksMissing, RemoteError, EnvironmentFault, or Stopped; the episode does not count then.
        """
        assert self._decider is not None  # deployed
        self._bring_back()
        told = {**(about or {}), "modelVersion": self._version, "scheduler": self._decider.kind}
        number = self.store.register(self.run, phase, position, told)
        self._ingest.watch(self.run, number)
        fleet, watch, _ = self._opened()
        before = dict(fleet.lost)
        try:
            plan, begins = self._begin(tasks, number)
            watch.begin(self.run, number)
            noticed = self._wait(plan, begins, before)
            emitted = self._emitted()
            stats = fleet.ask(
                lambda _, node: node.post("/v1/episodes/finish", _name(plan), timeout_s=FINISH_S), fleet.there
            )
            watch.end()
            self._mind_losses()
            if len(fleet.lost) > len(before) and noticed is None:
                noticed = time.monotonic()
        except BaseException:
            watch.end()
            with contextlib.suppress(EdgebedError):
                self._clear()
            raise
        self._ingest.flush(FLUSH_S)
        lost = missing(plan, self.store.tasks_of(self.run, number))
        gone = dict(fleet.lost)
        if lost and gone:
            at_s = (noticed or time.monotonic()) - begins
            self._ingest.put(lost_rows(plan, lost, at_s, self._version))
            self._ingest.flush(FLUSH_S)
            lost = []
        account(plan, self.store.counts(self.run, number), lost, self._reasons(emitted, stats))
        self.store.finish(self.run, number, self._result(plan, number, emitted, stats, gone))
        return number

    def _begin(self, tasks: Workload, number: int) -> tuple[pb.EpisodePlan, float]:
        """Everybody knows, before the first slot, when it begins; returns the plan and the start on time.monotonic()."""
        fleet, _, generator = self._opened()
        lead_s = LEAD_S + LEAD_NODE_S * len(fleet.nodes)
        key = str(int(tasks.decision_key[0]))
        for attempt in range(STARTS):
            now_ns, now = time.time_ns(), time.monotonic()
            starts_ns = now_ns + round(lead_s * 1e9)
            plan = plan_of(tasks, self.run, number, starts_ns, [node.address for node in fleet.nodes])
            body = {**_name(plan), "startsAtUnixNs": starts_ns, "slots": plan.slots, "decisionKey": key}
            try:
                fleet.ask(partial(_begin_at, body))
                self._mind_losses()
                if time.time_ns() < starts_ns:
                    generator.send("/v1/episodes", plan.SerializeToString())
                    return plan, now + lead_s
            except RemoteRefused as error:
                # A node that was started again knows nothing; a generator that heard too late refuses.
                _log.warning("episode %s is begun again: %s", number, error)
                if attempt + 1 == STARTS:
                    raise
                self._clear()
                self._tell_again(fleet.there)
            else:
                self._clear()
            lead_s *= 2
        raise EnvironmentFault(
            f"{len(fleet.nodes)} nodes could not be told of an episode within {lead_s / 2:.1f} s; this machine is too busy"
        )

    def _wait(self, plan: pb.EpisodePlan, begins: float, before: dict[int, str]) -> float | None:
        """Until every task has ended, or nothing more will; returns when a node was first noticed to be lost."""
        fleet, watch, _ = self._opened()
        tasks = len(plan.tasks)
        over = begins + plan.slots * plan.slot_s
        stuck_s = PATIENCE_S + 2 * self._longest_s(plan)
        noticed: float | None = None
        idle: tuple[float, int] | None = None
        asked = 0.0
        while not self._ingest.wait(tasks, _TICK_S):
            if self._stop.is_set():
                raise Stopped
            if watch.faults:
                node, fault = next(iter(watch.faults.items()))
                raise RemoteError(f"{fleet.nodes[node]}: {fault}")
            if noticed is None and len(fleet.lost) > len(before):
                noticed = time.monotonic()
            self._mind_losses()
            now = time.monotonic()
            if now < over or now - asked < _IDLE_S:
                continue
            asked = now
            ended = sum(self._ingest.ended().values())
            if not self._all_idle():
                idle = None
            elif idle is not None and idle[1] == ended:
                break  # twice in a row nobody had anything, and nothing came: what is missing will not come
            else:
                idle = (now, ended)
            if self._ingest.quiet_s > stuck_s and now > over + stuck_s:
                break
        return noticed

    def _longest_s(self, plan: pb.EpisodePlan) -> float:
        assert self._setting is not None
        return longest_stages_s(plan, self._setting.network)

    def _all_idle(self) -> bool:
        """Whether no node has a task or a record left, and the generator is done."""
        fleet, _, generator = self._opened()
        if not generator.get("/v1/episodes/current")["done"]:
            return False
        states = fleet.ask(lambda _, node: node.get("/v1/episodes/current", timeout_s=1.0))
        return all(state["idle"] and not state["unsentRecords"] for state in states.values())

    def _emitted(self) -> dict[str, Any]:
        """What the generator says of the episode, once it is done; stopped where it does not get done."""
        _, _, generator = self._opened()
        until = time.monotonic() + PATIENCE_S
        while not (said := generator.get("/v1/episodes/current"))["done"]:
            if time.monotonic() > until:
                return dict(generator.delete("/v1/episodes/current"))
            time.sleep(0.01)
        return dict(said)

    def _result(
        self,
        plan: pb.EpisodePlan,
        number: int,
        emitted: dict[str, Any],
        stats: dict[int, dict[str, Any]],
        gone: dict[int, str],
    ) -> dict[str, Any]:
        """What is kept of an episode beside its tasks, as JSON."""
        late = [float(x) for x in emitted.get("slotLatenessSeconds", [])]
        worst = max(late, default=0.0)
        latencies = [
            s["probes"]["latencySeconds"]["p50"] for s in stats.values() if s["probes"]["latencySeconds"]["p50"]
        ]
        return {
            "tasks": len(plan.tasks),
            "counts": self.store.counts(self.run, number),
            "slotLatenessSeconds": late,
            "reliable": worst <= LATENESS_SHARE * plan.slot_s,
            "probes": {str(node): s["probes"]["count"] for node, s in stats.items()},
            "probeBytes": sum(s["probes"]["bytes"] for s in stats.values()),
            "probeLatencyP50Seconds": sum(latencies) / len(latencies) if latencies else None,
            "nodes": {str(node): _kept(s) for node, s in stats.items()},
            "lostNodes": {str(node): reason for node, reason in gone.items()},
            "failedNodes": emitted.get("failedNodes", []),
        }

    @staticmethod
    def _reasons(emitted: dict[str, Any], stats: dict[int, dict[str, Any]]) -> list[str]:
        """Why tasks may be missing."""
        reasons = [
            f"node {failed['node']} did not take {failed['tasks']} of them: {failed['reason']}"
            for failed in emitted.get("failedNodes", [])
        ]
        for node, said in stats.items():
            if said.get("fault"):
                reasons.append(f"node {node}: {said['fault']}")
            if not said.get("recordsDelivered", True):
                reasons.append(f"node {node} still has {said.get('recordsUnsent')} records")
        return reasons

    # Nodes that go and come

    def _mind_losses(self) -> None:
        """Raises NodeLost where the specification says so, and when no node is left."""
        fleet, _, _ = self._opened()
        if not fleet.lost:
            return
        if self._continue and fleet.there:
            return
        reason = next(iter(fleet.lost.values()))
        remedy = "start it again and give the same command: what was played is kept"
        if not self._continue:
            remedy += "; or set spec.onNodeLoss to continue, which counts its tasks as failed"
        raise NodeLost(f"{len(fleet.lost)} of {len(fleet.nodes)} nodes went away: {reason}; {remedy}")

    def _bring_back(self) -> None:
        """Lost nodes that answer again are told everything anew."""
        fleet, _, _ = self._opened()
        back = fleet.found() if fleet.lost else []
        for node in back:
            del fleet.lost[node]
        if back:
            self._tell_again(back)
        self._mind_losses()

    def _tell_again(self, nodes: list[int]) -> None:
        fleet, _, _ = self._opened()
        assert self._setting is not None
        for node in nodes:
            self._finish_whatever(fleet.nodes[node])
        configure(fleet, self._setting, self._application, self._log_address, self._next_version(), nodes)
        if self._decider is not None:
            deploy(
                fleet, self._decider, self._artefacts, self.run, self._version, [n for n in nodes if n in fleet.there]
            )

    def _clear(self) -> None:
        """Nothing runs anywhere, not even what a controller before us had begun."""
        fleet, _, generator = self._opened()
        generator.delete("/v1/episodes/current")
        fleet.ask(lambda _, node: self._finish_whatever(node))

    @staticmethod
    def _finish_whatever(node: Remote) -> None:
        current = node.get("/v1/episodes/current")
        if current.get("run") is not None:
            body = {"run": current["run"], "episode": current["episode"]}
            with contextlib.suppress(RemoteRefused):
                node.post("/v1/episodes/finish", body, timeout_s=FINISH_S)

    # What it shows

    def states(self) -> list[dict[str, Any] | None]:
        """What each node last said of itself; None for one that is lost or has not been asked yet."""
        fleet, watch = self._fleet, self._watch
        if fleet is None or watch is None:
            return []
        return [
            None if node in fleet.lost or node not in watch.states else dict(watch.states[node])
            for node in range(len(fleet.nodes))
        ]

    def lost(self) -> dict[int, str]:
        """Why nodes are lost."""
        return {} if self._fleet is None else dict(self._fleet.lost)

    def _opened(self) -> tuple[Fleet, Watch, Remote]:
        assert self._fleet is not None  # open
        assert self._watch is not None
        assert self._generator is not None
        return self._fleet, self._watch, self._generator


def _name(plan: pb.EpisodePlan) -> dict[str, Any]:
    return {"run": plan.run, "episode": plan.episode}


def _begin_at(body: dict[str, Any], _: int, node: Remote) -> None:
    """Begins an episode at a node; one that has begun it already, because it was asked twice, has done so."""
    try:
        node.post("/v1/episodes", body)
    except RemoteRefused:
        current = node.get("/v1/episodes/current")
        if (current.get("run"), current.get("episode")) != (body["run"], body["episode"]):
            raise


def _kept(stats: dict[str, Any]) -> dict[str, Any]:
    """What is worth keeping of what a node measured."""
    names = ("probes", "decisionSeconds", "arrivalLatenessSeconds", "serviceLatenessSeconds")
    return {name: stats[name] for name in names if name in stats}
