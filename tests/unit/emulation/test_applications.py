"""Applications: when they tell the end of a task, how they stop, and that nothing of them stays behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import psutil
import pytest
import uvloop

from edgebed.emulation.applications import Application, Work, application_names, build_application, find_application
from edgebed.emulation.applications.worker import Worker
from edgebed.emulation.clock import Clock
from edgebed.experiment.errors import EnvironmentFault
from edgebed.systems.cooperative.errors import ModelError

LIMIT_S = 30
WORK = Work(cycles=1e9, size_bits=8e6)


@contextlib.asynccontextmanager
async def application(kind, **parameters):
    clock = Clock()
    made = build_application(kind, clock, parameters)
    try:
        await made.prepare()
        yield made, clock
    finally:
        await made.close()
        clock.close()


async def executed(made, busy_s, begins, work=WORK):
    """The end that the application tells."""
    end = asyncio.get_running_loop().create_future()
    made.start(work, busy_s, begins, end.set_result)
    return await asyncio.wait_for(end, LIMIT_S)


def worker_of(made):
    return psutil.Process(made._worker._process.pid)


def until(condition):
    """Waits for what happens in another process."""
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.01)


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_ours_are_the_entry_points_of_the_package():
    """So that an installed package and a checkout offer the same."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    entries = project["entry-points"]["edgebed.applications"]
    assert application_names()[:3] == list(entries) == ["synthetic", "cpu", "ffmpeg"]
    for name, place in entries.items():
        found = find_application(name)
        assert issubclass(found, Application)
        assert f"{found.__module__}:{found.__name__}" == place


def test_an_unknown_application_is_refused_with_the_near_names():
    with pytest.raises(ModelError, match="did you mean ffmpeg"):
        find_application("ffmpg")


def test_an_unknown_parameter_is_refused():
    async def main():
        clock = Clock()
        try:
            build_application("cpu", clock, {"cores": 3})
        finally:
            clock.close()

    with pytest.raises(ModelError, match="cores"):
        uvloop.run(main())


def test_a_node_that_waits_does_not_load_what_converts_video():
    """Memory counts: there are many nodes on one machine."""
    script = (
        "import sys; from edgebed.emulation.applications import find_application; find_application('synthetic');"
        "sys.exit('ffmpeg' in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )


@pytest.mark.parametrize("after_s", [-0.01, 0.0, 0.01])
def test_synthetic_tells_the_planned_end_and_not_before(after_s):
    """The very instant, whenever the timer rings."""

    async def main():
        async with application("synthetic") as (made, clock):
            begins = clock.now() + after_s
            end = await executed(made, 0.02, begins)
            return end == begins + 0.02, clock.now() >= end

    assert uvloop.run(main()) == (True, True)


def test_a_stopped_synthetic_task_tells_nothing():
    async def main():
        async with application("synthetic") as (made, clock):
            told: list[float] = []
            made.start(WORK, 0.005, clock.now(), told.append).stop()
            await executed(made, 0.02, clock.now())
            return told

    assert uvloop.run(main()) == []


def test_cpu_burns_the_time_on_a_core():
    """The worker's processor time grows by what was ordered, and the end is not told before."""

    async def main():
        async with application("cpu") as (made, clock):
            process = worker_of(made)
            before, begins = sum(process.cpu_times()[:2]), clock.now()
            end = await executed(made, 0.2, begins)
            assert begins + 0.2 <= end <= clock.now()
            assert sum(process.cpu_times()[:2]) - before >= 0.17  # the kernel tells hundredths, of two kinds
        return process.pid

    assert gone(uvloop.run(main()))


def test_a_stopped_computation_makes_room_at_once():
    """Its end is never told, even if it crossed the order to stop."""

    async def main():
        async with application("cpu") as (made, clock):
            told: list[float] = []
            for busy_s in (0.0, 0.001, 3600.0):
                running = made.start(WORK, busy_s, clock.now(), told.append)
                await asyncio.sleep(0.002)
                seen = len(told)
                running.stop()
                await executed(made, 0.005, clock.now())
                assert len(told) == seen
            running.stop()  # long over

    uvloop.run(main())


def test_a_killed_worker_is_told_as_a_fault():
    """The task's end is not told; whoever runs the node is."""

    async def main():
        async with application("cpu") as (made, clock):
            broken = asyncio.get_running_loop().create_future()
            made.broken = broken.set_result
            made.start(WORK, 3600.0, clock.now(), lambda _: pytest.fail("it did not end"))
            worker_of(made).kill()
            return await asyncio.wait_for(broken, LIMIT_S)

    assert isinstance(uvloop.run(main()), EnvironmentFault)


NODE = """
import asyncio, sys
from edgebed.emulation.applications.worker import Worker
from edgebed.emulation.clock import Clock
async def main():
    worker = Worker(Clock())
    await worker.start()
    worker.order({order}, print)
    print(worker._process.pid, flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""


@pytest.mark.parametrize("order", [{"burn": 3600}, {"run": ["sleep", "3600"]}])
@pytest.mark.parametrize("victim", ["node", "worker"])
def test_nothing_outlives_a_killed_node(order, victim):
    """The worker ends because its input does; a program that it runs is killed by it, or by the kernel with it."""
    path = os.pathsep.join(sys.path)
    node = subprocess.Popen(
        [sys.executable, "-c", NODE.replace("{order}", repr(order))],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        worker = int(node.stdout.readline())
        programs = []
        if "run" in order:
            until(lambda: [p for p in psutil.Process(worker).children() if p.name() == "sleep"])
            programs = [p.pid for p in psutil.Process(worker).children()]
        os.kill(node.pid if victim == "node" else worker, signal.SIGKILL)
        until(lambda: all(gone(pid) for pid in [worker, *programs]))
    finally:
        node.kill()
        node.wait()
        node.stdout.close()


def test_a_program_that_fails_is_told_with_its_last_words():
    async def main():
        clock = Clock()
        worker = Worker(clock)
        await worker.start()
        try:
            return [
                await ordered(worker, ["sh", "-c", "echo no such codec >&2; exit 3"]),
                await ordered(worker, ["no-such-program"]),
                await ordered(worker, ["true"]),
            ]
        finally:
            await worker.close()
            clock.close()

    async def ordered(worker, command):
        said = asyncio.get_running_loop().create_future()
        worker.order({"run": command}, said.set_result, said.set_result)
        return await asyncio.wait_for(said, LIMIT_S)

    failed, missing, done = uvloop.run(main())
    assert "status 3: no such codec" in str(failed)
    assert "no-such-program cannot be started" in str(missing)
    assert done.cpu_s >= 0
