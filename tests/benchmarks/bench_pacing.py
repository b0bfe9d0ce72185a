"""How exactly a link keeps its rate: ten at once, from one process to another, over the real client and server.

A transfer takes s / r. Measured is the receiver's last byte minus the planned beginning; the error is its distance from
s / r, as a share of s / r. Sizes and rates are those of the paper's testbed. Both processes take precedence over others
where they may, and processors are kept awake on a virtual machine, as in a run on processes.

    python -m tests.benchmarks pacing
"""

import asyncio
import multiprocessing
import os
import random
import statistics
import struct
import time
from multiprocessing.connection import Connection

import uvloop
from fastapi import FastAPI

from edgebed.emulation.awake import kept_awake, to_keep_awake
from edgebed.emulation.clock import Clock
from edgebed.emulation.links import PacedLink, TransferEnd
from edgebed.emulation.priority import take_priority
from edgebed.wire.client import Peer
from edgebed.wire.routes import HotRoutes
from edgebed.wire.server import serve
from tests.benchmarks.result import Result, limit, stolen_s

LINKS = 10
TRANSFERS = 60
"""Per link; about four seconds."""
RUNS, KEPT = 9, 3
"""On a virtual machine the host takes processors away for milliseconds, in which no process can be on time. So of several
runs those count from which it took least, whatever their errors."""
RATES_MBPS = (10.0, 40.0)
SIZES_KB = (500, 2500)
_HEAD = struct.Struct("<I")

Errors = list[float]


class _Receiver:
    """Notes when the last byte of a transfer has come."""

    def __init__(self, number: int, ended: dict[int, float]) -> None:
        self._number, self._ended = number, ended

    def received(self, count: int) -> None:
        pass

    def complete(self) -> bytes:
        self._ended[self._number] = time.monotonic()
        return b""

    def lost(self) -> None:
        raise AssertionError("a transfer was cut")


def _receive(pipe: Connection, first: bool) -> None:
    if first:
        take_priority()

    async def main() -> None:
        ended: dict[int, float] = {}
        routes = HotRoutes(uploads={"/v1/tasks": lambda head, _: _Receiver(_HEAD.unpack(head)[0], ended)})
        server = serve(FastAPI(), routes, ("127.0.0.1", 0))
        await server.start()
        pipe.send(server.address)
        await asyncio.to_thread(pipe.recv)
        pipe.send(ended)
        await server.stop()

    uvloop.run(main())


async def _chain(
    link: PacedLink, clock: Clock, first: int, sizes: list[int], rate: float, begins: float
) -> list[float]:
    """Transfers behind one another, each from the planned end of the one before; returns what was planned to begin."""
    planned = []
    for number, size in enumerate(sizes, first):
        ended: asyncio.Future[TransferEnd] = asyncio.get_running_loop().create_future()
        link.send(_HEAD.pack(number), size, rate, begins, ended.set_result)
        end = await ended
        assert end.outcome == "sent", end
        planned.append(begins)
        begins += size / rate
    return planned


async def _send(address: str, seed: int) -> dict[int, tuple[float, float]]:
    """(planned beginning, s / r) of every transfer."""
    rng = random.Random(seed)
    clock = Clock()
    peer = Peer(address)
    payload = memoryview(os.urandom(1 << 20))
    links = [PacedLink(clock, peer, "/v1/tasks", payload) for _ in range(LINKS)]
    await asyncio.sleep(0.2)
    rates = [rng.uniform(*RATES_MBPS) * 1e6 for _ in links]
    sizes = [[rng.randrange(*SIZES_KB) * 1024 for _ in range(TRANSFERS)] for _ in links]
    begins = [clock.now() + 0.1 + rng.uniform(0, 0.1) for _ in links]
    chains = await asyncio.gather(
        *(_chain(links[k], clock, k * TRANSFERS, sizes[k], rates[k], begins[k]) for k in range(LINKS))
    )
    await asyncio.sleep(0.1)
    for link in links:
        link.close()
    await peer.close()
    clock.close()
    return {
        k * TRANSFERS + n: (begin, sizes[k][n] / rates[k])
        for k, chain in enumerate(chains)
        for n, begin in enumerate(chain)
    }


def _measure(pipe: Connection, seed: int, first: bool) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    receiver = context.Process(target=_receive, args=(theirs, first))
    receiver.start()
    if first:
        take_priority()
    planned = uvloop.run(_send(ours.recv(), seed))
    ours.send(None)
    ended: dict[int, float] = ours.recv()
    receiver.join()
    pipe.send(sorted(abs(ended[k] - begin - length) / length for k, (begin, length) in planned.items()))


def measure(seed: int = 1, *, first: bool = False) -> Errors:
    """Relative errors of all transfers, sorted; with `first`, both processes ask for precedence over others."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    sender = context.Process(target=_measure, args=(theirs, seed, first))
    sender.start()
    theirs.close()
    errors: Errors = ours.recv()
    sender.join()
    return errors


def _shown(errors: Errors) -> str:
    return ", ".join(f"p{share * 100:g} {_quantile(errors, share):.3g} %" for share in (0.5, 0.9, 0.99, 1))


def _quantile(errors: Errors, share: float) -> float:
    return errors[round(share * (len(errors) - 1))] * 100


def _burn_half_a_core() -> None:
    while True:
        until = time.monotonic() + 0.005
        while time.monotonic() < until:
            pass
        time.sleep(0.005)


def bench_pacing() -> list[Result]:
    """The bars, as nodes run; and what remains when somebody else needs half a core, with precedence and without."""
    with kept_awake(to_keep_awake("auto")):
        return _pacing()


def _pacing() -> list[Result]:
    runs: list[tuple[float, Errors]] = []
    for seed in range(1, RUNS + 1):
        before = stolen_s()
        errors = measure(seed, first=True)
        runs.append((stolen_s() - before, errors))
        print(f"pacing, run {seed}: {_shown(errors)}; {1000 * runs[-1][0]:.0f} ms stolen by the host")
    kept = [errors for _, errors in sorted(runs, key=lambda run: run[0])[:KEPT]]
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=_burn_half_a_core, daemon=True)
    other.start()
    try:
        print(f"pacing while another process burns half a core, without precedence: {_shown(measure())}")
        print(f"pacing while it does, with precedence where permitted: {_shown(measure(first=True))}")
    finally:
        other.kill()
        other.join()
    return [
        limit(
            "pacing, 10 links at 10-40 MB/s: error p50", "%", statistics.median(_quantile(e, 0.5) for e in kept), 0.3
        ),
        limit("pacing, 10 links at 10-40 MB/s: error p99", "%", statistics.median(_quantile(e, 0.99) for e in kept), 2),
    ]
