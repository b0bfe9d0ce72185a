"""The images as a cluster uses them: small, without rights, on a root that cannot be written, and gone when told to go."""

import json
import time
from typing import Any

import httpx
import pytest
import yaml

from edgebed import __version__
from edgebed.systems.registry import BUILT_IN
from tests.containers import PORTS, fine, ground, image, inspected, said_by
from tests.services.experiment import LIMIT_S, O2O, specification

MB = 1_000_000
EDGE_NODE_MB = 150
"""Over its base."""
TERM_S = 5.0
LABELS = ("title", "description", "licenses", "vendor", "version", "revision", "base.name")

each_role = pytest.mark.parametrize("role", PORTS)


@pytest.fixture
def place():
    with ground() as found:
        yield found


def labels(role):
    return inspected(image(role))["Config"]["Labels"]


@each_role
def test_an_image_says_what_it_is(role):
    """Its labels are those of OCI, and its version is the code's."""
    found = labels(role)
    assert all(found.get(f"org.opencontainers.image.{name}") for name in LABELS), found
    assert found["org.opencontainers.image.version"] == __version__
    assert said_by(role, "--version") == f"edgebed {__version__}"


@each_role
def test_an_image_has_no_rights(role):
    """Its user is a number, which is what a cluster can check, and may write nowhere but to its own folder and /tmp."""
    config = inspected(image(role))["Config"]
    user, _, group = config["User"].partition(":")
    assert int(user) >= 10000
    assert int(group) >= 10000
    assert list(config["Volumes"]) == [config["WorkingDir"]] == ["/var/lib/edgebed"]
    assert config["ExposedPorts"] == {f"{PORTS[role]}/tcp": {}}
    script = (
        "import os\n"
        "found = [d for top in ('/bin', '/etc', '/home', '/lib', '/opt', '/root', '/sbin', '/srv', '/usr', '/var')\n"
        "         for d, _, _ in os.walk(top) if os.access(d, os.W_OK)]\n"
        "print([d for d in found if not d.startswith(('/var/lib/edgebed', '/var/lock', '/var/tmp'))])"
    )
    assert fine("run", "--rm", "--entrypoint", "python", image(role), "-c", script) == "[]"


@each_role
def test_only_the_trainer_has_torch(role):
    script = "import importlib.util as u; print(u.find_spec('torch') is not None)"
    assert said_by(role, "-c", script, options=("--entrypoint", "python")) == str(role == "trainer")


@each_role
def test_nothing_is_compiled_when_a_container_starts(role):
    """Every module of ours and of the libraries has its bytecode, and so have those of the standard library that it loads."""
    script = (
        "import importlib.util as u, pathlib, sys\n"
        "import edgebed.cli.app, edgebed.processes.services, uvicorn, fastapi, numpy\n"
        "loaded = [m.__spec__ for m in list(sys.modules.values()) if getattr(m, '__spec__', None)]\n"
        "print([s.name for s in loaded if s.cached and not pathlib.Path(s.cached).exists()])"
    )
    assert said_by(role, "-c", script, options=("--entrypoint", "python")) == "[]"


def test_an_edge_node_is_small():
    """What a machine fetches for its nodes, beside the base that it has anyway."""
    base = inspected(labels("edge-node")["org.opencontainers.image.base.name"])
    whole = inspected(image("edge-node"))
    layers = base["RootFS"]["Layers"]
    assert whole["RootFS"]["Layers"][: len(layers)] == layers, "the base is another than the image was built on"
    assert (whole["Size"] - base["Size"]) / MB <= EDGE_NODE_MB


@each_role
def test_a_service_starts_without_settings_and_ends_when_told_to(place, role):
    """With a root that cannot be written and no settings at all; SIGTERM reaches it as the container's first process."""
    service = place.start(role).serves()
    began = time.monotonic()
    assert service.terminate(within_s=10) == 0, service.log
    assert time.monotonic() - began < TERM_S
    assert "Traceback" not in service.log


