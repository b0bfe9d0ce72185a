"""The pods of each role. They pass the restricted Pod Security Standard, and know nothing of the cluster.

A service listens on every address and registers under its pod's own: an address needs no name to be resolved, and a pod that
comes back with another one says so with its next heartbeat. What it writes is in volumes that go with the pod: records wait
in the spool, and the configuration can be had again.
"""

from typing import Any

from edgebed.operator.names import Names, labels
from edgebed.operator.settings import SERVICES, OperatorSettings, SimulatorRole, TrainerRole

COMPONENTS = {
    "edgeNode": "edge-node",
    "taskGenerator": "task-generator",
    "trainer": "trainer",
    "simulator": "simulator",
}
"""Values of app.kubernetes.io/component."""
PORTS = {"edgeNode": 8081, "taskGenerator": 8082, "trainer": 8083}
STATE = "/var/lib/edgebed"
ARTEFACTS = f"{STATE}/artefacts"
SECRETS = "/etc/edgebed/secrets"
DOCUMENT = "/etc/edgebed/experiment"
FILE = "experiment.yaml"

Template = dict[str, Any]


def service_template(role: str, names: Names, settings: OperatorSettings) -> Template:
    """Of a pod that serves as `edgeNode`, `taskGenerator` or `trainer`."""
    port = PORTS[role]
    env: list[Template] = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        *_values(
            EDGEBED_HOST="0.0.0.0",  # noqa: S104  # the pod's own network
            EDGEBED_PORT=str(port),
            EDGEBED_ADVERTISE=f"http://$(POD_IP):{port}",
            EDGEBED_CONTROLLER=settings.controller,
            EDGEBED_TESTBED=names.run,
            EDGEBED_CACHE=f"{STATE}/cache",
        ),
    ]
    if role == "edgeNode":
        env.append({"name": "EDGEBED_NODE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})
        env += _values(EDGEBED_SPOOL=f"{STATE}/spool")
    if role == "trainer":
        env += _values(EDGEBED_RUNS=f"{STATE}/runs")
    health = {"httpGet": {"path": "/healthz", "port": "http"}}
    container = {
        "name": SERVICES[role],
        "command": ["edgebed", "serve", SERVICES[role]],
        "ports": [{"name": "http", "containerPort": port}],
        # Ready as soon as it answers; a service that is busy for a while is not dead.
        "startupProbe": {**health, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 300},
        "readinessProbe": {**health, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 3},
        "livenessProbe": {**health, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
    }
    return _template(role, names, settings, container, env, "Always")


def job_template(names: Names, settings: OperatorSettings, *, learns: bool) -> Template:
    """Of the pod that simulates an experiment; one that learns needs the trainer's image."""
    role = settings.simulator
    command = ["edgebed", "run", f"{DOCUMENT}/{FILE}", "--backend", "simulator", "--output", f"{STATE}/run"]
    command += ["--publish", names.run]
    if isinstance(role, SimulatorRole) and role.jobs is not None:
        command += ["--jobs", str(role.jobs)]
    container: Template = {"name": "simulator", "command": command}
    if learns:
        container["image"] = settings.trainer.image
    template = _template("simulator", names, settings, container, [], "Never")
    spec = template["spec"]
    spec["volumes"].append({"name": "experiment", "configMap": {"name": names.document}})
    spec["containers"][0]["volumeMounts"].append({"name": "experiment", "mountPath": DOCUMENT, "readOnly": True})
    return template


def _template(
    name: str, names: Names, settings: OperatorSettings, container: Template, env: list[Template], restart: str
) -> Template:
    """What the pods of all roles have in common."""
    role = settings.role(name)
    secrets = settings.secrets_of(name)
    mounts: list[Template] = [{"name": "state", "mountPath": STATE}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    volumes: list[Template] = [{"name": "state", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    if secrets:
        mounts.append({"name": "secrets", "mountPath": SECRETS, "readOnly": True})
        sources = [
            {"secret": {"name": key.secret, "items": [{"key": key.key, "path": variable}]}}
            for variable, key in secrets.items()
        ]
        volumes.append({"name": "secrets", "projected": {"sources": sources}})
        env = [*env, *_values(**{f"{variable}_FILE": f"{SECRETS}/{variable}" for variable in secrets})]
    if settings.artefacts_claim is not None and name != "taskGenerator":
        mounts.append({"name": "artefacts", "mountPath": ARTEFACTS})
        volumes.append({"name": "artefacts", "persistentVolumeClaim": {"claimName": settings.artefacts_claim}})
    own: Template = {
        "image": role.image,
        "imagePullPolicy": settings.image_pull_policy,
        "env": [*env, *_values(**dict(sorted(role.env.items())))],
        "resources": _resources(name, settings),
        "volumeMounts": mounts,
        # The end of the log becomes what the pod says it ended with, so whoever may not read logs can tell why.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **container,
    }
    if settings.config_map is not None:
        own["envFrom"] = [{"configMapRef": {"name": settings.config_map}}]
    context: Template = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if settings.run_as_user is not None:
        context["runAsUser"] = settings.run_as_user
    if settings.fs_group is not None:
        context |= {"fsGroup": settings.fs_group, "fsGroupChangePolicy": "OnRootMismatch"}
    component = COMPONENTS[name]
    spec: Template = {
        "containers": [own],
        "volumes": volumes,
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": settings.termination_grace_period_seconds,
        "securityContext": context,
        "automountServiceAccountToken": False,
        # Kubernetes tells pods of Services by variables such as EDGEBED_CONTROLLER_PORT, which are no settings of ours.
        "enableServiceLinks": False,
    }
    if name == "edgeNode":
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector_of(names, component)},
            }
        ]
    spec |= _placement(name, settings)
    metadata: Template = {"labels": {**role.labels, **labels(names, component)}}
    if role.annotations:
        metadata["annotations"] = dict(role.annotations)
    return {"metadata": metadata, "spec": spec}


def selector_of(names: Names, component: str) -> dict[str, str]:
    """The labels that tell the pods of a workload from all others; they can never change."""
    found = labels(names, component)
    return {key: value for key, value in found.items() if key.endswith(("/component", "/experiment-uid"))}


def _placement(name: str, settings: OperatorSettings) -> Template:
    """Where a pod may run, as whom, and with whose images; only what was given."""
    role = settings.role(name)
    found: Template = {
        "nodeSelector": dict(role.node_selector),
        "tolerations": [dict(toleration) for toleration in role.tolerations],
        "affinity": role.affinity,
        "priorityClassName": role.priority_class_name,
        "serviceAccountName": settings.service_account_name,
        "imagePullSecrets": [{"name": secret} for secret in settings.image_pull_secrets],
    }
    return {key: value for key, value in found.items() if value}


def _resources(name: str, settings: OperatorSettings) -> Template:
    role = settings.role(name)
    found = {"requests": dict(role.resources.requests), "limits": dict(role.resources.limits)}
    if isinstance(role, TrainerRole) and role.gpu:
        found["limits"][role.gpu_resource] = role.gpu
    return {kind: {key: str(amount) for key, amount in amounts.items()} for kind, amounts in found.items() if amounts}


def _values(**values: str) -> list[Template]:
    return [{"name": name, "value": value} for name, value in values.items()]
