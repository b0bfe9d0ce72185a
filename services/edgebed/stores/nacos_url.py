"""Where Nacos is: `nacos://HOST:PORT,HOST:PORT/NAMESPACE`."""

import re

from edgebed.experiment.errors import Problem, UserError

PUBLIC = "public"
"""The namespace that every server has."""

_SERVER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?:(\d{1,5})\Z")
_NAMESPACE = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")


def read_nacos_url(url: str) -> tuple[tuple[str, ...], str]:
    """Servers as HOST:PORT, and the namespace. Raises UserError, which shows no password that somebody put there."""
    scheme, _, rest = url.partition("://")
    if scheme != "nacos":
        raise _problem(f"{scheme!r} is no coordination that we know")
    if "@" in rest:
        raise _problem("holds a user", "give them with EDGEBED_COORDINATION_USER and EDGEBED_COORDINATION_PASSWORD")
    listed, _, namespace = rest.partition("/")
    namespace = namespace.removesuffix("/") or PUBLIC
    servers = tuple(listed.split(","))
    for server in servers:
        found = _SERVER.match(server)
        if not found or not 0 < int(found[1]) < 64536:  # the SDK adds 1000 for gRPC
            raise _problem(f"{server!r} is no server of Nacos")
    if not _NAMESPACE.match(namespace):
        raise _problem(f"{namespace!r} is no namespace", "give letters, digits, _ and -, at most 128")
    return servers, namespace


def _problem(found: str, remedy: str = "give embedded, or nacos://HOST:PORT,HOST:PORT/NAMESPACE") -> UserError:
    return UserError(Problem("EDGEBED_COORDINATION", found, remedy))
