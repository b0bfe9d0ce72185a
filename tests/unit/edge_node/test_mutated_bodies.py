"""Ten thousand spoilt bodies: each is refused and changes nothing, or is a task or question like any other.

The log of these tests refuses what the task log refuses, so a spoilt task that a node takes has a record that counts.
"""

import random

import pytest

from edgebed.wire.frames import varint
from edgebed.wire.generated import testbed_pb2 as pb
from tests.unit.edge_node.fleet import EPISODE, RUN, playing, run, task, transfer
from tests.unit.wire.test_mutations import mutated

BODIES = 10_000
SEEDS = [1, 2]


@pytest.mark.parametrize("seed", SEEDS)
def test_spoilt_bodies_are_refused_or_count_like_any_other(seed):
    rng = random.Random(seed)
    probe = pb.Probe(run=RUN, episode=EPISODE, slot=3, asker=1).SerializeToString()

    async def test() -> None:
        async with playing() as fleet:
            node = fleet.nodes[0]
            episode = node.episode
            assert episode is not None
            arrived = received = refused = 0
            for number in range(BODIES // len(SEEDS)):
                kind = rng.choice(["/v1/arrivals", "/v1/arrivals", "/v1/tasks", "/v1/tasks", "/v1/probe"])
                if kind == "/v1/arrivals":
                    tasks = [task(3 * number + k, size_bits=80, cycles=1e4) for k in range(rng.choice([1, 1, 3]))]
                    body = mutated(pb.Arrivals(tasks=tasks).SerializeToString(), rng)
                elif kind == "/v1/tasks":
                    head = transfer(number, 1, 0, size_bits=80, cycles=1e4).SerializeToString()
                    body = mutated(varint(len(head)) + head + bytes(10), rng)
                else:
                    body = mutated(probe, rng)
                before = (episode.created, len(episode._taken), node.measured.received_bytes)
                queues = fleet.state(0) if kind == "/v1/probe" else None
                status = await fleet.post(0, kind, body)
                assert status == 200 or 400 <= status < 500, (seed, kind, body.hex(), status)
                after = (episode.created, len(episode._taken), node.measured.received_bytes)
                what = (seed, number, kind, body.hex(), status)
                if status != 200 or kind == "/v1/probe":
                    assert after == before, what
                    assert queues is None or fleet.state(0)[0] == queues[0], what
                    refused += status != 200
                elif kind == "/v1/arrivals":
                    count = len(pb.Arrivals.FromString(body).tasks)
                    assert after[0] == before[0] + count, what
                    arrived += count
                else:
                    assert after[1] == before[1] + 1, what
                    received += 1
            assert node.fault is None, (seed, node.fault)
            assert min(arrived, received, refused) > 50, (seed, arrived, received, refused)
            end = await fleet.finish(0)
            assert end["created"] == arrived, seed
            assert sum(end["ended"].values()) == arrived + received, seed
            assert (end["recordsDelivered"], end["recordsRefused"]) == (True, 0), seed
            assert len(fleet.log.records) == arrived + received, seed

    run(test(), 120)
