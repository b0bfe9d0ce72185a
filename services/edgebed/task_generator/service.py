"""The generator of one process: one episode at a time, and the connections to the nodes, kept from episode to episode."""

import asyncio
import contextlib
import time
from typing import Any

from edgebed.emulation.clock import Clock
from edgebed.live.documents import TaskGeneratorSettings
from edgebed.live.in_use import InUse
from edgebed.metrics import Histogram
from edgebed.task_generator.emission import Emission
from edgebed.task_generator.lateness import EDGES_S
from edgebed.task_generator.plan import Plan, Refused, read_plan
from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerError
from edgebed.wire.generated import testbed_pb2 as pb


class Generator:
    """Made on the event loop that it is to run on."""

    def __init__(
        self, clock: Clock, *, token: str | None = None, settings: InUse[TaskGeneratorSettings] | None = None
    ) -> None:
        """`settings` may change while it runs."""
        self.clock = clock
        self._settings = settings or InUse(TaskGeneratorSettings)
        self._token = token
        self._peers: dict[str, Peer] = {}
        self._opening: asyncio.Task[None] | None = None
        self.emission: Emission | None = None
        self.episodes = 0
        self.lateness = Histogram(EDGES_S)
        """Of all slots so far, in seconds."""
        self._emitted = self._failed = 0

    @property
    def emitted(self) -> int:
        """Tasks handed over since the process began."""
        return self._emitted + (0 if self.emission is None else self.emission.emitted)

    @property
    def failed(self) -> int:
        """Tasks that no node took since the process began."""
        return self._failed + (0 if self.emission is None else self.emission.failed.total())

    def begin(self, message: pb.EpisodePlan) -> Plan:
        """Emits a plan from its start on. Raises Refused while another one runs, or for a plan that is not allowed."""
        running = self.emission
        if running is not None and not running.done:
            raise Refused(
                f"episode {running.plan.episode} of run {running.plan.run} runs; wait for it, or stop it with "
                "DELETE /v1/episodes/current",
                status=409,
            )
        plan = read_plan(message, time.time_ns())
        self._emitted, self._failed = self.emitted, self.failed
        peers = [self._peer(address) for address in plan.addresses]
        self.emission = Emission(plan, self.clock, peers, self.lateness, self._settings)
        self.episodes += 1
        self._opening = asyncio.get_running_loop().create_task(_open(peers), name="open")
        self.emission.start()
        return plan

    def progress(self) -> dict[str, Any]:
        """The current episode, or the last one, as JSON."""
        if self.emission is None:
            return {"run": None, "episode": None, "emitted": 0, "total": 0, "failedNodes": [], "done": True}
        return self.emission.progress()

    def stop(self) -> dict[str, Any]:
        """Emits nothing any more; returns how far it was."""
        if self.emission is not None:
            self.emission.stop()
        return self.progress()

    async def close(self) -> None:
        """Stops, and closes all connections."""
        self.stop()
        if self._opening is not None:
            self._opening.cancel()
        for peer in self._peers.values():
            await peer.close()
        self._peers.clear()

    def _peer(self, address: str) -> Peer:
        if address not in self._peers:
            self._peers[address] = Peer(address, token=self._token)
        return self._peers[address]


async def _open(peers: list[Peer]) -> None:
    """Connections are there before the first slot begins, so that it does not pay for opening them."""

    async def one(peer: Peer) -> None:
        with contextlib.suppress(PeerError):  # who is away is named with the first task that it does not take
            await peer.open()

    await asyncio.gather(*(one(peer) for peer in peers))
