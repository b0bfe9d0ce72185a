"""How a node decides is changed while it works; a model that is not what was announced changes nothing."""

import asyncio
import hashlib
import threading
from itertools import pairwise

import numpy as np
import pytest

from edgebed.edge_node.configuration import Configuration
from edgebed.stores.artefacts import LocalArtefacts
from edgebed.systems.cooperative.actor import ActorWeights
from edgebed.systems.cooperative.network import NetworkModel
from edgebed.systems.cooperative.observation import ObservationSpecification
from edgebed.wire.generated import testbed_pb2 as pb
from tests.unit.edge_node.fleet import CAPACITY, bare, playing, run, task, until

FILE = "actor.safetensors"


def actor_of(fleet, nodes: int = 2) -> ActorWeights:
    """An actor of random weights for networks like the fleet's."""
    addresses = [f"http://127.0.0.1:{9000 + k}" for k in range(nodes)]
    context = Configuration.model_validate(fleet.configuration(0, addresses)).context()
    observation = ObservationSpecification.paper(NetworkModel.around(context.network), context.workload)
    rng = np.random.default_rng(3)
    sizes = [observation.static_size + observation.dynamic_size, 8, 8, nodes + 1]
    layers = [
        (rng.normal(scale=0.1, size=(i, o)).astype(np.float32), np.zeros(o, np.float32)) for i, o in pairwise(sizes)
    ]
    return ActorWeights(observation, (layers[0], layers[1], layers[2]))


def test_a_scheduler_is_changed_in_the_middle_of_an_episode():
    """What waits stays where it is; what arrives from then on is decided anew, under the new version."""

    async def test() -> None:
        async with playing(2) as fleet:
            assert await fleet.arrive(0, task(1, cycles=CAPACITY * 0.2), task(2)) == 200
            answer = await fleet.put(
                0, "/v1/scheduler", {"version": 2, "kind": "fixed", "decisions": [[0, 0, 1], [1, 0, 1]]}
            )
            assert answer == {"version": 2}
            assert await fleet.arrive(0, task(3), task(4, slot=1)) == 200
            records = await fleet.log.has(4)
            assert [records[k].place for k in (1, 2, 3, 4)] == [0, 0, 1, 1]
            assert [records[k].task.model_version for k in (1, 2, 3, 4)] == [1, 1, 2, 2]
            assert {record.status for record in records.values()} == {pb.SUCCEEDED}
            assert (await fleet.finish(0))["fault"] is None

    run(test())


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"kind": "nobody-knows"}, "nobody-knows"),
        ({"kind": "ratc", "parameters": {"colour": 3}}, "colour"),
        ({"kind": "ratc", "decisions": [[0, 0, 0]]}, "decisions"),
        ({"kind": "fixed"}, "decisions"),
        ({"kind": "actor"}, "model"),
        ({"kind": "actor", "parameters": {"model": "a/file"}}, "model"),
        ({"kind": "local", "version": -1}, "version"),
    ],
)
def test_a_choice_that_is_not_allowed_changes_nothing(choice, said):
    async def test() -> None:
        async with playing(1) as fleet:
            before = fleet.nodes[0].scheduler
            problem = await fleet.put(0, "/v1/scheduler", {"version": 2, **choice}, 422)
            assert said in problem["detail"]
            assert fleet.nodes[0].scheduler is before
            assert await fleet.arrive(0, task(1)) == 200
            assert (await fleet.log.has(1))[1].task.model_version == 1

    run(test())


