"""What a message and a payload cost between two processes, against FastAPI with httpx and against plain blocking sockets.

Client and server are processes of their own, so ours and the baseline have the same two cores. One exchange at a time, as a
node that waits for an answer has it; and sixteen at once.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import httpx
import uvloop

from edgebed.wire.client import Peer
from edgebed.wire.generated import testbed_pb2 as pb
from tests.benchmarks.result import Result, alternate, compare
from tests.benchmarks.wire_servers import HEAD

MESSAGES, BASELINE_MESSAGES, AT_ONCE = 3000, 300, 16
PAYLOAD = 4_000_000
PAYLOADS = 50


@contextlib.contextmanager
def server(kind: str) -> Iterator[int]:
    """The port of a server in another process."""
    command = [sys.executable, "-m", "tests.benchmarks.wire_servers", kind]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)


def message() -> bytes:
    """1 KB: the tasks of a slot."""
    task = pb.TaskHeader(run="bench", episode=3, number=700, slot=12, source=4, size_bits=8e6, cycles=4.8e9)
    task.deadline_s, task.arrived_s, task.u_transmission, task.u_execution, task.profile = 1.0, 1.2, 0.25, 0.75, 2
    arrivals = pb.Arrivals()
    while arrivals.ByteSize() < 1000:
        arrivals.tasks.append(task)
    return arrivals.SerializeToString()


async def exchange(one: Callable[[], Awaitable[object]], count: int, at_once: int) -> None:
    """So many exchanges."""

    async def some() -> None:
        for _ in range(count // at_once):
            await one()

    if at_once == 1:
        await some()
    else:
        await asyncio.gather(*(some() for _ in range(at_once)))


def _run(loop: asyncio.Runner, one: Callable[[], Awaitable[object]], count: int, at_once: int) -> None:
    loop.run(exchange(one, count, at_once))


def bench_message() -> list[Result]:
    """Microseconds per message of 1 KB and its answer."""
    body = message()
    results = []
    with server("ours") as port, server("fastapi") as other, asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        peer = Peer(f"http://127.0.0.1:{port}")
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{other}", trust_env=False)

        async def ours() -> None:
            answer = await peer.post("/v1/arrivals", body)
            assert pb.ProbeAnswer.FromString(answer).available

        async def theirs() -> None:
            response = await client.post("/v1/arrivals", content=body)
            assert pb.ProbeAnswer.FromString(response.raise_for_status().content).available

        for name, at_once in (("node-to-node message of 1 KB", 1), (f"the same, {AT_ONCE} at once", AT_ONCE)):
            seconds, baseline = alternate(
                partial(_run, loop, ours, MESSAGES, at_once), partial(_run, loop, theirs, BASELINE_MESSAGES, at_once)
            )
            count = BASELINE_MESSAGES // at_once * at_once
            results.append(
                compare(name, "us", seconds / (MESSAGES // at_once * at_once) * 1e6, baseline / count * 1e6, 5)
            )
        loop.run(peer.close())
        loop.run(client.aclose())
    return results


def bench_payload() -> Result:
    """Milliseconds per payload of 4 MB and its answer, one after another on a kept connection."""
    payload = memoryview(os.urandom(PAYLOAD))
    with server("ours") as port, server("sockets") as other, asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        peer = Peer(f"http://127.0.0.1:{port}")

        async def ours() -> None:
            for _ in range(PAYLOADS):
                upload = await peer.upload("/v1/tasks", b"head", PAYLOAD)
                upload.write(payload)
                await upload.finish(5.0)

        with socket.create_connection(("127.0.0.1", other)) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def theirs() -> None:
                for _ in range(PAYLOADS):
                    plain.sendall(HEAD.pack(PAYLOAD))
                    plain.sendall(payload)
                    assert plain.recv(1) == b"\n"

            seconds, baseline = alternate(lambda: loop.run(ours()), theirs)
        loop.run(peer.close())
    return compare("payload 4 MB unpaced", "ms", seconds / PAYLOADS * 1e3, baseline / PAYLOADS * 1e3, 0.5)
