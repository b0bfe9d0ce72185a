"""What the objects of an experiment are called: the same experiment always gets the same names.

    names = Names.of("o2o-testbed", uid)
    names.nodes        # o2o-testbed-node, of the StatefulSet and its Service
    names.run          # o2o-testbed-4f1d2c3b, of the run at the controller and of the testbed

Names of objects do not depend on the uid, so that people find them; the run's name does, so that an experiment that was
deleted and applied again is another run, and what is left of the old one is never taken for part of the new one.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GROUP = "edgebed.dev"
API_VERSION = f"{GROUP}/v1alpha1"
MANAGER = "edgebed-operator"

EXPERIMENT_LABEL = f"{GROUP}/experiment"
UID_LABEL = f"{GROUP}/experiment-uid"

LONGEST_WORKLOAD = 52
"""A StatefulSet's name and a hash of ten characters become a label of its pods, and labels end at 63."""
_LONGEST_SUFFIX = len("-generator")
_DIGEST = 8


@dataclass(frozen=True)
class Names:
    """Of one experiment."""

    experiment: str
    uid: str
    base: str
    """What the names of all its objects begin with."""

    @classmethod
    def of(cls, experiment: str, uid: str) -> "Names":
        """The names of an experiment that the API server knows by this name and uid."""
        return cls(experiment, uid, fitted(experiment, LONGEST_WORKLOAD - _LONGEST_SUFFIX))

    @property
    def nodes(self) -> str:
        """StatefulSet of the edge nodes, and the headless Service that governs it."""
        return f"{self.base}-node"

    @property
    def generator(self) -> str:
        """Deployment of the task generator."""
        return f"{self.base}-generator"

    @property
    def trainer(self) -> str:
        """Deployment of the trainer."""
        return f"{self.base}-trainer"

    @property
    def job(self) -> str:
        """Job of an experiment that is simulated."""
        return f"{self.base}-run"

    @property
    def document(self) -> str:
        """ConfigMap with the experiment as it is run."""
        return f"{self.base}-document"

    @property
    def run(self) -> str:
        """The run at the controller, and the testbed that its services register for."""
        return f"{self.base}-{self.uid.replace('-', '')[:_DIGEST]}"

    @property
    def label(self) -> str:
        """The experiment's name as the value of a label."""
        return fitted(self.experiment, 63)


def fitted(name: str, longest: int) -> str:
    """The name itself where it is a DNS label (RFC 1035) of at most `longest` characters.

    Any other name becomes one, with a hash of the whole in its end, so that different names stay different.
    """
    clean = re.sub(r"[^a-z0-9-]", "-", name.lower())
    if not clean[:1].isalpha():  # a Service's name begins with a letter, an experiment's need not
        clean = f"e-{clean}"
    if clean == name and len(name) <= longest and not name.endswith("-"):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    return f"{clean[: longest - _DIGEST - 1].rstrip('-')}-{digest}"


def labels(names: Names, component: str) -> dict[str, str]:
    """Of every object of an experiment."""
    return {
        "app.kubernetes.io/name": "edgebed",
        "app.kubernetes.io/instance": names.base,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "edgebed",
        "app.kubernetes.io/managed-by": MANAGER,
        EXPERIMENT_LABEL: names.label,
        UID_LABEL: names.uid,
    }


def owner(names: Names) -> dict[str, Any]:
    """The reference by which everything goes when the experiment goes."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Experiment",
        "name": names.experiment,
        "uid": names.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The reference to whatever controls an object."""
    found: list[Mapping[str, Any]] = item.get("metadata", {}).get("ownerReferences") or []
    return next((reference for reference in found if reference.get("controller")), None)
