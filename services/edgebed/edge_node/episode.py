"""One episode at one node: drives the pure node core on the wall clock and performs its effects.

    arrival  -> scheduler asks and decides -> TaskDecided  \
    transfer complete ---------------------> TaskReceived   } core.handle(event, now) -> effects -> links, application, log
    link or application at its end --------> ...Ended      /

Two instants tell apart what was planned and what happened. The end of a service that was performed in time is told to the
core at its planned instant, although the timer that noticed it fired some microseconds later: otherwise the lateness of
every timer would be added to all the tasks behind it. Once a link or an application needed longer than `GRACE_S` beyond its
plan, its real end is told. Likewise a task counts as arrived at its slot's start when the generator's message came less than
`LATENESS_SHARE` of a slot later; what deciding took, questions to other nodes included, is then counted from there. Receptions
are told when they happened. All of this lateness is measured, and is in the fidelity report.

A task that fails is cut at its own failure instant, on the wire or in execution, whatever the rule says about how long its
server stays occupied.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from edgebed.edge_node.configuration import EpisodeStart
from edgebed.edge_node.measurements import Measurements
from edgebed.emulation.applications import Application, Running, Work
from edgebed.emulation.clock import Clock, Timer
from edgebed.emulation.links import PacedLink, TransferEnd
from edgebed.experiment.fidelity import LATENESS_SHARE
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.lifecycle import TERMINAL, TaskState
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.node import (
    DeadlinePassed,
    Event,
    ExecutionEnded,
    NodeCore,
    RecordTask,
    StartExecution,
    StartTransfer,
    StopService,
    Task,
    TaskDecided,
    TaskReceived,
    TransferEnded,
    WatchDeadline,
)
from edgebed.systems.cooperative.rules import DropPolicy, Horizon, Rules
from edgebed.wire.errors import PeerError, PeerRefused
from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.server import Limits

GRACE_S = 0.005
"""Lateness of a timer that is not passed on to the tasks behind."""

UNCONFIRMED = 20
"""So many transfers that nobody confirmed are told."""
NODE_LOST = "nodeLost"
"""Why a task failed whose destination went away."""

LONGEST_S = 1e6
"""No task is worked on for longer, and none may take longer to be due: that would be a slip of a unit."""
_LARGEST_BITS = 8.0 * Limits().payload_bytes
_LARGEST_NUMBER = 2**31 - 1
"""What the log has room for."""


class Refused(Exception):
    """Something that this node cannot do in its state."""


@dataclass(slots=True, eq=False)
class LiveTask(Task):
    """A task on a node, with what the log wants to know beside the model."""

    decided_s: float = math.nan
    model_version: int = 0
    profile: int = 0
    late_s: float = 0.0
    """By how much its arrival was noticed late, where that is the generator's and not the task's doing."""


class Log(Protocol):
    """Where records go."""

    def put(self, record: pb.TaskRecord) -> None:
        """Keeps the record until the log has it; never waits."""


class NodeEpisode:
    """What a node does from the start of an episode to its end. Everything happens on one event loop."""

    def __init__(
        self,
        start: EpisodeStart,
        begins: float,
        index: int,
        network: Network,
        rules: Rules,
        slot_s: float,
        *,
        clock: Clock,
        links: Sequence[PacedLink | None],
        application: Application,
        log: Log,
        measurements: Measurements,
        announce: Callable[[int, int], None],
        fault: Callable[[str], None],
    ) -> None:
        """`begins` is the clock's instant of slot 0; `announce(j, waiting)` tells node j how many tasks wait for its link;
        `fault` is told what nobody's luck explains.
        """
        self.run, self.episode, self.begins = start.run, start.episode, begins
        self.slots, self.end_s = start.slots, start.slots * slot_s
        self._late_limit_s = LATENESS_SHARE * slot_s
        self.core = NodeCore(index, network, rules, slot_s)
        self.created = 0
        self.ended: Counter[TaskState] = Counter()
        self.unconfirmed: list[str] = []
        """What is known of transfers that were sent and not confirmed; the first of them."""
        self.closed = False
        """Nothing is begun any more."""
        self.over = False
        """Nothing arrives any more either."""
        self._index, self._rules, self._network = index, rules, network
        self._scale = rules.failure_rate_scale(slot_s)
        self._most = {
            "size_bits": _LARGEST_BITS,
            "cycles": LONGEST_S * float(network.capacity_hz.min()),
            "deadline_s": LONGEST_S,
            "u_transmission": 1.0,
            "u_execution": 1.0,
        }
        self._clock, self._links, self._application, self._log = clock, links, application, log
        self._measured, self._announce, self._fault = measurements, announce, fault
        self._seen: set[int] = set()
        self._taken: set[int] = set()
        self._deciding: dict[int, LiveTask] = {}
        self._incoming: set[int] = set()
        self._announced = [0] * network.nodes
        self._running: tuple[Task, Running] | None = None
        self._timers: set[Timer] = set()
        self._cut_timer: Timer | None = None
        if rules.horizon is not Horizon.DRAIN:
            self._cut_timer = clock.at(begins + self.end_s, self.cut)

    # What happens to the node

    def now_s(self) -> float:
        """Seconds since the episode began, after everything that is due has been performed."""
        return self._clock.catch_up() - self.begins

    def may_arrive(self, header: pb.TaskHeader) -> None:
        """Changes nothing. Raises ModelError for values that no task has, Refused for a task that cannot arrive now."""
        self._check(header)
        if header.source != self._index:
            raise Refused(f"task {header.number} belongs to node {header.source}, this is node {self._index}")
        if header.number in self._seen:
            raise Refused(f"task {header.number} has arrived before")
        if self.closed:
            raise Refused(f"episode {self.episode} is over")

    def arrive(self, header: pb.TaskHeader) -> LiveTask:
        """A task arrived, which `may_arrive`; it is `decide`d next."""
        task = _live(header)
        self._seen.add(header.number)
        self.created += 1
        self._deciding[task.number] = task
        late = self._clock.now() - self.begins - task.arrived_s
        if 0 < late <= self._late_limit_s:
            task.late_s = late
        self._measured.arrived += 1
        self._measured.arrival_lateness_s.add(late)
        return task

    def decide(self, task: LiveTask, destination: int, probability: float | None, model_version: int) -> None:
        """The scheduler decided; too late for a task that has been recorded as unfinished."""
        if task.number not in self._deciding:
            return
        del self._deciding[task.number]
        if destination == self._index:
            self._measured.local += 1
        else:
            self._measured.remote += 1
        now = self.now_s()
        task.decided_s, task.model_version = now, model_version
        task.probability = math.nan if probability is None else probability
        if self.closed:  # the horizon came between question and answer
            task.destination = destination
            self._record(task, TaskState.UNFINISHED)
            return
        self._tell(TaskDecided(task, destination), now - task.late_s)

    def expect(self, header: pb.TaskHeader) -> LiveTask:
        """The head of a transfer arrived. Raises ModelError for values that no task has, Refused for one not from elsewhere
        to here, or that has come before, or was sent after the episode's end.
        """
        self._check(header)
        _check_transfer(header)
        if header.destination != self._index or header.source == self._index:
            raise Refused(f"task {header.number} of node {header.source} is bound for node {header.destination}")
        if header.number in self._taken:
            raise Refused(f"task {header.number} has been received before")
        # Another node may see the horizon a moment later: what it began to send in time is unfinished, and not its fault.
        if self.over or (self.closed and header.sent_s >= self.end_s):
            raise Refused(f"episode {self.episode} is over")
        task = _live(header)
        task.state, task.sent_s, task.decided_s = TaskState.SENDING, header.sent_s, header.decided_s
        task.destination, task.model_version = header.destination, header.model_version
        if header.HasField("probability"):
            task.probability = header.probability
        self._taken.add(header.number)
        self._incoming.add(header.number)
        return task

    def receive(self, task: LiveTask) -> None:
        """The last byte of a transfer is there."""
        self._incoming.discard(task.number)
        now = self.now_s()
        if self.closed:
            self._record(task, TaskState.UNFINISHED)
            return
        self._tell(TaskReceived(task), now)
        if self._rules.drop_policy is DropPolicy.ABORT_AT_DEADLINE and task.state not in TERMINAL:
            self._watch(task)

    def lose(self, task: LiveTask) -> None:
        """A transfer was cut: its sender knows why, and records it."""
        self._incoming.discard(task.number)

    def cut(self) -> None:
        """The horizon: stop everything; what is unfinished is recorded as such."""
        if self.closed:
            return
        self.now_s()
        self.closed = True
        held = self.core.tasks()
        self.stop()
        for task in held:
            assert isinstance(task, LiveTask)  # all tasks of this core are
            self._record(task, TaskState.UNFINISHED)

    def finish(self) -> None:
        """The episode is over, drained or not: nothing arrives any more, and every task that is here has its record."""
        self.cut()
        self.over = True
        for task in list(self._deciding.values()):  # whose scheduler waits for answers, or has failed
            del self._deciding[task.number]
            task.destination, task.decided_s = self._index, self._clock.now() - self.begins
            self._record(task, TaskState.UNFINISHED)

    def stop(self) -> None:
        """Stop links, application and timers; nothing is recorded."""
        self.closed = True
        for timer in [*self._timers, *([self._cut_timer] if self._cut_timer is not None else [])]:
            timer.cancel()
        self._timers.clear()
        for link in self._links:
            if link is not None:
                link.stop()
        if self._running is not None:
            self._measured.busy_s += self._clock.now() - self.begins - self._running[0].started_s
            self._running[1].stop()
            self._running = None

    def rate_from(self, source: int) -> float:
        """Bits per second of the link from another node to this one."""
        return float(self._network.link_rate_bits_per_s[source, self._index])

    @property
    def idle(self) -> bool:
        """No task is here, or on its way from or to here."""
        return not (self._deciding or self._incoming or (not self.closed and self.core.tasks()))

    def _check(self, header: pb.TaskHeader) -> None:
        """Raises ModelError for values that no task of this episode has."""
        for name, most in self._most.items():
            if not 0 < (value := getattr(header, name)) <= most:
                raise ModelError(name, value, f"give a number over 0 and at most {most:g}")
        for name, below in (("slot", self.slots), ("source", self._network.nodes), ("number", _LARGEST_NUMBER + 1)):
            if not (value := getattr(header, name)) < below:
                raise ModelError(name, value, f"give a whole number below {below}")
        if not 0 <= header.arrived_s <= self.end_s:
            raise ModelError("arrived_s", header.arrived_s, f"give seconds of this episode, 0 to {self.end_s:g}")

    # What the core wants done

    def _tell(self, event: Event, now: float) -> None:
        now = max(now, self.core.now)  # a plan that was noticed late lies before what has been told since
        for effect in self.core.handle(event, now):
            match effect:
                case StartTransfer(task, busy_s, fails):
                    self._transfer(task, busy_s, now, fails=fails)
                case StartExecution(task, busy_s, fails):
                    self._execute(task, busy_s, now, fails=fails)
                case WatchDeadline(task):
                    self._watch(task)
                case StopService(task):
                    self._stop_service(task)
                case RecordTask(task):
                    self._record(task, task.state)
                case _:  # HandOver: the bytes themselves tell the destination
                    pass
        self._announce_changes()

    def _transfer(self, task: Task, busy_s: float, now: float, *, fails: bool) -> None:
        assert isinstance(task, LiveTask)
        j = task.destination
        link = self._links[j]
        assert link is not None  # the core sends to others only
        rate = float(self._network.link_rate_bits_per_s[self._index, j]) / 8
        cut_after = None
        if fails:
            cut_after = -math.log(task.u_transmission) / float(
                self._network.link_failure_rate[self._index, j] * self._scale
            )
        size = payload_bytes(task.size_bits)
        planned = now + busy_s

        def failed() -> None:
            if task.state is TaskState.SENDING:  # else its deadline has taken it away since
                self._tell(TransferEnded(task), planned)

        def ended(end: TransferEnd) -> None:
            self._measured.sent_bytes += end.sent_bytes
            self._measured.links[j].add(end.outcome, end.sent_bytes, end.ended - end.begun)
            if end.outcome == "lost":
                self._lose_peer(task)
            elif fails:
                self._later(planned, failed)
            else:
                self._tell(TransferEnded(task), self._instant(planned, end.ended - self.begins))

        unconfirmed = partial(self._unconfirmed, task)
        link.send(self._head(task, now), size, rate, self.begins + now, ended, cut_after, unconfirmed)

    def _unconfirmed(self, task: Task, error: PeerError) -> None:
        """A node that went away loses its tasks for all to see; one that refused a task says that something is wrong."""
        if len(self.unconfirmed) < UNCONFIRMED:
            self.unconfirmed.append(
                f"task {task.number} was sent, but node {task.destination} did not confirm it: {error}"
            )
        if isinstance(error, PeerRefused) and not self.closed:
            self._fault(f"a transfer was refused: {error}")

    def _lose_peer(self, task: LiveTask) -> None:
        """The destination is away: the link is free again, and the task failed for a reason that is not its luck."""
        now = self.now_s()
        if self.closed or task.state is not TaskState.SENDING:  # the horizon or its deadline was due by now
            return
        self._tell(TransferEnded(task), now)
        if task.state is TaskState.SENDING:  # else its own luck has ended it
            task.state, task.ended_s = TaskState.FAILED, now
            self._record(task, TaskState.FAILED, NODE_LOST)

    def _execute(self, task: Task, busy_s: float, now: float, *, fails: bool) -> None:
        assert isinstance(task, LiveTask)
        planned = now + busy_s
        work = Work(task.cycles, task.size_bits, task.profile)

        def ended(at: float) -> None:
            # Given up since: its deadline took it away, or it was done before it failed.
            given_up = self._running is None or self._running[1] is not running
            if given_up or task.state is not TaskState.EXECUTING:
                return
            self._running = None
            happened = at - self.begins
            done = self._instant(min(planned, happened), happened)  # work may be done early
            self._measured.busy_s += done - now
            self._tell(ExecutionEnded(task), done)

        running = self._application.start(work, busy_s, self.begins + now, ended)
        self._running = (task, running)
        if fails and self._application.real:
            rate = float(self._network.execution_failure_rate[self._index] * self._scale)
            failed = now - math.log(task.u_execution) / rate

            def fail() -> None:
                if task.state is not TaskState.EXECUTING:
                    return
                running.stop()
                self._later(planned, lambda: ended(self.begins + planned))

            self._later(failed, fail)

    def _instant(self, planned: float, happened: float) -> float:
        """When a service ended, as the core is told."""
        late = happened - planned
        self._measured.service_lateness_s.add(max(0.0, self._clock.now() - self.begins - planned))
        return planned if late <= GRACE_S else happened

    def _later(self, at_s: float, call: Callable[[], None]) -> None:
        """At an instant of the episode, unless it is over by then."""

        def due() -> None:
            self._timers.discard(timer)
            if not self.closed:
                call()

        timer = self._clock.at(self.begins + at_s, due)
        self._timers.add(timer)

    def _watch(self, task: Task) -> None:
        def due() -> None:
            mine = task.state in (TaskState.WAITING_TO_SEND, TaskState.SENDING) and task.source == self._index
            here = task.state in (TaskState.WAITING_TO_EXECUTE, TaskState.EXECUTING) and task.destination == self._index
            if (mine or here) and any(held is task for held in self.core.tasks()):
                self._tell(DeadlinePassed(task), task.due_s)

        self._later(task.due_s, due)

    def _stop_service(self, task: Task) -> None:
        if self._running is not None and self._running[0] is task:
            self._measured.busy_s += self.core.now - task.started_s
            self._running[1].stop()
            self._running = None
            return
        link = self._links[task.destination]
        if link is not None:
            link.stop()

    def _announce_changes(self) -> None:
        for j, link in enumerate(self._links):
            if link is not None and (waiting := self.core.waiting_to(j)) != self._announced[j]:
                self._announced[j] = waiting
                self._announce(j, waiting)

    # What the log and the others are told

    def _head(self, task: LiveTask, sent_s: float) -> bytes:
        header = self._header(task)
        header.sent_s = sent_s
        return header.SerializeToString()

    def _header(self, task: LiveTask) -> pb.TaskHeader:
        header = pb.TaskHeader(
            run=self.run,
            episode=self.episode,
            number=task.number,
            slot=task.slot,
            source=task.source,
            size_bits=task.size_bits,
            cycles=task.cycles,
            deadline_s=task.deadline_s,
            arrived_s=task.arrived_s,
            u_transmission=task.u_transmission,
            u_execution=task.u_execution,
            destination=task.destination,
            decided_s=task.decided_s,
            model_version=task.model_version,
            profile=task.profile,
        )
        if not math.isnan(task.probability):
            header.probability = task.probability
        if not math.isnan(task.sent_s):
            header.sent_s = task.sent_s
        return header

    def _record(self, task: Task, status: TaskState, reason: str = "") -> None:
        assert isinstance(task, LiveTask)
        self.ended[status] += 1
        self._measured.tasks[status.label] += 1
        record = pb.TaskRecord(task=self._header(task), place=self._index, reason=reason)
        record.status = int(status)  # type: ignore[assignment]  # the numbers are the same by definition
        for name in ("received_s", "started_s", "ended_s"):
            value = getattr(task, name)
            if not math.isnan(value):
                setattr(record, name, value)
        if status in TERMINAL:
            self._measured.delay_s.add(task.ended_s - task.arrived_s)
        self._log.put(record)


def payload_bytes(size_bits: float) -> int:
    """How many bytes a task of so many bits puts on the wire."""
    return max(1, round(size_bits / 8))


def _check_transfer(header: pb.TaskHeader) -> None:
    """What only a task under way has. Raises ModelError: the log would refuse its record, and all others of the batch."""
    for name in ("decided_s", "sent_s"):
        if not abs(value := getattr(header, name)) <= LONGEST_S:
            raise ModelError(name, value, f"give seconds from the episode's start, at most {LONGEST_S:g}")
    if header.HasField("probability") and not 0 <= header.probability <= 1:
        raise ModelError("probability", header.probability, "give a number from 0 to 1, or leave it out")
    if header.model_version >= 2**63:
        raise ModelError("model_version", header.model_version, "give a number below 2^63")


def _live(header: pb.TaskHeader) -> LiveTask:
    """The task of a header."""
    return LiveTask(
        number=header.number,
        slot=header.slot,
        source=header.source,
        size_bits=header.size_bits,
        cycles=header.cycles,
        deadline_s=header.deadline_s,
        arrived_s=header.arrived_s,
        u_transmission=header.u_transmission,
        u_execution=header.u_execution,
        profile=header.profile,
    )
