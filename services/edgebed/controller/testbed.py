"""The testbed of a run: nodes for a replicate, a scheduler on all of them, and episodes whose every task is in the log.

    testbed.open(setting, application)                     # nodes found and configured
    testbed.deploy(Order("ratc"))                        # acknowledged by every node
    number = testbed.play(tasks, "phase", position=0)      # one episode

An episode that the log has under (run, phase, position) need not be played again: that is how a controller that was killed
goes on in the middle of a phase. One that was begun and not finished is played anew under another number.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from edgebed.controller.account import NODE_LOST, account, lost_rows, missing, reasons, result_of
from edgebed.controller.deployment import ModelRefused, Order, configure, deploy
from edgebed.controller.directory import Directory, pausing
from edgebed.controller.episode import longest_stages_s, plan_of
from edgebed.controller.fleet import Fleet
from edgebed.controller.ingest import Ingest
from edgebed.controller.remote import Caller, Remote, RemoteAway
from edgebed.controller.round import GeneratorAway, Round, clear, finish_whatever
from edgebed.controller.watch import Watch
from edgebed.experiment.errors import EnvironmentFault
from edgebed.experiment.specification import OnModelRefused, OnNodeLoss
from edgebed.live.documents import ControllerSettings
from edgebed.live.in_use import InUse
from edgebed.runner.setting import Setting
from edgebed.stores.artefacts import ArtefactStore
from edgebed.stores.patience import LIMIT_S, Patience, PatientArtefacts
from edgebed.stores.task_log import EpisodeRow, TaskLogStore
from edgebed.systems.cooperative.workload import Workload

FLUSH_S = 30.0
GENERATORS = 3
"""How often an episode is begun whose generator goes away."""
GENERATOR_S = 30.0
"""How long one that went away is waited for."""
GENERATOR_POLL_S = 0.5

_log = logging.getLogger(__name__)


class NodeLost(EnvironmentFault):
    """A node went away, and the specification says to stop then."""


class Testbed:
    """Used from one thread; what it shows may be read from others."""

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
        on_model_refused: OnModelRefused = "fail",
        settings: InUse[ControllerSettings] | None = None,
        loss_s: float | None = None,
        away_s: float = LIMIT_S,
        log_away_s: float = 0.0,
    ) -> None:
        """`log_address` is where nodes send records; `stop` ends what runs with Stopped.

        `settings` may change while it runs; `loss_s` is given where a node's silence is to be borne for another time. The
        artefacts may be away for `away_s`, the task log's server for `log_away_s`.
        """
        self.run, self.store = run, store
        self._directory, self._caller, self._ingest = directory, caller, ingest
        self._pause = pause = pausing(stop)
        self._artefacts = PatientArtefacts(artefacts, pause, away_s)
        self._patience = lambda what: Patience(what, pause, away_s)
        self._log_address, self._next_version, self._stop = log_address, next_version, stop
        self._continue = on_node_loss == "continue"
        self._log_away_s = log_away_s
        self._keep_old = on_model_refused == "keepOld"
        self._settings, self._loss_s = settings, loss_s
        self._nodes: _Nodes | None = None
        self._order: Order | None = None
        self._version = 0
        self._refused: str | None = None
        """Why nodes decide with an older model than they should."""

    def open(self, setting: Setting, application: dict[str, Any]) -> None:
        """Nodes for the setting's network, configured, unless they are. Raises EnvironmentFault when there are not enough."""
        if self._nodes is not None and self._nodes.setting is setting:
            return
        self.close()
        instances = self._directory.nodes(setting.network.nodes, self._stop)
        generator = self._generator()
        fleet = Fleet(
            [self._caller.to(f"node {k}, {i.name}", i.address) for k, i in enumerate(instances)],
            self._settings,
            self._loss_s,
        )
        names = tuple(instance.name for instance in instances)
        self._nodes = nodes = _Nodes(setting, application, names, fleet, Watch(fleet), generator)
        self._order = None
        clear(fleet, generator)
        configure(fleet, setting, application, self._log_address, self._next_version(), run=self.run)
        self._check()
        nodes.watch.start()

    def close(self) -> None:
        """Lets go of the nodes; they stay configured."""
        if self._nodes is not None:
            self._nodes.watch.close()
            self._nodes.fleet.close()
            self._nodes = None

    def deploy(self, order: Order, learning: bool = False) -> int:
        """Lets every node decide so, unless they do already; returns the version that all have acknowledged.

        A model that nodes refuse raises ModelRefused. Where it is one of many while something is `learning`, and the
        specification says so, all nodes go on with the model before it instead.
        """
        self._refused = None
        before = self._order
        if order == before:
            return self._version
        try:
            return self._deploy(order)
        except ModelRefused as error:
            if not learning or before is None or before.actor is None:
                raise
            if not self._keep_old:
                remedy = "publish it again by giving the same command again; or set spec.onModelRefused to keepOld"
                raise ModelRefused(f"{error}; {remedy}", error.status) from error
            self._refused = str(error)
            _log.error("%s; all nodes go on with the model before it", error)
            return self._deploy(before)  # some may have taken the new one

    def _deploy(self, order: Order) -> int:
        self._bring_back()
        version = self._next_version()
        self._order = None  # until all agree, nobody knows what nodes do
        deploy(self._opened.fleet, order, self._artefacts, self.run, version, self._patience)
        self._check()
        self._order, self._version = order, version
        return version

    def played(self, phase: str) -> dict[int, EpisodeRow]:
        """The episodes of a phase that need not be played again, by position."""
        return self.store.episodes(self.run, phase)

    def play(self, tasks: Workload, phase: str, position: int, about: dict[str, Any] | None = None) -> EpisodeRow:
        """Plays one episode with the deployed scheduler. `tasks` holds that episode alone.

        Raises NodeLost, TasksMissing, RemoteError, EnvironmentFault, or Stopped; the episode does not count then.
        """
        for _ in range(GENERATORS - 1):
            try:
                return self._play(tasks, phase, position, about)
            except GeneratorAway as error:
                _log.warning("%s; the episode is played anew", error)
                self._await_generator()
        return self._play(tasks, phase, position, about)

    def _play(self, tasks: Workload, phase: str, position: int, about: dict[str, Any] | None) -> EpisodeRow:
        nodes, order = self._opened, self._order
        assert order is not None  # deployed
        self._bring_back()
        told = {**(about or {}), "modelVersion": self._version, "scheduler": order.kind}
        if self._refused is not None:
            told["modelRefused"] = self._refused
        number = self.store.register(self.run, phase, position, told)
        addresses = [node.address for node in nodes.fleet.nodes]
        with self._ingest.watch(self.run, number) as arrivals:
            ended = Round(nodes.fleet, nodes.watch, nodes.generator, arrivals, self._stop, self._check).play(
                lambda starts_ns: plan_of(tasks, self.run, number, starts_ns, addresses),
                int(tasks.decision_key[0]),
                longest_stages_s(tasks, nodes.setting.network),
                lambda: self._tell_again(nodes.fleet.there),
            )
        self._ingest.flush(FLUSH_S, self._log_away_s, self._stop)
        plan = ended.plan
        absent = missing(plan, self.store.tasks_of(self.run, number))
        lost = [task for task, reason in arrivals.reasons().items() if reason == NODE_LOST]
        if absent and self._explained(ended.emitted):
            self._ingest.put(lost_rows(plan, absent, ended.loss_s, self._version))
            self._ingest.flush(FLUSH_S, self._log_away_s, self._stop)
            lost, absent = sorted({*lost, *absent}), []
        counts = self.store.counts(self.run, number)
        account(plan, counts, absent, reasons(ended.emitted, ended.stats))
        result = result_of(plan, counts, ended.emitted, ended.stats, lost, nodes.fleet.lost)
        self.store.finish(self.run, number, result)
        return EpisodeRow(self.run, number, phase, position, told, result)

    # Nodes that go and come

    def _explained(self, emitted: dict[str, Any]) -> bool:
        """Whether lost nodes can be why tasks are missing: some are lost, and no other node refused any."""
        lost = self._opened.fleet.lost
        return bool(lost) and all(failed["node"] in lost for failed in emitted.get("failedNodes", []))

    def _check(self) -> None:
        """Raises NodeLost where the specification says so, and when no node is left."""
        fleet = self._opened.fleet
        if not fleet.lost or (self._continue and fleet.there):
            return
        reason = next(iter(fleet.lost.values()))
        remedy = "start it again and give the same command: what was played is kept"
        if not self._continue:
            remedy += "; or set spec.onNodeLoss to continue, which counts its tasks as failed"
        raise NodeLost(f"{len(fleet.lost)} of {len(fleet.nodes)} nodes went away: {reason}; {remedy}")

    def _bring_back(self) -> None:
        """Lost nodes that answer again are told everything anew; and of one that has another address now, all are."""
        fleet = self._opened.fleet
        moved = self._follow()
        back = fleet.found() if fleet.lost else []
        for node in back:
            del fleet.lost[node]
        if moved:
            self._tell_again(fleet.there)
        elif back:
            self._tell_again(back)
        self._check()

    def _follow(self) -> bool:
        """Finds nodes at the addresses that they have now; whether any has another than before."""
        nodes, there = self._opened, self._directory.there("edge-node")
        moved = False
        for node, name in enumerate(nodes.names):
            known, found = nodes.fleet.nodes[node], there.get(name)
            if found is not None and found.address != known.address:
                _log.warning("%s is at %s now", known, found.address)
                nodes.fleet.move(node, self._caller.to(known.name, found.address))
                moved = True
        return moved

    def _generator(self) -> Remote:
        return self._caller.to("task-generator", self._directory.one("task-generator", self._stop).address)

    def _await_generator(self) -> None:
        """The generator, once it answers, wherever it is; or as it is when that takes too long. Nothing runs anywhere then."""
        nodes = self._opened
        until = time.monotonic() + GENERATOR_S
        while time.monotonic() < until:
            found = self._directory.latest("task-generator")
            if found is not None:
                generator = self._caller.to("task-generator", found.address)
                try:
                    clear(nodes.fleet, generator)
                except RemoteAway:
                    pass
                else:
                    nodes.generator = generator
                    return
            self._pause(GENERATOR_POLL_S)

    def _tell_again(self, indices: list[int]) -> None:
        nodes = self._opened
        fleet = nodes.fleet
        fleet.ask(lambda _, node: finish_whatever(node), indices)
        version = self._next_version()
        still = fleet.still(indices)
        configure(fleet, nodes.setting, nodes.application, self._log_address, version, still, run=self.run)
        if self._order is not None:
            deploy(fleet, self._order, self._artefacts, self.run, self._version, self._patience, fleet.still(indices))

    # What it shows

    def states(self) -> list[dict[str, Any] | None]:
        """What each node last said of itself; None for one that is lost or has not been asked yet."""
        if (nodes := self._nodes) is None:
            return []
        lost, states = nodes.fleet.lost, nodes.watch.states
        return [None if k in lost or k not in states else dict(states[k]) for k in range(len(nodes.fleet.nodes))]

    def lost(self) -> dict[int, str]:
        """Why nodes are lost."""
        return {} if (nodes := self._nodes) is None else dict(nodes.fleet.lost)

    @property
    def _opened(self) -> "_Nodes":
        assert self._nodes is not None  # open
        return self._nodes


class _Nodes:
    """What belongs to one replicate."""

    def __init__(
        self,
        setting: Setting,
        application: dict[str, Any],
        names: tuple[str, ...],
        fleet: Fleet,
        watch: Watch,
        generator: Remote,
    ) -> None:
        self.setting, self.application, self.names = setting, application, names
        self.fleet, self.watch, self.generator = fleet, watch, generator
