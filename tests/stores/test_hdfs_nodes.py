"""Models on a real HDFS, on their way to real nodes: waited for while HDFS is away, refused when they are others."""

import threading
import time

import pytest

from edgebed.controller.deployment import ModelRefused, Order
from edgebed.controller.directory import Stopped
from edgebed.controller.remote import RemoteRefused
from edgebed.stores.hdfs_artefacts import HdfsArtefacts
from edgebed.systems.cooperative.randomness import Stream
from tests import servers
from tests.stores import hdfs_server
from tests.unit.controller.world import World, actor_for

SYNTHETIC = {"kind": "synthetic"}
AWAY_S = 600.0
"""So long a server may take to start on a busy machine."""


@pytest.fixture
def folder():
    servers.need_to_stop("hdfs")
    found = hdfs_server.folder()
    yield found
    servers.start("hdfs")
    found.delete()


@pytest.fixture
def make_world(tmp_path, folder):
    made = []

    def make(**options):
        made.append(World(tmp_path, artefacts=HdfsArtefacts(folder.url), away_s=AWAY_S, **options))
        made[-1].testbed.open(made[-1].setting, SYNTHETIC)
        return made[-1]

    yield make
    for world in made:
        world.close()


def versions(world):
    return {node.scheduler.version for node in world.alive.values()}


def orders(world):
    """Two models."""
    return [Order("actor", actor=actor_for(world.setting, seed)) for seed in (1, 2)]


def tasks_of(world, episode=0):
    return world.setting.tasks(Stream.ONLINE, range(episode, episode + 1))


def test_hdfs_is_away_while_a_model_is_deployed(make_world, folder, caplog):
    """Nodes keep the old model meanwhile; once HDFS is back all have the new one, and the next episode is played with it."""
    world = make_world()
    first, second = orders(world)
    old = world.testbed.deploy(first)
    servers.stop("namenode", "--kill")
    deployed = []
    thread = threading.Thread(target=lambda: deployed.append(world.testbed.deploy(second)))
    thread.start()
    while "tried again for" not in caplog.text:
        time.sleep(0.05)
    assert versions(world) == {old}
    servers.start("namenode")
    thread.join(AWAY_S)
    assert versions(world) == set(deployed) == {old + 1}
    row = world.testbed.play(tasks_of(world), "phase", 0)
    assert set(world.store.read_all("run-1", [row.episode]).model_version.tolist()) == {old + 1}


def test_a_node_that_cannot_fetch_a_model_is_told_again(make_world, folder, caplog):
    """HDFS goes away after the publication: nodes say so (503), and keep the old model until it is back."""
    world = make_world()
    first, second = orders(world)
    old = world.testbed.deploy(first)
    store = world.artefacts
    publish = store.publish

    def and_away(*arguments):
        published = publish(*arguments)
        store.publish = publish
        servers.stop("datanode", "--kill")
        return published

    store.publish = and_away
    deployed = []
    thread = threading.Thread(target=lambda: deployed.append(world.testbed.deploy(second)))
    thread.start()
    while "deploying scheduler" not in caplog.text:
        time.sleep(0.05)
    assert "503" in caplog.text
    assert "datanode" in caplog.text
    assert versions(world) == {old}
    servers.start("datanode")
    thread.join(AWAY_S)
    assert versions(world) == set(deployed) == {old + 1}


def test_a_request_to_stop_ends_the_waiting(make_world, folder, caplog):
    """At once, not when the time is over."""
    world = make_world()
    servers.stop("namenode", "--kill")
    ended = []

    def deploy():
        with pytest.raises(Stopped):
            world.testbed.deploy(orders(world)[0])
        ended.append(time.monotonic())

    thread = threading.Thread(target=deploy)
    thread.start()
    while "tried again for" not in caplog.text:
        time.sleep(0.05)
    asked = time.monotonic()
    world.stop.set()
    thread.join(AWAY_S)
    assert ended[0] - asked < AWAY_S / 10


