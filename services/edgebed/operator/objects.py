"""What makes an experiment's pods: pure builders, one per object.

    for item in build(need, names, settings, document): ...

Everything is owned by the experiment, so it goes when the experiment goes. Each object says by an annotation from what it was
built; so a running experiment keeps what it was started with when the operator's settings change, see `reconcile`.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import yaml

from edgebed.experiment.files import canonical
from edgebed.operator.demand import Demand, document_digest
from edgebed.operator.names import GROUP, Names, labels, owner
from edgebed.operator.pods import COMPONENTS, FILE, PORTS, job_template, selector_of, service_template
from edgebed.operator.settings import OperatorSettings

BUILT_FROM = f"{GROUP}/built-from"
"""Annotation: a hash of the object as it was built, without what suspending changes."""
DIGEST = f"{GROUP}/document-digest"
"""Annotation of the ConfigMap: of the document in it."""
RETRIES = 2
"""How often a simulation that ended badly is begun again; not when what was asked for is wrong."""

Item = dict[str, Any]


def build(need: Demand, names: Names, settings: OperatorSettings) -> list[Item]:
    """Every object of an experiment that is at work, in the order in which they are made."""
    found = [document_map(need.document, names)]
    if need.simulated:
        return [*found, job(need, names, settings)]
    found += [node_service(names), nodes(need, names, settings), deployment("taskGenerator", names, settings)]
    if need.trainer:
        found.append(deployment("trainer", names, settings))
    return found


def document_map(document: Item, names: Names) -> Item:
    """The experiment as it is run: for the simulator's Job, and for people."""
    item = _item("v1", "ConfigMap", names.document, names, "experiment")
    item["metadata"]["annotations"] = {DIGEST: document_digest(document)}
    data = {FILE: yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)}
    return _sealed(item | {"data": data})


def document_in(item: Mapping[str, Any]) -> Item | None:
    """The document of such a map; None where somebody changed it, or nobody can read it."""
    try:
        document = yaml.safe_load(item["data"][FILE])
        known = item["metadata"]["annotations"][DIGEST]
    except (KeyError, TypeError, yaml.YAMLError):
        return None
    return document if isinstance(document, dict) and document_digest(document) == known else None


def node_service(names: Names) -> Item:
    """The headless Service that gives every node a name: for people and Prometheus, and before it is ready."""
    component = COMPONENTS["edgeNode"]
    item = _item("v1", "Service", names.nodes, names, component)
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": selector_of(names, component),
        "ports": [{"name": "http", "port": PORTS["edgeNode"], "targetPort": "http", "protocol": "TCP"}],
    }
    return _sealed(item | {"spec": spec})


def nodes(need: Demand, names: Names, settings: OperatorSettings) -> Item:
    """The StatefulSet of the edge nodes, all started at once; node k of the network is its pod k."""
    component = COMPONENTS["edgeNode"]
    item = _item("apps/v1", "StatefulSet", names.nodes, names, component)
    spec = {
        "replicas": need.nodes,
        "serviceName": names.nodes,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": selector_of(names, component)},
        "template": service_template("edgeNode", names, settings),
    }
    return _sealed(item | {"spec": spec})


def deployment(role: str, names: Names, settings: OperatorSettings) -> Item:
    """The Deployment of the task generator or the trainer: one pod, and never two at once."""
    component = COMPONENTS[role]
    name = names.generator if role == "taskGenerator" else names.trainer
    item = _item("apps/v1", "Deployment", name, names, component)
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": selector_of(names, component)},
        "template": service_template(role, names, settings),
    }
    return _sealed(item | {"spec": spec})


def job(need: Demand, names: Names, settings: OperatorSettings) -> Item:
    """The Job of an experiment that is simulated. What was asked for wrongly (exit status 2) is not tried again."""
    item = _item("batch/v1", "Job", names.job, names, COMPONENTS["simulator"])
    wrong = {"containerName": "simulator", "operator": "In", "values": [2]}
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    spec = {
        "suspend": False,
        "backoffLimit": RETRIES,
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onExitCodes": wrong},
                {"action": "Ignore", "onPodConditions": disrupted},
            ]
        },
        "template": job_template(names, settings, learns=need.trainer),
    }
    return _sealed(item | {"spec": spec})


SWITCHES = {"StatefulSet": "replicas", "Deployment": "replicas", "Job": "suspend"}
"""The field of each workload that lets it work or rest."""


def resting(kind: str) -> Item:
    """A patch after which a workload has no pods."""
    return {"spec": {SWITCHES[kind]: True if kind == "Job" else 0}}


def is_resting(item: Mapping[str, Any]) -> bool:
    """Whether a workload is told to have no pods."""
    switch = item["spec"].get(SWITCHES[item["kind"]])
    return bool(switch) if item["kind"] == "Job" else switch == 0


def _item(version: str, kind: str, name: str, names: Names, component: str) -> Item:
    metadata = {"name": name, "labels": labels(names, component), "ownerReferences": [owner(names)]}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _sealed(item: Item) -> Item:
    """The object with what it was built from."""
    switch = SWITCHES.get(item["kind"])
    content = {**item, "spec": {key: value for key, value in item.get("spec", {}).items() if key != switch}}
    digest = hashlib.sha256(canonical(content)).hexdigest()[:16]
    metadata = item["metadata"]
    return {**item, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), BUILT_FROM: digest}}}
