"""Every service as a real server, with the OpenAPI that it serves itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from edgebed.controller.deployment import Order
from edgebed.trainer.app import create_app as trainer_app
from edgebed.trainer.jobs import Trainer
from edgebed.wire.server import HotRoutes
from tests.unit.controller.world import Served, World

RUN, EPISODE = "contracts", 7
"""What plays at the configured node."""


@dataclass(frozen=True)
class Service:
    """One of them."""

    address: str
    document: dict[str, Any]
    """Its OpenAPI."""


class Services:
    """All of them, in one process."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, nodes=4)
        self.trainer = Trainer(self.world.artefacts, folder / "trainer")
        self.trainer_at = Served("trainer")
        self.world.call(self.world._serve(self.trainer_at, trainer_app(self.trainer), HotRoutes()))
        self.world.testbed.open(self.world.setting, {"kind": "synthetic"})
        self.world.testbed.deploy(Order("ratc"))
        addresses = {
            "edge-node": self.world.nodes[0].address,
            "edge-node-unconfigured": self.world.nodes[3].address,  # the network has three nodes
            "controller": self.world.controller.address,
            "task-generator": self.world.generator_at.address,
            "trainer": self.trainer_at.address,
        }
        self.all = {name: Service(at, httpx.get(f"{at}/openapi.json").json()) for name, at in addresses.items()}

    def play(self) -> None:
        """An episode plays at the configured node, if none does."""
        node = self.world.alive["node-0"]
        start = {
            "run": RUN,
            "episode": EPISODE,
            "startsAtUnixNs": node.clock.to_unix_ns(node.clock.now()),
            "slots": 10**6,
            "decisionKey": "1",
        }
        answer = httpx.post(f"{self.world.nodes[0].address}/v1/episodes", json=start)
        assert answer.status_code == 200 or "runs; finish it first" in answer.text, answer.text

    def close(self) -> None:
        """Stops them."""
        assert self.trainer_at.server is not None  # started
        self.world.call(self.trainer_at.server.stop(0.2))
        self.trainer.close()
        self.world.close()
