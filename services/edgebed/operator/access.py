"""Logging in: with the account of the pod, or with a kubeconfig where there is no pod."""

import kopf

from edgebed.experiment.errors import EnvironmentFault
from edgebed.operator.api import Access

REMEDY = "run the operator in a cluster, or set KUBECONFIG"


def connection() -> kopf.ConnectionInfo:
    """As kopf wants it. Raises EnvironmentFault where there is no cluster to log in to."""
    settings = kopf.OperatorSettings()
    try:
        found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    except (OSError, ValueError, KeyError, kopf.LoginError) as error:
        raise EnvironmentFault(f"cannot log in to Kubernetes: {error}; {REMEDY}") from error
    if found is None:
        raise EnvironmentFault(f"there is no Kubernetes to log in to; {REMEDY}")
    return found


def login() -> Access:
    """The same for our own requests."""
    found = connection()
    return Access(found.server, found.as_ssl_context(), found.as_http_headers(), found.default_namespace)