def test_a_model_is_used_or_refused_with_the_reason(tmp_path):
    """Refused: another content, another observation, a damaged file, another network, none of that name or no name."""

    async def test() -> None:
        store = LocalArtefacts(tmp_path)
        async with bare(2, artefacts=store) as fleet:
            await fleet.configure()
            await fleet.decide()
            await fleet.begin()
            actor = actor_of(fleet)
            content = actor.to_bytes()
            digest = hashlib.sha256(content).hexdigest()
            broken, larger = content[:-40], actor_of(fleet, 3).to_bytes()
            store.publish("models/good", {FILE: content}, {})
            store.publish("models/broken", {FILE: broken}, {})
            store.publish("models/larger", {FILE: larger}, {})
            store.publish("models/damaged", {FILE: content}, {})
            for file in (tmp_path / "models" / "damaged").glob("actor*"):
                file.write_bytes(content[:100] + b"\0" + content[101:])
            good = {"name": "models/good", "sha256": digest, "observation": actor.observation.digest}
            wrong = {
                "sha256": {**good, "sha256": "0" * 64},
                "see something else": {**good, "observation": "0" * 64},
                "is damaged": {**good, "name": "models/damaged"},
                "the file is damaged or not an actor": {
                    **good,
                    "name": "models/broken",
                    "sha256": hashlib.sha256(broken).hexdigest(),
                },
                "networks of 3 nodes": {
                    "name": "models/larger",
                    "sha256": hashlib.sha256(larger).hexdigest(),
                },
                "there is no artefact": {**good, "name": "models/none"},
                "is not a name": {**good, "name": "../outside"},
                "has no file": {**good, "file": "another"},
            }
            before = fleet.nodes[0].scheduler
            for said, model in wrong.items():
                problem = await fleet.put(0, "/v1/scheduler", {"version": 2, "kind": "actor", "model": model}, 422)
                assert said in problem["detail"], (said, problem)
                assert fleet.nodes[0].scheduler is before
            assert await fleet.arrive(0, task(1)) == 200
            await fleet.put(0, "/v1/scheduler", {"version": 3, "kind": "actor", "model": good})
            assert await fleet.arrive(0, task(2)) == 200
            records = await fleet.log.has(2)
            assert [records[k].task.model_version for k in (1, 2)] == [1, 3]
            assert records[1].task.probability == 1  # to stay at home was certain
            assert 0 < records[2].task.probability < 1

    run(test())


class Slow(LocalArtefacts):
    """Reads wait for their turn."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.waiting, self.turn = threading.Event(), threading.Event()

    def open(self, name):
        self.waiting.set()
        assert self.turn.wait(20)
        return super().open(name)


@pytest.mark.parametrize("by", ["order", "model", "configuration"])
def test_an_order_that_is_overtaken_while_its_model_is_fetched_changes_nothing(tmp_path, by):
    """The node works meanwhile; what came later counts, although it was ready earlier, and the first is told so."""

    async def test() -> None:
        store = Slow(tmp_path)
        async with bare(2, artefacts=store) as fleet:
            await fleet.configure()
            await fleet.decide()
            content = actor_of(fleet).to_bytes()
            store.publish("models/x", {FILE: content}, {})
            model = {"name": "models/x", "sha256": hashlib.sha256(content).hexdigest()}
            choice = {"version": 2, "kind": "actor", "model": model}
            first = asyncio.create_task(fleet.put(0, "/v1/scheduler", choice, 409))
            await until(store.waiting.is_set)
            if by == "configuration":
                await fleet.put(0, "/v1/configuration", fleet.configuration(0, version=7))
            elif by == "order":
                await fleet.begin()
                await fleet.put(0, "/v1/scheduler", {"version": 3, "kind": "ratc"})
                assert await fleet.arrive(0, task(1)) == 200
                assert (await fleet.log.has(1))[1].task.model_version == 3
            else:
                later = asyncio.create_task(fleet.put(0, "/v1/scheduler", {**choice, "version": 3}))
                while fleet.nodes[0]._orders < 4:  # one each of configuration, local, and the two models
                    await asyncio.sleep(0.002)
            store.turn.set()
            assert "scheduler 2 was overtaken" in (await first)["detail"]
            if by == "model":
                assert await later == {"version": 3}
            scheduler = fleet.nodes[0].scheduler
            expected = {"order": ("ratc", 3), "model": ("actor", 3), "configuration": None}[by]
            assert (scheduler and (scheduler.kind, scheduler.version)) == expected

    run(test())


def test_a_node_without_a_store_says_so():
    async def test() -> None:
        async with playing(1) as fleet:
            model = {"name": "models/x", "sha256": "0" * 64}
            problem = await fleet.put(0, "/v1/scheduler", {"version": 2, "kind": "actor", "model": model}, 409)
            assert "EDGEBED_ARTEFACTS" in problem["detail"]

    run(test())
