"""What templates read from files, because Helm cannot ask Python: the custom resource, and the operator's rights."""

import json

from edgebed.experiment import crd
from edgebed.operator.rbac import RULES

_HEAD = "# Made by `python -m scripts.chart`; change services/edgebed/operator/rbac.py instead.\n"


def experiments() -> str:
    """The CustomResourceDefinition, as `edgebed crd` prints it."""
    return crd.manifest()


def rules() -> str:
    """The rules of the operator's Role, a line each."""
    return f"{_HEAD}rules:\n" + "".join(f"  - {json.dumps(rule)}\n" for rule in RULES)
