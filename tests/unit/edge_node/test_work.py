"""A node whose application really works: what it is told of executions that end early, fail, or are not to be done at all."""

import asyncio
import math
from pathlib import Path

import pytest
import uvloop

from edgebed.edge_node.app import hot_routes
from edgebed.edge_node.configuration import Configuration, EpisodeEnd, EpisodeStart, SchedulerChoice
from edgebed.edge_node.episode import NodeEpisode
from edgebed.edge_node.measurements import Measurements
from edgebed.edge_node.service import EdgeNode
from edgebed.emulation.applications import Application
from edgebed.emulation.applications.videos import FORMATS, clip_path
from edgebed.emulation.clock import Clock
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.rules import DropPolicy, Rules
from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.problems import Problem

NETWORK = {
    "capacityHz": [1e9, 1e9],
    "arrivalProbability": [1, 1],
    "executionFailureRate": [1, 1],
    "linkRateBitsPerSecond": [[1e8, 1e8], [1e8, 1e8]],
    "linkFailureRate": [[0, 0], [0, 0]],
}

START = {"run": "run", "episode": 1, "slots": 1, "decisionKey": "1"}


def header(number, *, cycles=0.2e9, u_execution=0.01, deadline_s=5.0, profile=0):
    return pb.TaskHeader(
        run="run",
        episode=1,
        number=number,
        size_bits=8000,
        cycles=cycles,
        deadline_s=deadline_s,
        u_transmission=1,
        u_execution=u_execution,
        profile=profile,
    )


class Quick(Application):
    """Needs a share of the time that a task is to take."""

    def __init__(self, clock, share):
        super().__init__(clock)
        self.share = share

    def start(self, task, busy_s, begins, ended):
        end = begins + self.share * busy_s
        timer = self.clock.at(end, lambda: ended(end))
        return type("Task", (), {"stop": staticmethod(timer.cancel)})()


class Records(list[pb.TaskRecord]):
    put = list.append


def fates(share, headers, rules=None):
    """(status, seconds in execution, end) of tasks that are executed here, by number."""

    async def main():
        clock, records, raised = Clock(), Records(), []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        start = EpisodeStart.model_validate(START | {"startsAtUnixNs": 1})
        episode = NodeEpisode(
            start,
            clock.now(),
            0,
            Network.from_document(NETWORK),
            rules or Rules(),
            1.0,
            clock=clock,
            links=[None, None],
            application=Quick(clock, share),
            log=records,
            measurements=Measurements(1.0, nodes=2),
            announce=lambda *_: None,
            fault=pytest.fail,
        )
        try:
            for task in [episode.arrive(one) for one in headers]:
                episode.decide(task, 0, None, 1)
            until = clock.now() + 5
            while not episode.idle:
                assert clock.now() < until
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)  # for timers of what is over
        finally:
            episode.stop()
            clock.close()
        assert raised == []
        return {r.task.number: (TaskState(r.status), r.ended_s - r.started_s, r.ended_s) for r in records}

    return uvloop.run(main())


def test_work_that_is_done_early_has_ended_early():
    """And the next task begins then."""
    found = fates(0.5, [header(0), header(1)])
    for number in (0, 1):
        status, took_s, ended_s = found[number]
        assert status is TaskState.SUCCEEDED
        assert took_s == pytest.approx(0.1, abs=0.02)
        assert ended_s == pytest.approx(0.1 * (number + 1), abs=0.05)


def test_a_task_that_would_have_failed_after_it_was_done_leaves_the_next_one_alone():
    """Its failure instant is at 0.15 s, its end at 0.1 s; the next is in execution by then."""
    luck = math.exp(-0.15)
    found = fates(0.5, [header(0, u_execution=luck), header(1, cycles=0.6e9)])
    assert found[0][0] is TaskState.FAILED
    assert found[1][0] is TaskState.SUCCEEDED
    assert found[1][1] == pytest.approx(0.3, abs=0.02)


def test_a_task_that_is_given_up_before_it_fails_leaves_the_next_one_alone():
    """Its deadline is at 0.1 s, its failure instant at 0.15 s."""
    luck = math.exp(-0.15)
    rules = Rules(drop_policy=DropPolicy.ABORT_AT_DEADLINE)
    found = fates(1.0, [header(0, u_execution=luck, deadline_s=0.1), header(1, cycles=0.4e9)], rules)
    assert found[0][0] is TaskState.DROPPED
    assert found[1][0] is TaskState.SUCCEEDED
    assert found[1][1] == pytest.approx(0.4, abs=0.02)


def test_a_failing_task_is_stopped_and_keeps_its_node_for_as_long_as_it_was_to_take():
    found = fates(1.0, [header(0, u_execution=math.exp(-0.1)), header(1)])
    assert found[0][0] is TaskState.FAILED
    assert found[0][1] == pytest.approx(0.2, abs=0.02)
    assert found[1][0] is TaskState.SUCCEEDED


CONFIGURATION = {
    "node": 0,
    "network": NETWORK,
    "slotSeconds": 1,
    "workload": {"slots": 1, "sizeBits": 8000, "cyclesPerBit": 1, "deadlineSeconds": 1},
    "application": {"kind": "ffmpeg"},
    "addresses": ["http://127.0.0.1:9", "http://127.0.0.1:9"],
}


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Files in place of clips: nothing is converted here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "edgebed" / "clips"
    folder.mkdir(parents=True)
    for source in FORMATS:
        clip_path(Path(folder), source).write_bytes(b"")


@pytest.mark.usefixtures("clips")
@pytest.mark.parametrize("profile", [0, 31])
def test_a_profile_that_there_is_not_is_refused_at_the_door(profile):
    """From the generator and from other nodes, with 422; of a message with several tasks, none has arrived."""

    async def main():
        clock = Clock()
        node = EdgeNode(clock, memoryview(b"0" * 1000))
        try:
            await node.configure(Configuration.model_validate(CONFIGURATION))
            choice = SchedulerChoice(version=1, kind="local")
            node.schedule(choice, node.policy(choice))
            now = clock.to_unix_ns(clock.now())
            node.begin(EpisodeStart.model_validate(START | {"startsAtUnixNs": now}))
            routes = hot_routes(node)
            bad = header(1, profile=profile)
            body = pb.Arrivals(tasks=[header(0, profile=1), bad]).SerializeToString()
            with pytest.raises(Problem) as arrived:
                routes.unary["/v1/arrivals"](body, None)
            bad.source = 1
            with pytest.raises(Problem) as received:
                routes.uploads["/v1/tasks"](bad.SerializeToString(), 1000)
            created = node.episode.created
            await node.finish(EpisodeEnd(run="run", episode=1))
            return arrived.value, received.value, created
        finally:
            await node.close()
            clock.close()

    arrived, received, created = uvloop.run(main())
    for problem in (arrived, received):
        assert problem.status == 422
        assert f"profile: {profile}" in problem.detail
        assert "profiles 1 to 30" in problem.detail
    assert created == 0
