"""One edge node as a process has it: its configuration, its scheduler, and the episode that runs.

    node.configure(configuration); node.schedule(choice, policy); node.begin(start); ...; await node.finish(end)

A configuration, a scheduler or an episode that is not allowed changes nothing. `Refused` says why.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from edgebed.edge_node.configuration import Configuration, EpisodeEnd, EpisodeStart, SchedulerChoice
from edgebed.edge_node.episode import LiveTask, NodeEpisode, Refused
from edgebed.edge_node.measurements import Measurements
from edgebed.edge_node.recorder import Recorder
from edgebed.edge_node.scheduler import Scheduler
from edgebed.edge_node.view import NodeSurroundings
from edgebed.emulation.applications import Application, build_application
from edgebed.emulation.clock import Clock
from edgebed.emulation.links import PacedLink
from edgebed.experiment.errors import EnvironmentFault
from edgebed.live.documents import EdgeNodeSettings
from edgebed.live.in_use import InUse
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.policies.fixed import FixedDecisions
from edgebed.systems.cooperative.policy import Policy, PolicyContext
from edgebed.systems.registry import build_policy
from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerError
from edgebed.wire.generated import testbed_pb2 as pb

_log = logging.getLogger(__name__)

FLUSH_S = 10.0
"""How long the end of an episode waits for its records to be in the log."""


class EdgeNode:
    """The node of this process. Made on the event loop that it is to run on."""

    def __init__(
        self,
        clock: Clock,
        payload: memoryview,
        *,
        token: str | None = None,
        spool: Path | None = None,
        settings: InUse[EdgeNodeSettings] | None = None,
    ) -> None:
        """`payload` is what transfers take their bytes from; `settings` may change while it runs."""
        self.clock = clock
        self._payload, self._token, self._spool = payload, token, spool
        self._settings = settings or InUse(EdgeNodeSettings)
        self.priority = "usual"
        """With which the process runs (`emulation.priority`)."""
        self.awake = False
        """Whether somebody keeps its machine's processors awake (`emulation.awake`), as far as it was told."""
        self.configuration: Configuration | None = None
        self.context: PolicyContext | None = None
        self.scheduler: Scheduler | None = None
        self.episode: NodeEpisode | None = None
        self.measured = Measurements(1.0)
        self.recorder: Recorder | None = None
        self._application: Application | None = None
        self._peers: list[Peer | None] = []
        self._links: list[PacedLink | None] = []
        self._around: NodeSurroundings | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._orders = 0
        """Orders and configurations that have come."""
        self.fault: str | None = None
        """What went wrong in the episode, beyond any task's luck."""

    async def configure(self, configuration: Configuration) -> None:
        """Puts a configuration in use, one after the other. Raises Refused during an episode, ModelError for values that are
        not allowed, EnvironmentFault for a missing program.
        """
        async with self._changing:
            self._mind_episode()
            context = configuration.context()
            me, addresses = configuration.node, configuration.addresses
            peers = [None if j == me else self._peer(f"addresses[{j}]", addresses[j]) for j in range(len(addresses))]
            log = None if configuration.log is None else self._peer("log", configuration.log)
            application = build_application(configuration.application.kind, self.clock)
            application.broken = lambda fault: self._break(str(fault))
            await application.prepare()
            await self._release()
            try:
                self.recorder = Recorder(me, log, self._spool, settings=self._settings)
            except OSError as error:
                await application.close()
                raise EnvironmentFault(f"records kept in {self._spool} cannot be read ({error}); mend that") from error
            self._use(configuration, context, peers, application)
            self.recorder.start()

    def _use(
        self, configuration: Configuration, context: PolicyContext, peers: list[Peer | None], application: Application
    ) -> None:
        self._peers = peers
        self._links = [
            None if peer is None else PacedLink(self.clock, peer, "/v1/tasks", self._payload) for peer in self._peers
        ]
        self._application, self.context, self.configuration = application, context, configuration
        self.measured = Measurements(context.workload.deadline_s.maximum, context.network.nodes)
        self.measured.new_episode()

    def _mind_episode(self) -> None:
        if self.episode is not None and not self.episode.closed:
            raise Refused(f"episode {self.episode.episode} of run {self.episode.run} runs; finish it first")

    def _peer(self, field: str, address: str) -> Peer:
        try:
            return Peer(address, token=self._token)
        except ValueError as error:
            raise ModelError(field, address, "give http://HOST:PORT") from error

    async def order(self, choice: SchedulerChoice, fetch: Callable[[], Any] | None = None) -> None:
        """Decide so from the next task on; `fetch` gives the weights of the choice's model.

        It is called in a thread: a store may take seconds, and what this node sends and executes may not wait for it. Of
        several orders the one that came last counts. Raises Refused for one that another order or configuration has
        overtaken, and what `policy` and `fetch` raise; the node decides as before then.
        """
        self._configured()
        self._orders += 1
        mine = self._orders
        actor = None if fetch is None else await asyncio.to_thread(fetch)
        if mine != self._orders:
            raise Refused(
                f"scheduler {choice.version} was overtaken while its model was fetched; what came later counts"
            )
        self.schedule(choice, self.policy(choice, actor))

    def schedule(self, choice: SchedulerChoice, policy: Policy) -> None:
        """Decide with a policy, which was made for the present configuration, from the next task on."""
        self.scheduler = Scheduler(policy, choice.version, choice.kind, self._peers, self._settings)

    def policy(self, choice: SchedulerChoice, actor: Any = None) -> Policy:
        """The policy of a choice; `actor` are the weights of its model. Raises ModelError."""
        context = self._configured()[1]
        if choice.kind == "fixed":
            return FixedDecisions({(slot, source): j for slot, source, j in choice.decisions or ()})
        if actor is None and choice.kind in ("actor", "generalist"):
            raise ModelError("model", None, "name the artefact of a trained actor")
        given = choice.parameters if actor is None else {**choice.parameters, "model": actor}
        policy = build_policy(choice.kind, context, given)
        if policy.centralised:
            raise ModelError("kind", choice.kind, "a centralised reference runs on the simulator backend only")
        return policy

    def begin(self, start: EpisodeStart) -> None:
        """An episode begins at its instant. Raises Refused while another one runs, or without a scheduler."""
        configuration, context = self._configured()
        if self.scheduler is None or self.recorder is None or self._application is None:
            raise Refused("no scheduler; give one with PUT /v1/scheduler first")
        self._mind_episode()
        self.fault = None
        self.measured.new_episode()
        self.episode = NodeEpisode(
            start,
            self.clock.from_unix_ns(start.starts_at_unix_ns),
            configuration.node,
            context.network,
            context.rules,
            configuration.slot_seconds,
            clock=self.clock,
            links=self._links,
            application=self._application,
            log=self.recorder,
            measurements=self.measured,
            announce=self._announce,
            fault=self._break,
        )
        limit = context.mask_coefficient * float(context.network.cores[configuration.node]) / 4
        key = int(start.decision_key) % 2**64
        self._around = NodeSurroundings(self.episode.core, context.network, configuration.slot_seconds, limit, key)

    async def finish(self, end: EpisodeEnd) -> dict[str, Any]:
        """The episode is over: what is unfinished is recorded, and all records are in the log. Returns what was measured."""
        episode = self._running(end.run, end.episode)
        configuration, _ = self._configured()
        episode.finish()  # nothing is left, unless the controller gave up waiting
        for task in list(self._tasks):
            task.cancel()
        recorder = self.recorder
        assert recorder is not None  # configured
        delivered = await recorder.flush(FLUSH_S)
        return {
            "node": configuration.node,
            "episode": episode.episode,
            "created": episode.created,
            "ended": {state.label: episode.ended[state] for state in _OUTCOMES},
            "recordsDelivered": delivered,
            "recordsUnsent": recorder.unsent,
            "recordsRefused": recorder.refused,
            "unconfirmed": episode.unconfirmed,
            "fault": self.fault,
            "priority": self.priority,
            "awake": self.awake,
            **self.measured.summary(),
        }

    # The hot path

    def arrive(self, arrivals: pb.Arrivals) -> None:
        """Tasks of this node's users. Raises Refused or ModelError; then none of them has arrived.

        A policy that fails is no reason to refuse a task: the episode has a fault then, and the task is unfinished.
        """
        if not arrivals.tasks:
            raise Refused("no task is in the message")
        episode = self._running(arrivals.tasks[0].run, arrivals.tasks[0].episode)
        scheduler, around = self.scheduler, self._around
        assert scheduler is not None  # an episode runs
        assert around is not None
        if len(arrivals.tasks) > 1:
            self._check_together(episode, arrivals)
        for header in arrivals.tasks:
            self._admit(header)
            episode.may_arrive(header)
        for header in arrivals.tasks:
            task = episode.arrive(header)
            try:
                asked = scheduler.decide_alone(around, episode, task, self.measured)
            except ModelError as error:
                self._break(str(error))
                continue
            if asked is not None:
                self._spawn(scheduler.decide_with(around, episode, task, asked, self.measured))

    @staticmethod
    def _check_together(episode: NodeEpisode, arrivals: pb.Arrivals) -> None:
        keys = {(h.run, h.episode, h.number) for h in arrivals.tasks}
        if len(keys) < len(arrivals.tasks) or {key[:2] for key in keys} != {(episode.run, episode.episode)}:
            raise Refused("tasks of one message must differ, and be of one episode")

    def expect(self, header: pb.TaskHeader) -> tuple[NodeEpisode, LiveTask]:
        """The head of a transfer. Raises Refused, and ModelError for values or work that this node cannot do."""
        episode = self._running(header.run, header.episode)
        self._admit(header)
        return episode, episode.expect(header)

    def answer(self, probe: pb.Probe) -> pb.ProbeAnswer:
        """What a probing node wants to know. Raises Refused."""
        episode, around = self._running(probe.run, probe.episode), self._around
        assert around is not None  # an episode runs
        me = around.core.index
        if probe.asker >= around.network.nodes or probe.asker == me:
            raise Refused(f"asker {probe.asker} is not another node of the network")
        now, core = episode.now_s(), episode.core
        return pb.ProbeAnswer(
            node=me,
            waiting=core.waiting,
            backlog_s=core.backlog_s(now),
            available=core.waiting < around.limit,
            waiting_to_asker=core.waiting_to(probe.asker),
        )

    def hear(self, announcement: pb.Announcement) -> None:
        """How many tasks wait elsewhere for the link to this node. Raises Refused."""
        self._running(announcement.run, announcement.episode)
        around = self._around
        assert around is not None  # an episode runs
        if announcement.node >= around.network.nodes or announcement.node == around.core.index:
            raise Refused(f"node {announcement.node} is not another node of the network")
        around.receiving[announcement.node] = announcement.waiting

    # For people and the controller

    def progress(self) -> dict[str, Any]:
        """The episode in counts."""
        episode = self.episode
        if episode is None or self.recorder is None:
            return {"run": None, "episode": None, "created": 0, "ended": {}, "idle": True, "unsentRecords": 0}
        return {
            "run": episode.run,
            "episode": episode.episode,
            "created": episode.created,
            "ended": {state.label: episode.ended[state] for state in _OUTCOMES},
            "idle": episode.idle,
            "unsentRecords": self.recorder.unsent,
            "fault": self.fault,
        }

    def state(self) -> pb.NodeState:
        """Queues and scheduler."""
        episode, configuration = self.episode, self.configuration
        state = pb.NodeState(node=0 if configuration is None else configuration.node)
        if self.scheduler is not None:
            state.scheduler, state.model_version = self.scheduler.kind, self.scheduler.version
        if episode is not None:
            core, n = episode.core, len(self._links)
            state.run, state.episode = episode.run, episode.episode
            state.now_s = self.clock.now() - episode.begins
            state.waiting, state.executing = core.waiting, core.executing
            state.waiting_to.extend(0 if j == core.index else core.waiting_to(j) for j in range(n))
            state.sending_to.extend(j != core.index and core.sending_to(j) for j in range(n))
        return state

    async def close(self) -> None:
        """Stops everything that this node began."""
        if self.episode is not None:
            self.episode.stop()
        await self._release()

    async def _release(self) -> None:
        """Lets go of what the configuration in use holds."""
        for task in list(self._tasks):
            task.cancel()
        for link in self._links:
            if link is not None:
                link.close()
        for peer in self._peers:
            if peer is not None:
                await peer.close()
        self._orders += 1
        if self.recorder is not None:
            await self.recorder.stop()
        if self._application is not None:
            await self._application.close()
        self._peers, self._links, self._application, self.recorder = [], [], None, None
        self.configuration = self.context = self.scheduler = self.episode = self._around = None

    def _configured(self) -> tuple[Configuration, PolicyContext]:
        if self._changing.locked():
            raise Refused("another configuration is being put in use; wait for it")
        if self.configuration is None or self.context is None:
            raise Refused("no configuration; give one with PUT /v1/configuration first")
        return self.configuration, self.context

    def _admit(self, header: pb.TaskHeader) -> None:
        assert self._application is not None  # an episode runs
        self._application.admit(header.profile)

    def _running(self, run: str, episode: int) -> NodeEpisode:
        found = self.episode
        if found is None or (found.run, found.episode) != (run, episode):
            now = "none" if found is None else f"episode {found.episode} of run {found.run}"
            raise Refused(f"episode {episode} of run {run} does not run here; what runs is {now}")
        return found

    def _announce(self, node: int, waiting: int) -> None:
        episode, peer = self.episode, self._peers[node]
        assert episode is not None  # it announces
        assert peer is not None  # another node
        message = pb.Announcement(run=episode.run, episode=episode.episode, node=episode.core.index, waiting=waiting)
        self._spawn(self._tell_waiting(peer, message.SerializeToString()))

    async def _tell_waiting(self, peer: Peer, body: bytes) -> None:
        self.measured.announcements += 1
        try:
            await peer.post("/v1/announce", body, timeout_s=0.5)
        except PeerError as error:
            _log.debug("an announcement did not arrive: %s", error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Background work with an owner: what it raises becomes the episode's fault."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._break(str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}")

    def _break(self, fault: str) -> None:
        if self.fault is None:
            _log.error("node %s: %s", self.configuration.node if self.configuration else "?", fault)
            self.fault = fault


_OUTCOMES = (TaskState.SUCCEEDED, TaskState.DROPPED, TaskState.FAILED, TaskState.UNFINISHED)
