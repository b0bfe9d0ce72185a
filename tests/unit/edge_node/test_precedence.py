"""What a node does before other nodes, on a machine with many."""

from tests.unit.edge_node.fleet import RATE, playing, run, transfer, until


def test_a_transfer_takes_precedence_at_its_receiver_for_its_last_bytes():
    """And not before, and not after its end, complete or cut."""

    async def test():
        async with playing(2) as fleet:
            node, claims = fleet.nodes[0], fleet.clock.precedence._at_once
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
