"""Services with Nacos as their coordination: they find each other there, and what people publish there reaches all of them."""

import os
import time

import httpx
import pytest
import yaml

from tests import servers
from tests.services.experiment import LIMIT_S, TOKEN, answers, specification
from tests.stores.nacos_server import Server

REACH_S = 40.0
"""Ten times what it should take, and more; what it takes is printed."""


@pytest.fixture
def nacos():
    return Server(servers.need("nacos"))


@pytest.fixture
def client():
    with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False, timeout=20) as made:
        yield made


def wait(condition, what):
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < REACH_S, what()
        time.sleep(0.02)
    return time.monotonic() - begin


def test_services_meet_in_nacos_and_use_what_is_published_there(nacos, serve, client):
    """By the controller's API or in Nacos's console; an experiment runs, and nobody was told where the controller is."""
    with nacos.namespace() as namespace:
        common = {"EDGEBED_COORDINATION": f"nacos://{nacos.address}/{namespace}"}
        controller, _ = serve("controller", EDGEBED_CACHE="cache-controller", **common)
        answers(controller)
        nodes = [
            serve("edge-node", EDGEBED_NODE=f"node-{k}", EDGEBED_CACHE=f"cache-{k}", **common)[0] for k in range(3)
        ]
        generator, _ = serve("task-generator", EDGEBED_CACHE="cache-generator", **common)
        for address in (*nodes, generator):
            answers(address)

        def state(address):
            return client.get(f"{address}/v1/state").json()

        def shown(key, address):
            return state(address)["configuration"][key]

        everybody = [controller, *nodes, generator]
        wait(
            lambda: all(state(a)["coordination"]["fault"] is None for a in everybody),
            lambda: list(map(state, everybody)),
        )
        wait(lambda: state(nodes[0])["coordination"]["controller"] == controller, lambda: state(nodes[0]))
        assert state(nodes[0])["coordination"]["kind"] == "nacos"
        wait(lambda: len(nacos.names(namespace, "edge-node")) == 3, lambda: nacos.names(namespace, "edge-node"))
        assert nacos.names(namespace, "controller") == ["controller"]

        document = yaml.safe_load(specification(episodes=6))
        assert client.post(f"{controller}/v1/experiments", json=document).status_code == 202
        text = "probeTimeoutSeconds: 0.75"
        published = client.put(f"{controller}/v1/configuration/edge-node", json={"text": text})
        assert published.status_code == 200, published.text
        version = published.json()["version"]
        took_s = wait(lambda: all(shown("edge-node", n)["version"] == version for n in nodes), lambda: state(nodes[0]))
        print(f"a change by the controller was shown by every node after {took_s:.3f} s")

        nacos.set_by_hand(namespace, "policies", "defaults: {rda: {coefficient: 0.5}}")
        wanted = {"rda": {"coefficient": 0.5}}
        took_s = wait(
            lambda: all(shown("policies", a)["values"]["defaults"] == wanted for a in everybody),
            lambda: list(map(state, everybody)),
        )
        print(f"a change in Nacos was shown by every service after {took_s:.3f} s")
        assert len({shown("policies", a)["version"] for a in everybody}) == 1

        nacos.set_by_hand(namespace, "edge-node", "probeTimeoutSeconds: 99")
        wait(lambda: all(shown("edge-node", n)["refused"] for n in nodes), lambda: state(nodes[0]))
        assert shown("edge-node", nodes[2])["values"]["probeTimeoutSeconds"] == 0.75

        overview = client.get(f"{controller}/v1/configuration").json()
        assert overview["away"] == []
        assert {one["name"] for one in overview["keys"]["edge-node"]["inUse"]} == {"node-0", "node-1", "node-2"}
        refused = client.put(f"{controller}/v1/registry/trainer/t", json={"address": "http://127.0.0.1:9"})
        assert refused.status_code == 409

        until = time.monotonic() + LIMIT_S
        while (now := client.get(f"{controller}/v1/experiments/small").json())["state"] == "running":
            assert time.monotonic() < until
            time.sleep(0.1)
        assert now["state"] == "finished", now


@pytest.mark.parametrize("service", ["controller", "edge-node"])
def test_a_service_starts_while_nacos_is_away(serve, client, tmp_path, service):
    """It serves with what it used last, and says what is wrong."""
    kept = tmp_path / "cache/configuration"
    kept.mkdir(parents=True)
    (kept / f"{service}.json").write_text(f'{{"key": "{service}", "text": "logLevel: info", "version": 7}}')
    address, process = serve(service, EDGEBED_COORDINATION="nacos://127.0.0.1:9/edgebed", EDGEBED_NODE="node-0")
    answers(address)
    wait(
        lambda: "127.0.0.1:9" in (client.get(f"{address}/v1/state").json()["coordination"]["fault"] or ""),
        lambda: client.get(f"{address}/v1/state").json(),
    )
    used = client.get(f"{address}/v1/state").json()["configuration"][service]
    assert (used["values"]["logLevel"], used["version"], used["fromCache"]) == ("info", 7, True)
    assert os.getpgid(process.pid)
