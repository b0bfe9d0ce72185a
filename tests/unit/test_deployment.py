"""What lies in docker/ and deploy/settings says only what the services understand."""

from pathlib import Path

import pytest
import yaml

from edgebed.settings import read_settings, settings_of_run

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
OURS = ("controller", "edge-node", "task-generator", "trainer")


@pytest.mark.parametrize("service", OURS)
def test_compose_sets_what_a_service_reads(service):
    """And all agree on where tasks, models and the registry are."""
    settings = read_settings(service, COMPOSE[service]["environment"], "container")
    assert settings.artefacts == "webhdfs://edgebed@namenode:9870/edgebed"
    assert settings.coordination == "nacos://nacos:8848/public"
    assert settings.advertise == f"http://{'container' if service == 'edge-node' else service}:{settings.port}"
    assert COMPOSE[service]["build"]["target"] == service


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
