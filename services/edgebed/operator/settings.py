"""Settings of the operator: one YAML file that says how the pods of experiments look. The chart makes it.

    settings = OperatorSettings.read(Path("/etc/edgebed/operator.yaml"))

What an experiment is belongs to the experiment; what a cluster needs belongs here: images, resources, where pods may run.
docs/kubernetes.md lists every field; a test holds it to this model.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator

from edgebed.experiment.document import Document, refused
from edgebed.experiment.errors import EnvironmentFault, Problem, UserError, did_you_mean, shown
from edgebed.settings import PREFIX, SETTINGS

ROLES = ("edgeNode", "taskGenerator", "trainer", "simulator")
SERVICES = {"edgeNode": "edge-node", "taskGenerator": "task-generator", "trainer": "trainer"}
"""What `edgebed serve` calls the roles that serve."""

Text = Annotated[str, Field(min_length=1, max_length=500)]
Amounts = dict[str, str | int]
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?")
_SECRETS = {PREFIX + setting.name: setting.services for setting in SETTINGS if setting.secret}
OWN = ("HOST", "PORT", "ADVERTISE", "CONTROLLER", "NODE", "TESTBED", "SPOOL", "CACHE", "RUNS")
"""Settings of services that the operator gives itself."""


class Resources(Document):
    """What a container asks for, and what it may use at most."""

    requests: Amounts = Field(default_factory=dict)
    """Reserved for it: cpu, memory, ephemeral-storage."""
    limits: Amounts = Field(default_factory=dict)
    """What it may not exceed. A limit on cpu makes nodes late, so there is none by default."""

    @field_validator("requests", "limits")
    @classmethod
    def _quantities(cls, amounts: Amounts) -> Amounts:
        for name, amount in amounts.items():
            if not _QUANTITY.fullmatch(str(amount)):
                raise refused(f"{shown(amount)} is not allowed", "give a quantity such as 100m, 2 or 256Mi", name)
        return amounts


class SecretKey(Document):
    """One value of a Secret."""

    secret: Text
    """Name of the Secret."""
    key: Text
    """Key in it."""


class Role(Document):
    """The pods of one role."""

    image: Text
    """Image with `edgebed` in it."""
    resources: Resources = Resources()
    """Of the container."""
    env: dict[str, str] = Field(default_factory=dict)
    """Further variables of the container."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that a machine must have."""
    tolerations: tuple[dict[str, Any], ...] = Field(default=(), strict=False)
    """Taints that a machine may have, as in a pod."""
    affinity: dict[str, Any] | None = None
    """As in a pod."""
    priority_class_name: Text | None = None
    """As in a pod."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Of the pods."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Of the pods, beside the operator's own."""

    @field_validator("env")
    @classmethod
    def _not_ours(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if name.removeprefix(PREFIX) in OWN and name.startswith(PREFIX):
                raise refused("is not allowed", "take it out: the operator sets it itself", name)
            if name in _SECRETS:
                raise refused("is not allowed", "name the Secret that holds it under secrets", name)
        return env


class TrainerRole(Role):
    """The trainer's pod."""

    gpu: Annotated[int, Field(ge=0, le=16)] = 0
    """GPUs of the trainer."""
    gpu_resource: Text = "nvidia.com/gpu"
    """What GPUs are called as a resource."""


class SimulatorRole(Role):
    """The pod of an experiment that is simulated; one that learns gets the trainer's image."""

    jobs: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Replicates at once; as many as the machine has cores if not given."""


class OperatorSettings(Document):
    """Everything that the operator is told."""

    controller: Annotated[str, Field(pattern=r"^http://[^/\s:]+:\d{1,5}$", max_length=300)]
    """Where services register: http://HOST:PORT of the controller's Service."""
    edge_node: Role
    """Edge nodes."""
    task_generator: Role
    """Task generator."""
    trainer: TrainerRole
    """Trainer, where a method learns."""
    simulator: SimulatorRole
    """Experiments with `backend: simulator`."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When images are pulled."""
    image_pull_secrets: tuple[Text, ...] = Field(default=(), strict=False)
    """Names of Secrets with which images are pulled."""
    config_map: Text | None = None
    """Name of a ConfigMap whose keys are settings of services (EDGEBED_...): stores, coordination, level of the log."""
    secrets: dict[str, SecretKey] = Field(default_factory=dict)
    """Secret settings of services by their variable, such as EDGEBED_TOKEN; mounted as files, for those that read them."""
    artefacts_claim: Text | None = None
    """Name of a volume claim mounted at /var/lib/edgebed/artefacts, where EDGEBED_ARTEFACTS is a folder."""
    run_as_user: Annotated[int, Field(ge=1)] | None = None
    """User of all pods; the image's if not given."""
    fs_group: Annotated[int, Field(ge=1)] | None = None
    """Group of volumes; needed where `artefactsClaim` is given."""
    service_account_name: Text | None = None
    """Account of the pods; the namespace's default if not given. Its token is not mounted."""
    keep_failed_pods: bool = True
    """Leave the pods of a failed experiment for debugging, until it is deleted or its time is over; else scale to zero."""
    termination_grace_period_seconds: Annotated[int, Field(ge=1, le=300)] = 10
    """How long a pod may take to end."""

    @field_validator("secrets")
    @classmethod
    def _secret_settings(cls, secrets: dict[str, SecretKey]) -> dict[str, SecretKey]:
        for name in secrets:
            if name not in _SECRETS:
                raise refused("is no secret setting of a service", did_you_mean(name, _SECRETS), name)
        return secrets

    def role(self, name: str) -> Role:
        """Of `ROLES`."""
        roles: dict[str, Role] = {
            "edgeNode": self.edge_node,
            "taskGenerator": self.task_generator,
            "trainer": self.trainer,
            "simulator": self.simulator,
        }
        return roles[name]

    def secrets_of(self, role: str) -> dict[str, SecretKey]:
        """The secrets that a role reads, by variable: a node must not have the database's password."""
        service = SERVICES.get(role)
        return {name: key for name, key in sorted(self.secrets.items()) if service in _SECRETS[name]}

    @classmethod
    def read(cls, path: Path) -> Self:
        """The settings of a file. Raises UserError with everything that is wrong, EnvironmentFault if it cannot be read."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise EnvironmentFault(
                f"{path}: cannot be read ({reason}); set EDGEBED_OPERATOR_SETTINGS to the operator's file"
            ) from error
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(Problem("", "is not YAML", str(error).splitlines()[0]), str(path)) from error
        return cls.parse(document, str(path))

    @classmethod
    def parse(cls, document: object, source: str | None = None) -> Self:
        """The settings of plain values. Raises UserError with everything that is wrong."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise UserError([_problem(item) for item in error.errors(include_url=False)], source) from None


_PLAIN: Mapping[str, tuple[str, str]] = {
    "missing": ("is missing", "give it"),
    "extra_forbidden": ("is unknown", "take it out, or correct its name"),
    "model_type": ("is not a mapping", "give a mapping of fields"),
}


def _problem(item: Any) -> Problem:
    path = ".".join(str(part) for part in item["loc"])
    context = item.get("ctx", {})
    if item["type"] == "edgebed":
        return Problem(".".join([path, *map(str, context["path"])]), context["found"], context["remedy"])
    if item["type"] in _PLAIN:
        return Problem(path, *_PLAIN[item["type"]])
    message = str(item["msg"])
    return Problem(path, f"{shown(item.get('input'))} is not allowed", message[:1].lower() + message[1:])
