"""What the operator may do: the rules of its Role, in its own namespace alone. The chart and the tests read them here."""

from typing import Any

_MADE = ["get", "list", "watch", "create", "patch", "delete"]

RULES: tuple[dict[str, Any], ...] = (
    {"apiGroups": ["edgebed.dev"], "resources": ["experiments"], "verbs": ["get", "list", "watch", "delete"]},
    {"apiGroups": ["edgebed.dev"], "resources": ["experiments/status"], "verbs": ["patch"]},
    # Owning with blockOwnerDeletion, where the cluster asks for it (OwnerReferencesPermissionEnforcement).
    {"apiGroups": ["edgebed.dev"], "resources": ["experiments/finalizers"], "verbs": ["update"]},
    {"apiGroups": ["apps"], "resources": ["statefulsets", "deployments"], "verbs": _MADE},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": _MADE},
    {"apiGroups": [""], "resources": ["services", "configmaps"], "verbs": _MADE},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "create"]},
)
"""Of a Role, as in YAML."""
