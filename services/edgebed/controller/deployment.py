"""What nodes are told before they play: the configuration of a replicate, and how to decide.

Both have a version, and are in use when every node has answered it. A model is published as an artefact first, and named by its
SHA-256, so that no node can decide with another one. While a node cannot fetch it because the store is away, the node goes on
with what it has, and is told again; a model that it refuses is refused for good.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from edgebed.controller.fleet import Fleet
from edgebed.controller.remote import Remote, RemoteError, RemoteRefused
from edgebed.experiment.quantities import to_document
from edgebed.runner.ground import Decider
from edgebed.runner.setting import Setting
from edgebed.stores.artefacts import ArtefactStore
from edgebed.stores.patience import Patience
from edgebed.systems.cooperative.models import Model
from edgebed.systems.cooperative.rules import Rules

CONFIGURE_S = 60.0
"""An application may prepare clips."""
DEPLOY_S = 60.0
"""A policy may prepare something at every node, such as prices, on cores that are shared."""
MODEL_FILE = "actor.safetensors"
_AWAY, _NOT_ALLOWED = 503, 422
"""What a node answers when something that it needs is away, and when it refuses what it is given."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """How nodes are to decide: a policy of the specification, an actor, or fixed decisions."""

    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    actor: Model | None = None
    decisions: tuple[tuple[int, int, int], ...] | None = None
    """(slot, source, destination) of every task of one episode."""

    @classmethod
    def of(cls, decider: Decider, setting: Setting) -> Self:
        """What to tell nodes of a decider; the model of an actor in a file is read. Raises like `Setting.policy`."""
        if decider.actor is not None:
            return cls("actor", {}, decider.actor)
        assert decider.choice is not None  # one of the two
        parameters = decider.choice.parameters
        model = setting.model(decider.choice)
        if model is not None:
            parameters.pop("model", None)
        return cls(decider.choice.kind, parameters, model)


class Disagreement(RemoteError):
    """A node answered another version than it was given."""


class ModelRefused(RemoteRefused):
    """Nodes refuse a model: it is damaged, or another than was announced, or one for other networks."""


def configure(
    fleet: Fleet,
    setting: Setting,
    application: dict[str, Any],
    log: str,
    version: int,
    nodes: Sequence[int] | None = None,
    run: str = "",
) -> None:
    """Puts the setting in use at every node, or at some of them. Raises RemoteRefused, or Disagreement."""
    workload = setting.workload_model
    common = {
        "version": version,
        "run": run,
        "network": setting.network.to_document(),
        "rules": rules_document(setting.rules),
        "slotSeconds": workload.slot_s,
        "maskCoefficient": setting.mask_coefficient,
        "networkSeed": setting.network_seed,
        "workload": {
            "slots": workload.slots,
            "sizeBits": to_document(workload.size_bits),
            "cyclesPerBit": to_document(workload.cycles_per_bit),
            "deadlineSeconds": to_document(workload.deadline_s),
        },
        "application": application,
        "addresses": [node.address for node in fleet.nodes],
        "log": log,
    }

    def tell(index: int, node: Remote) -> int:
        return int(node.put("/v1/configuration", {**common, "node": index}, timeout_s=CONFIGURE_S)["version"])

    _agreed(fleet, fleet.ask(tell, nodes), version, "configuration")


def deploy(
    fleet: Fleet,
    order: Order,
    artefacts: ArtefactStore,
    run: str,
    version: int,
    patience: Callable[[str], Patience],
    nodes: Sequence[int] | None = None,
) -> None:
    """Lets every node, or some of them, decide so. Returns once all have acknowledged.

    A node that cannot fetch the model at present is told again; `patience` gives that for a piece of work. Raises like
    `configure`, and ModelRefused.
    """
    body: dict[str, Any] = {"version": version, "kind": order.kind, "parameters": order.parameters}
    if order.actor is not None:
        body["model"] = publish(order.actor, artefacts, run)
    if order.decisions is not None:
        body["decisions"] = order.decisions

    def tell(_: int, node: Remote) -> int | RemoteRefused:
        try:
            return int(node.put("/v1/scheduler", body, timeout_s=DEPLOY_S)["version"])
        except RemoteRefused as error:
            return error  # each node has its own reasons

    waiting = patience(f"deploying scheduler {version}")
    asked = fleet.there if nodes is None else list(nodes)
    while asked:
        answers = fleet.ask(tell, asked)
        refused = {node: answer for node, answer in answers.items() if isinstance(answer, RemoteRefused)}
        _mind(refused, body.get("model"), len(fleet.nodes))
        agreed = {node: answer for node, answer in answers.items() if not isinstance(answer, RemoteRefused)}
        _agreed(fleet, agreed, version, "scheduler")
        if refused:
            waiting.wait(next(iter(refused.values())))
        asked = fleet.still(refused)
    waiting.done()


def _mind(refused: Mapping[int, RemoteRefused], model: Mapping[str, str] | None, nodes: int) -> None:
    """Raises what is not over in a while."""
    lasting = [error for error in refused.values() if error.status != _AWAY]
    if not lasting:
        return
    first = lasting[0]
    if model is None or first.status != _NOT_ALLOWED:
        raise first
    for error in lasting:
        _log.error("%s", error)
    said = f"model {model['name']} is refused by {len(lasting)} of {nodes} nodes: {first}"
    raise ModelRefused(said, first.status) from first


def publish(actor: Model, artefacts: ArtefactStore, run: str) -> dict[str, str]:
    """Makes a model an artefact; returns what a node must know to fetch it."""
    content = actor.to_bytes()
    digest = hashlib.sha256(content).hexdigest()
    name = f"models/{run}/{digest[:24]}"
    artefacts.publish(name, {MODEL_FILE: content}, {"observation": actor.observation.digest})
    return {"name": name, "file": MODEL_FILE, "sha256": digest, "observation": actor.observation.digest}


def rules_document(rules: Rules) -> dict[str, str]:
    """The rules with the names of the specification."""
    return {
        "dropPolicy": str(rules.drop_policy),
        "failureTime": str(rules.failure_time),
        "horizon": str(rules.horizon),
        "decisionOrder": str(rules.decision_order),
        "failureUnit": str(rules.failure_unit),
    }


def _agreed(fleet: Fleet, answers: dict[int, int], version: int, what: str) -> None:
    for node, answered in answers.items():
        if answered != version:
            raise Disagreement(f"{fleet.nodes[node]}: has {what} {answered} in use, not {version}; start it again")