def corrupt(folder, world):
    """Flips a byte of every model that is published from now on."""
    store = world.artefacts
    publish = store.publish

    def and_damaged(name, files, about):
        published = publish(name, files, about)
        path = folder.stored(name, "actor.safetensors")
        content = folder.read(path)
        folder.write(path, content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        return published

    store.publish = and_damaged


def exchange(folder, world):
    """Somebody publishes another model under the name of each that is published from now on."""
    store = world.artefacts
    publish = store.publish

    def and_exchanged(name, files, about):
        publish(name, files, about)
        return publish(name, {file: orders(world)[0].actor.to_bytes() for file in files}, about)

    store.publish = and_exchanged


@pytest.mark.parametrize(
    ("harm", "said"), [(corrupt, "is damaged: its SHA-256"), (exchange, "the announced model has")]
)
def test_a_model_that_is_not_what_it_should_be_is_refused_by_every_node(make_world, folder, harm, said):
    """With the reason; they decide as before. An experiment stops, unless it shall keep the old model in online learning."""
    world = make_world()
    first, second = orders(world)
    old = world.testbed.deploy(first)
    publish = world.artefacts.publish
    harm(folder, world)
    with pytest.raises(ModelRefused, match=rf"refused by 3 of 3 nodes: node 0.*422.*{said}.*onModelRefused"):
        world.testbed.deploy(second, learning=True)
    assert versions(world) == {old}
    with pytest.raises(ModelRefused, match="refused by 3 of 3 nodes"):
        world.testbed.deploy(second)
    world.artefacts.publish = publish
    assert world.testbed.deploy(second) == old + 3
    assert versions(world) == {old + 3}


def test_the_old_model_is_kept_where_the_specification_says_so(make_world, folder, caplog):
    """In online learning all nodes go on with the model before, and the episode says why; an evaluation stops all the same."""
    world = make_world(on_model_refused="keepOld")
    first, second = orders(world)
    world.testbed.deploy(Order("ratc"))
    publish = world.artefacts.publish
    corrupt(folder, world)
    with pytest.raises(ModelRefused):  # there is no model before it
        world.testbed.deploy(first, learning=True)
    world.artefacts.publish = publish
    world.testbed.deploy(first)

    def only_the_second(name, files, about):
        published = publish(name, files, about)
        if files["actor.safetensors"] == second.actor.to_bytes():
            folder.write(folder.stored(name, "actor.safetensors"), b"no model")
        return published

    world.artefacts.publish = only_the_second
    kept = world.testbed.deploy(second, learning=True)
    assert versions(world) == {kept}
    assert "all nodes go on with the model before it" in caplog.text
    policies = [node.scheduler.policy for node in world.alive.values()]
    row = world.testbed.play(tasks_of(world), "phase", 0)
    assert "is damaged" in row.about["modelRefused"]
    assert set(world.store.read_all("run-1", [row.episode]).model_version.tolist()) == {kept}
    assert [node.scheduler.policy for node in world.alive.values()] == policies
    with pytest.raises(ModelRefused):
        world.testbed.deploy(second)
    world.artefacts.publish = publish
    again = world.testbed.deploy(second, learning=True)
    assert "modelRefused" not in world.testbed.play(tasks_of(world, 1), "phase", 1).about
    assert versions(world) == {again}


def test_a_node_goes_on_while_it_fetches_a_model(make_world, folder, caplog):
    """HDFS hangs: the node answers, plays, and takes another order meanwhile; the model that comes later changes nothing."""
    world = make_world()
    first, second = orders(world)
    world.testbed.deploy(first)
    published = world.testbed._artefacts.publish("models/x", {"actor.safetensors": second.actor.to_bytes()}, {})
    model = {"name": "models/x", "sha256": published.files["actor.safetensors"]}
    node = world.caller.to("node", world.nodes[0].address)
    servers.stop("datanode", "--pause")
    refused = []

    def fetch():
        with pytest.raises(RemoteRefused) as caught:
            node.put("/v1/scheduler", {"version": 90, "kind": "actor", "model": model}, timeout_s=AWAY_S)
        refused.append(caught.value)

    thread = threading.Thread(target=fetch)
    thread.start()
    live = world.alive["node-0"]
    before = live._orders
    while live._orders == before:
        time.sleep(0.01)
    assert node.get("/v1/state")["scheduler"] == "actor"
    assert node.put("/v1/scheduler", {"version": 91, "kind": "local"}) == {"version": 91}
    assert thread.is_alive()
    servers.start("datanode")
    thread.join(AWAY_S)
    assert refused[0].status in (409, 503)  # overtaken, or the store had hung for longer than is waited for
    assert (live.scheduler.kind, live.scheduler.version) == ("local", 91)
