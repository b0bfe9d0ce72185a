"""What a node does at once and what it lets wait, on a machine with many nodes."""

import asyncio

from edgebed.edge_node import service
from edgebed.emulation.priority import Precedence
from tests.unit.edge_node.fleet import CAPACITY, RATE, playing, run, task, transfer, until


def test_arrivals_let_other_nodes_go_first_unless_something_is_due_here(monkeypatch):
    """A slot's work bears to wait, but not together with the end of a transfer or of an execution."""

    class Watched(Precedence):
        def __init__(self):
            super().__init__()
            self.seen = []

        def later(self, *, wanted):
            super().later(wanted=wanted)
            self.seen.append(wanted)

    async def test():
        async with playing(2) as fleet:
            node = fleet.nodes[0]
            precedence = node.precedence = Watched()
            assert await fleet.arrive(0, task(1, cycles=CAPACITY)) == 200
            await asyncio.sleep(0.01)
            assert precedence.seen == [True, False]
            assert node.episode.nothing_due(0.5)
            assert not node.episode.nothing_due(2.0)  # the execution ends
            monkeypatch.setattr(service, "ARRIVALS_S", 2.0)
            assert await fleet.arrive(0, task(2)) == 200
            await asyncio.sleep(0.01)
            assert precedence.seen == [True, False]

    run(test())


def test_a_transfer_takes_precedence_at_its_receiver_for_its_last_bytes():
    """And not before, and not after its end, complete or cut."""

    async def test():
        async with playing(2) as fleet:
            node, claims = fleet.nodes[0], fleet.nodes[0].precedence._at_once
            size = round(RATE * 0.1 / 8)
            for number, cut in ((1, False), (2, True)):
                head = transfer(number, 1, 0, size_bits=RATE * 0.1)
                upload = await fleet.peers[0].upload("/v1/tasks", head.SerializeToString(), size)
                upload.write(bytes(size // 2))
                await until(lambda: node.measured.received_bytes >= size // 2)
                assert not claims
                upload.write(bytes(size - size // 2 - 1))
                await until(lambda: bool(claims))
                node.measured.received_bytes = 0
                if cut:
                    upload.cut()
                else:
                    upload.write(bytes(1))
                    await upload.finish(5.0)
                await until(lambda: not claims)

    run(test())