def test_a_service_ends_while_it_starts(place):
    """Nobody waits for a pod that is deleted at once: not until it serves, and not for the kill."""
    began = time.monotonic()
    service = place.start("controller")
    while (state := inspected(service.name)["State"])["Running"] and time.monotonic() - began < 10:
        fine("kill", "--signal", "TERM", service.name)
        time.sleep(0.05)
    assert state["ExitCode"] in (0, 143), service.log


@each_role
def test_a_cluster_may_choose_the_user(role, place):
    """Some give every namespace a number of its own, and an empty folder for what is written."""
    options = ("--user", "123456:0", "--tmpfs", "/var/lib/edgebed:mode=777")
    place.start(role, *options).serves()


def test_a_wrong_setting_is_the_last_thing_a_container_says(place):
    service = place.start("edge-node", settings={"EDGEBED_NODES": "node-1"})
    until = time.monotonic() + 30
    while inspected(service.name)["State"]["Running"] and time.monotonic() < until:
        time.sleep(0.1)
    assert inspected(service.name)["State"]["ExitCode"] == 2
    assert "EDGEBED_NODES: is unknown; did you mean EDGEBED_NODE?" in service.log


def test_containers_run_an_experiment(place):
    """Each service in a container of its own, with only a folder of artefacts in common; the trainer learns."""
    shared = ("--volume", f"{place.volume()}:/var/lib/edgebed/artefacts")
    known = {"EDGEBED_CONTROLLER": "http://controller:8080"}
    controller = place.start("controller", *shared, name="controller")
    others = [place.start("edge-node", *shared, name=f"node-{k}", settings=known) for k in range(3)]
    others += [place.start("task-generator", name="generator", settings=known)]
    others += [place.start("trainer", *shared, name="trainer", settings=known)]
    controller.serves()
    with httpx.Client(base_url=controller.address, trust_env=False, timeout=10) as client:
        document = yaml.safe_load(specification(more=O2O))
        assert client.post("/v1/experiments", json=document).status_code == 202
        until = time.monotonic() + LIMIT_S
        state: dict[str, Any] = {}
        while state.get("state") != "finished" and time.monotonic() < until:
            time.sleep(0.5)
            state = client.get("/v1/experiments/small").json()
            assert state["state"] in ("running", "finished"), json.dumps(state) + "".join(one.log for one in others)
        assert state["state"] == "finished", state
        assert set(state["results"]["methods"]) == {"ratc", "o2o"}
        assert "o2o" in client.get("/v1/experiments/small/report").text
    assert [one.terminate(within_s=10) for one in (*others, controller)] == [0] * 6


@pytest.mark.parametrize("role", ["controller", "trainer"])
def test_a_simulation_compiles_nothing(tmp_path, role):
    """As the operator's Job does it: what is read is mounted, and the machine code of all policies is in the image."""
    rules = "".join(f"\n    - {{name: {name}, policy: {name}}}" for name in BUILT_IN if name not in ("ratc", "actor"))
    (tmp_path / "experiment.yaml").write_text(specification(more=rules + (O2O if role == "trainer" else "")))
    tmp_path.chmod(0o755)
    answer = said_by(
        *(role, "run", "/experiment/experiment.yaml", "--backend", "simulator"),
        options=("--volume", f"{tmp_path}:/experiment:ro", "--env", "NUMBA_DEBUG_CACHE=1"),
    )
    assert "report: runs/small/report.html" in answer
    assert "[cache] data loaded" in answer
    assert "[cache] data saved" not in answer


def test_an_edge_node_with_ffmpeg_converts_videos():
    """What its tasks would do is measured in it, with the program that it brings."""
    asked = ("calibrate", "ffmpeg", "--only", "720p30-480p30-2s", "--output", "/tmp/costs.json")
    assert "720p30-480p30-2s" in said_by("edge-node-ffmpeg", *asked)
