"""The generator hands over every task at its slot's start, to all nodes at once, and says which nodes did not take theirs."""

import asyncio
from typing import Any

import httpx
import pytest

from edgebed.task_generator.metrics import GENERATOR_METRICS
from edgebed.task_generator.plan import Refused, read_plan
from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerRefused
from tests.metrics_page import shown, value
from tests.unit.task_generator.conftest import World, plan


async def begin(world: World, message, client: Peer | None = None) -> None:
    peer = client or Peer(world.server.address, token=world.token)
    await peer.post("/v1/episodes", message.SerializeToString())


async def done(world: World) -> dict[str, Any]:
    """How it went, as a client sees it."""
    headers = {} if world.token is None else {"Authorization": f"Bearer {world.token}"}
    async with httpx.AsyncClient(base_url=world.server.address, headers=headers) as client:
        while not (answer := (await client.get("/v1/episodes/current")).json())["done"]:
            await asyncio.sleep(0.01)
        return dict(answer)


def test_every_task_arrives_once_and_at_its_slot(run):
    async def body(world):
        message = plan(world.addresses)
        await begin(world, message)
        answer = await done(world)
        assert (answer["run"], answer["episode"]) == ("r", 4)
        assert answer["emitted"] == answer["total"] == len(message.tasks)
        assert answer["failedTasks"] == 0
        assert answer["failedNodes"] == []
        arrived = [(at, task) for node in world.nodes for at, task in node.arrived]
        assert sorted(task.number for _, task in arrived) == list(range(len(message.tasks)))
        for node in range(3):
            assert {task.source for _, task in world.nodes[node].arrived} == {node}
        for at, task in arrived:
            assert (task.run, task.episode) == ("r", 4)
            late_s = (at - message.starts_at_unix_ns) / 1e9 - task.slot * message.slot_s
            assert -0.001 < late_s < 0.25  # never early; late by no more than a busy machine makes it
        late = answer["latenessSeconds"]
        assert 0 <= late["p50"] <= late["p99"] <= late["max"]

    run(body)


def test_the_schedule_does_not_drift(run):
    """Every slot's lateness is against the start of the episode: the last ones are no later than the first."""

    async def body(world):
        message = plan(world.addresses, slots=40, slot_s=0.01)
        await begin(world, message)
        await done(world)
        late = world.generator.emission.lateness_s
        assert len(late) == 40
        assert sorted(late[30:])[5] < sorted(late[:10])[5] + 0.005

    run(body)


def test_a_node_that_is_away_is_named_and_the_others_go_on(run):
    async def body(world):
        gone = world.addresses[1]
        await world.servers[1].stop(0.1)
        message = plan([world.servers[0].address, gone, world.servers[2].address], slots=5)
        await begin(world, message)
        answer = await done(world)
        assert [(failed["node"], failed["tasks"]) for failed in answer["failedNodes"]] == [(1, 4)]
        assert gone in answer["failedNodes"][0]["reason"]
        assert answer["failedTasks"] == 4
        assert len(world.nodes[0].arrived) == 5
        assert len(world.nodes[2].arrived) == 4

    run(body)


def test_a_silent_node_holds_nobody_up(run):
    """A node that accepts connections and never answers costs the others no lateness."""

    async def body(world):
        async def listen(reader, writer):
            await reader.read(-1)  # until the generator gives up
            writer.close()

        silent = await asyncio.start_server(listen, "127.0.0.1", 0)
        addresses = [world.addresses[0], f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}", world.addresses[2]]
        message = plan(addresses, slots=5)
        await begin(world, message)
        answer = await done(world)
        await world.generator.close()
        silent.close()
        await silent.wait_closed()
        assert [(failed["node"], failed["tasks"]) for failed in answer["failedNodes"]] == [(1, 4)]
        for node in (0, 2):
            for at, task in world.nodes[node].arrived:
                assert (at - message.starts_at_unix_ns) / 1e9 - task.slot * message.slot_s < 0.25

    run(body)


def test_one_episode_at_a_time_until_it_is_stopped(run):
    async def body(world):
        await begin(world, plan(world.addresses, slots=100, lead_s=5))
        with pytest.raises(PeerRefused) as caught:
            await begin(world, plan(world.addresses))
        assert caught.value.status == 409
        assert "DELETE /v1/episodes/current" in caught.value.problem["detail"]
        async with httpx.AsyncClient(base_url=world.server.address) as client:
            answer = (await client.delete("/v1/episodes/current")).json()
        assert answer["stopped"]
        assert answer["done"]
        await begin(world, plan(world.addresses, slots=3))
        assert (await done(world))["emitted"] == 7
        assert all(task.slot < 3 for node in world.nodes for _, task in node.arrived)

    run(body)


def test_nodes_ask_for_the_token_and_so_does_the_generator(run):
    async def body(world):
        message = plan(world.addresses, slots=3)
        with pytest.raises(PeerRefused) as caught:
            await begin(world, message, Peer(world.server.address))
        assert caught.value.status == 401
        await begin(world, message)
        answer = await done(world)
        assert answer["failedNodes"] == []
        assert answer["emitted"] == 7

    run(body, token="secret")


def test_people_may_send_json(run):
    async def body(world):
        from google.protobuf.json_format import MessageToDict

        async with httpx.AsyncClient(base_url=world.server.address) as client:
            answer = await client.post("/v1/episodes", json=MessageToDict(plan(world.addresses, slots=2)))
            assert answer.status_code == 200
        assert (await done(world))["emitted"] == 6

    run(body)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: setattr(m, "run", ""), "run: give"),
        (lambda m: setattr(m, "slot_s", float("nan")), "slotS: nan"),
        (lambda m: setattr(m, "slots", 0), "slots: 0"),
        (lambda m: m.ClearField("addresses"), "addresses: 0"),
        (lambda m: m.addresses.__setitem__(1, "https://x"), "addresses[1]: 'https://x'"),
        (lambda m: setattr(m, "starts_at_unix_ns", m.starts_at_unix_ns - 10**9), "startsAtUnixNs: -0."),
        (lambda m: setattr(m, "starts_at_unix_ns", m.starts_at_unix_ns + 10**12), "startsAtUnixNs: 1000."),
        (lambda m: setattr(m.tasks[3], "slot", 8), "task 3: slot 8"),
        (lambda m: setattr(m.tasks[3], "source", 3), "task 3: source 3"),
        (lambda m: setattr(m.tasks[3], "number", 2), "task 2: is given twice"),
        (lambda m: setattr(m.tasks[3], "cycles", -1.0), "task 3: cycles -1.0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_what_would_be_right(change, said):
    message = plan([f"http://127.0.0.1:{port}" for port in (1, 2, 3)])
    now = message.starts_at_unix_ns - 100_000_000
    read_plan(message, now)
    change(message)
    with pytest.raises(Refused) as caught:
        read_plan(message, now)
    assert said in str(caught.value)


def test_metrics_count_over_episodes(run):
    async def body(world):
        for _ in range(2):
            await begin(world, plan(world.addresses, slots=2))
            await done(world)
        async with httpx.AsyncClient(base_url=world.server.address) as client:
            text = (await client.get("/metrics")).text
        samples = shown(text, GENERATOR_METRICS)
        assert value(samples, "edgebed_generator_episodes_total") == 2
        assert value(samples, "edgebed_generator_tasks_total") == 12
        assert value(samples, "edgebed_generator_slot_lateness_seconds_bucket", le="+Inf") == 4

    run(body)
