"""The control API of another service: JSON over kept connections, every wait limited, every failure named.

RemoteError        the service did not do what it was asked; the message names service, address and reason
  RemoteAway       no answer, or none of ours: refused, reset, silent beyond the limit, or by somebody else at its address
  RemoteRefused    answered with a status outside 2xx, with the reason that it gave
"""

from collections.abc import Mapping
from typing import Any

import httpx

from edgebed.experiment.errors import EnvironmentFault
from edgebed.wire.errors import problem_in, told

CONTROL_S = 5.0
"""How long a control call may take unless its caller says otherwise."""


class RemoteError(EnvironmentFault):
    """A service did not do what it was asked."""


class RemoteAway(RemoteError):
    """A service does not answer."""


class RemoteRefused(RemoteError):
    """A service refused."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type["RemoteRefused"], tuple[str, int]]:
        # Exceptions are pickled as type(*args), and args is the message alone.
        return type(self), (str(self), self.status)


class Caller:
    """The connections of this process to all other services. Safe to use from several threads."""

    def __init__(self, token: str | None = None) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # A node keeps a connection for two minutes; we let go before it does.
        limits = httpx.Limits(max_connections=2000, max_keepalive_connections=1000, keepalive_expiry=30.0)
        # Without looking at the machine's certificates and proxies, which a loopback or cluster address has no use for.
        self._client = httpx.Client(headers=headers, timeout=CONTROL_S, limits=limits, trust_env=False, verify=False)  # noqa: S501  # plain HTTP

    def to(self, name: str, address: str) -> "Remote":
        """A service at an address; `name` is what messages call it."""
        return Remote(name, address, self._client)

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()


class Remote:
    """One service."""

    def __init__(self, name: str, address: str, client: httpx.Client) -> None:
        self.name, self.address = name, address
        self._client = client

    def get(self, path: str, *, timeout_s: float = CONTROL_S) -> Any:
        """The JSON that a GET is answered with. Raises RemoteError."""
        return self._ask("GET", path, timeout_s)

    def put(self, path: str, body: Mapping[str, Any], *, timeout_s: float = CONTROL_S) -> Any:
        """The answer to a PUT. Raises RemoteError."""
        return self._ask("PUT", path, timeout_s, json=body)

    def post(self, path: str, body: Mapping[str, Any], *, timeout_s: float = CONTROL_S) -> Any:
        """The answer to a POST. Raises RemoteError."""
        return self._ask("POST", path, timeout_s, json=body)

    def send(self, path: str, message: bytes, *, timeout_s: float = CONTROL_S) -> None:
        """Posts a protobuf message. Raises RemoteError."""
        self._ask("POST", path, timeout_s, content=message, headers={"Content-Type": "application/x-protobuf"})

    def delete(self, path: str, *, timeout_s: float = CONTROL_S) -> Any:
        """The answer to a DELETE. Raises RemoteError."""
        return self._ask("DELETE", path, timeout_s)

    def _ask(self, method: str, path: str, timeout_s: float, **content: Any) -> Any:
        try:
            answer = self._client.request(method, f"{self.address}{path}", timeout=timeout_s, **content)
        except httpx.TimeoutException as error:
            raise RemoteAway(f"{self}: {method} {path} was not answered within {timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise RemoteAway(f"{self}: {method} {path} failed ({error or type(error).__name__})") from error
        if answer.is_success:
            return answer.json() if "json" in answer.headers.get("content-type", "") else None
        problem = problem_in(answer.content)
        if problem is None:
            raise RemoteAway(
                f"{self}: {method} {path} was answered with {answer.status_code} by something else than edgebed"
            )
        said = f"{answer.status_code} {told(problem)}"
        raise RemoteRefused(f"{self}: {method} {path} was refused: {said}", answer.status_code)

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"
