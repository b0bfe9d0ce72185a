"""The process that works for a node, seen from the node.

    worker = Worker(clock)
    await worker.start()
    job = worker.order({"burn": 0.2}, lambda report: ..., broken)
    job.stop()

Starting a process from a node takes milliseconds in which its links stand still, so a node starts this one only, before the
first episode, and talks to it over pipes. The other side is `worker_process`, a script that imports nothing of ours. It ends
with the node, however the node ends, because then its standard input does.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebed.emulation.clock import Clock
from edgebed.experiment.errors import EnvironmentFault

START_LIMIT_S = 10.0
STOP_LIMIT_S = 2.0

_SCRIPT = Path(__file__).with_name("worker_process.py")


@dataclass(frozen=True, slots=True)
class Report:
    """A job that was done."""

    ended: float
    """The clock's instant, taken by the worker."""
    cpu_s: float
    """Processor time that it took."""


class Job:
    """What the worker is doing."""

    __slots__ = ("_stop", "broken", "done")

    def __init__(
        self,
        stop: Callable[["Job"], None],
        done: Callable[[Report], None],
        broken: Callable[[EnvironmentFault], None] | None,
    ) -> None:
        self._stop, self.done, self.broken = stop, done, broken

    def stop(self) -> None:
        """Gives it up; nothing is told any more. Nothing happens when it has ended."""
        self._stop(self)


class Worker:
    """One worker process; does one job at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: asyncio.Future[None] | None = None
        self._job: Job | None = None
        self._number = 0
        self._unread = b""

    async def start(self) -> None:
        """Starts the process and waits until it listens. Raises EnvironmentFault if it cannot."""
        self._loop = asyncio.get_running_loop()
        self._ready = self._loop.create_future()
        try:
            # Isolated and without site-packages: the script needs the standard library only, and starts in 20 ms.
            self._process = subprocess.Popen(  # noqa: S603  # our own script
                [sys.executable, "-I", "-S", str(_SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as error:
            raise EnvironmentFault(
                f"a worker process cannot be started ({error.strerror or error}); allow more processes, or use the "
                "application synthetic"
            ) from error
        assert self._process.stdout is not None  # a pipe
        assert self._process.stdin is not None  # a pipe
        # A pipe holds thousands of orders, so writing one never blocks; if it ever would, an error is better.
        os.set_blocking(self._process.stdin.fileno(), False)
        os.set_blocking(self._process.stdout.fileno(), False)
        self._loop.add_reader(self._process.stdout.fileno(), self._read)
        try:
            await asyncio.wait_for(self._ready, START_LIMIT_S)
        except TimeoutError as error:
            await self.close()
            raise EnvironmentFault(
                f"a worker process did not answer within {START_LIMIT_S:g} s; the machine is overloaded, use fewer nodes"
            ) from error

    def order(
        self,
        what: Mapping[str, Any],
        done: Callable[[Report], None],
        broken: Callable[[EnvironmentFault], None] | None = None,
    ) -> Job:
        """Begins a job: `{"burn": seconds}`, or `{"run": [program, argument, ...]}`. Takes the place of the one before."""
        job = Job(self._stop, done, broken)
        self._job = job
        self._number += 1
        self._say({**what, "number": self._number})
        return job

    async def close(self) -> None:
        """Ends the process, and what it runs."""
        process, self._process, self._job = self._process, None, None
        if process is None:
            return
        assert process.stdout is not None  # a pipe
        assert process.stdin is not None  # a pipe
        assert self._loop is not None  # started
        self._loop.remove_reader(process.stdout.fileno())
        process.stdin.close()  # which is how it is told
        try:
            await asyncio.to_thread(process.wait, STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        process.stdout.close()

    def _stop(self, job: Job) -> None:
        if self._job is job:
            self._job = None
            self._number += 1
            self._say({"stop": True, "number": self._number})

    def _say(self, order: Mapping[str, Any]) -> None:
        if self._process is None:
            raise RuntimeError("the worker has not been started; call prepare first")
        assert self._process.stdin is not None  # a pipe
        with contextlib.suppress(BrokenPipeError):  # it is gone: reading tells that, too
            os.write(self._process.stdin.fileno(), json.dumps(order).encode() + b"\n")

    def _read(self) -> None:
        process = self._process
        assert process is not None  # else nobody reads
        assert process.stdout is not None  # a pipe
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            self._gone(process)
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def _hear(self, answer: dict[str, Any]) -> None:
        if "ready" in answer:
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
        elif answer["number"] == self._number and self._job is not None:  # else of a job that was stopped meanwhile
            job, self._job = self._job, None
            if answer["fault"] is None:
                job.done(Report(answer["ended"], answer["cpu"]))
            elif job.broken is not None:
                job.broken(EnvironmentFault(answer["fault"]))

    def _gone(self, process: subprocess.Popen[bytes]) -> None:
        """It ended by itself, or somebody killed it."""
        assert process.stdout is not None  # a pipe
        assert self._loop is not None  # started
        self._loop.remove_reader(process.stdout.fileno())
        fault = EnvironmentFault(
            f"the worker process {process.pid} of this node ended by itself (out of memory?); run the experiment again, "
            "with fewer nodes if it repeats"
        )
        job, self._job = self._job, None
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(fault)
        elif job is not None and job.broken is not None:
            job.broken(fault)
