"""What lies in docker/ and deploy/settings says only what the services understand."""

import re
from pathlib import Path

import pytest
import yaml

from edgebed.settings import read_settings, settings_of_run

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text()
OURS = ("controller", "edge-node", "task-generator", "trainer")


@pytest.mark.parametrize("service", OURS)
def test_compose_sets_what_a_service_reads(service):
    """And all agree on where tasks, models and the registry are."""
    settings = read_settings(service, COMPOSE[service]["environment"], "container")
    assert settings.artefacts == "webhdfs://edgebed@namenode:9870/edgebed"
    assert settings.coordination == "nacos://nacos:8848/public"
    assert settings.advertise == f"http://{'container' if service == 'edge-node' else service}:{settings.port}"
    assert COMPOSE[service]["build"]["target"] == service
    assert COMPOSE[service]["image"] == f"edgebed/{service}:dev"  # what `make images` makes


@pytest.mark.parametrize("service", OURS)
def test_compose_gives_no_rights(service):
    """What is tested of the images holds in it, too."""
    given = COMPOSE[service]
    assert given["read_only"]
    assert given["tmpfs"] == ["/tmp"]
    assert given["cap_drop"] == ["ALL"]
    assert "cap_add" not in given
    assert given["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", OURS)
def test_there_is_an_image_of_each_service(service):
    """A target with the libraries that are pinned for it."""
    assert re.search(rf"^FROM runtime AS {service}$", DOCKERFILE, re.M)
    assert f"COPY requirements/{service}.txt" in DOCKERFILE


def test_a_build_sees_what_images_are_made_of_and_nothing_else():
    """No runs, no environment, no secrets: everything is left out but what is named."""
    lines = [line for line in IGNORED.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert all((ROOT / line[1:]).exists() for line in lines if line.startswith("!"))
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M) for word in line.split()[:-1]}
    shown = [line[1:] for line in lines if line.startswith("!")]
    assert all(any(word == name or word.startswith(f"{name}/") for name in shown) for word in copied), copied


def test_compose_opens_no_port_to_other_machines():
    ports = [port for service in COMPOSE.values() for port in service.get("ports", [])]
    assert len(ports) == 6
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_file_of_settings_names_the_servers_of_compose():
    given = settings_of_run({}, ROOT / "deploy" / "settings" / "middleware.env")
    assert set(given) == {
        "EDGEBED_TASK_LOG",
        "EDGEBED_TASK_LOG_PASSWORD",
        "EDGEBED_ARTEFACTS",
        "EDGEBED_COORDINATION",
    }
    ports = {port.rpartition(":")[2] for service in COMPOSE.values() for port in service.get("ports", [])}
    assert {"3306", "9870", "8848"} <= ports
