"""Configurations, and who may ask for one."""

import asyncio

import httpx
import pytest

from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerRefused
from edgebed.wire.generated import testbed_pb2 as pb
from tests.unit.edge_node.fleet import bare, network, playing, run, task, transfer, until

HERE, THERE = "http://127.0.0.1:9001", "http://127.0.0.1:9002"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"node": 2}, "node"),
        ({"addresses": [HERE]}, "addresses"),
        ({"addresses": [HERE, "ftp://127.0.0.1:9"]}, "addresses"),
        ({"addresses": [HERE, "http://127.0.0.1:99999"]}, "addresses[1]"),
        ({"log": "http://127.0.0.1:99999"}, "log"),
        ({"network": {}}, "capacityHz"),
        ({"network": network(1)}, "nodes"),
        ({"network": {**network(2), "capacityHz": [-1, 1]}}, "capacityHz"),
        ({"slotSeconds": 0}, "slotSeconds"),
        ({"slotSeconds": "NaN"}, "slotSeconds"),
        ({"application": {"kind": "nobody-knows"}}, "application"),
        ({"rules": {"horizon": "never"}}, "horizon"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_configuration_that_is_not_allowed_leaves_the_one_in_use(changes, said):
    async def test() -> None:
        async with bare(2) as fleet:
            await fleet.configure()
            await fleet.decide()
            body = {**fleet.configuration(0), "version": 2, **changes}
            assert said in (await fleet.put(0, "/v1/configuration", body, 422))["detail"]
            assert fleet.nodes[0].configuration.version == 1
            await fleet.begin()
            assert await fleet.arrive(0, task(1)) == 200
            await fleet.log.has(1)

    run(test())


def test_what_needs_something_first_says_what():
    async def test() -> None:
        async with bare(1) as fleet:
            at = fleet.servers[0].address
            start = {"run": "r", "episode": 1, "startsAtUnixNs": 1, "slots": 1, "decisionKey": "1"}
            for method, path, body in (
                ("PUT", "/v1/scheduler", {"version": 1, "kind": "local"}),
                ("POST", "/v1/episodes", start),
                ("POST", "/v1/episodes/finish", {"run": "r", "episode": 1}),
            ):
                answer = await fleet.http.request(method, f"{at}{path}", json=body)
                assert answer.status_code == 409, (path, answer.text)
            assert await fleet.arrive(0, task(1)) == 409
            assert await fleet.upload(0, transfer(1, 1, 0).SerializeToString(), 100_000) == 409
            assert await fleet.post(0, "/v1/probe", pb.Probe(run="run", episode=1, asker=1).SerializeToString()) == 409
            await fleet.configure()
            assert "scheduler" in (await fleet.http.post(f"{at}/v1/episodes", json=start)).json()["detail"]

    run(test())


def test_nothing_but_the_end_is_changed_while_an_episode_runs():
    async def test() -> None:
        async with playing(1) as fleet:
            episode = fleet.nodes[0].episode
            assert "finish it" in (await fleet.put(0, "/v1/configuration", fleet.configuration(0), 409))["detail"]
            again = {"run": "run", "episode": 2, "startsAtUnixNs": 1, "slots": 1, "decisionKey": "1"}
            answer = await fleet.http.post(f"{fleet.servers[0].address}/v1/episodes", json=again)
            assert answer.status_code == 409
            assert fleet.nodes[0].episode is episode
            assert await fleet.arrive(0, task(1)) == 200
            await fleet.log.has(1)
            await fleet.finish(0)
            await fleet.configure()
            assert fleet.nodes[0].episode is None

    run(test())


def test_configurations_are_put_in_use_one_after_the_other():
    """Meanwhile nothing begins; the last one counts, and nothing of the others is left."""

    async def test() -> None:
        async with bare(2) as fleet:
            await fleet.configure()
            at = fleet.servers[0].address
            bodies = [{**fleet.configuration(0), "version": version} for version in range(2, 8)]
            answers = await asyncio.gather(*(fleet.http.put(f"{at}/v1/configuration", json=body) for body in bodies))
            assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 8))
            recorders = [task for task in asyncio.all_tasks() if task.get_name() == "recorder"]
            assert len(recorders) == len(fleet.nodes)
            await fleet.decide()
            await fleet.begin()
            assert await fleet.arrive(0, task(1)) == 200
            await fleet.log.has(1)

    run(test())


def test_a_token_that_is_set_is_required_everywhere_and_borne_by_the_nodes():
    async def test() -> None:
        async with bare(2, token="hush") as fleet:
            address = fleet.servers[0].address
            async with httpx.AsyncClient() as stranger:
                for method, path in (
                    ("PUT", "/v1/configuration"),
                    ("PUT", "/v1/scheduler"),
                    ("POST", "/v1/episodes"),
                    ("POST", "/v1/episodes/finish"),
                    ("GET", "/v1/episodes/current"),
                    ("GET", "/v1/state"),
                    ("GET", "/metrics"),
                    ("GET", "/openapi.json"),
                ):
                    for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "Basic hush"}):
                        answer = await stranger.request(method, f"{address}{path}", json={}, headers=headers)
                        assert answer.status_code == 401, (method, path)
                        assert answer.json()["title"] == "Not authorised"
            await fleet.configure()
            await fleet.send_all(1)
            await fleet.begin()
            for token in (None, "other"):
                peer = Peer(address, token=token)
                for path in ("/v1/arrivals", "/v1/probe", "/v1/announce", "/v1/tasks"):
                    with pytest.raises(PeerRefused, match="401"):
                        await peer.post(path, pb.Arrivals(tasks=[task(9)]).SerializeToString())
                await peer.close()
            assert fleet.nodes[0].episode.created == 0
            assert await fleet.arrive(0, task(1)) == 200
            await until(lambda: fleet.nodes[1].episode.ended)
            assert sum(fleet.nodes[1].episode.ended.values()) == 1

    run(test())
