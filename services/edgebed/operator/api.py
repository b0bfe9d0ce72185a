"""The API server, in the few requests that the operator makes: plain objects in and out, every wait limited.

    api = Api(login, namespace)
    api.get("StatefulSet", "o2o-node")          # None where there is none
    api.apply(item)                             # server-side: what we say wins, what others say stays

ApiError
  Away            it does not answer, or not now: try again
  Conflict        somebody was faster, or the object is another by now: look again
  Refused         not allowed so: what it says is for people

The official client would do, at 60 MB and seconds of import for code of every kind of object; kopf brings the login.
"""

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from edgebed.operator.names import MANAGER
from edgebed.operator.plan import Item

TIMEOUT_S = 10.0
LOGIN_S = 60.0
"""How often credentials are read again: the token of a service account is replaced every hour."""

PATHS = {
    "Experiment": ("apis/edgebed.dev/v1alpha1", "experiments"),
    "StatefulSet": ("apis/apps/v1", "statefulsets"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "Job": ("apis/batch/v1", "jobs"),
    "Service": ("api/v1", "services"),
    "ConfigMap": ("api/v1", "configmaps"),
    "Pod": ("api/v1", "pods"),
    "Event": ("api/v1", "events"),
}


class ApiError(Exception):
    """A request that was not carried out."""


class Away(ApiError):
    """The API server does not answer, or has no time."""


class Conflict(ApiError):
    """What was meant is not what is there."""


class Refused(ApiError):
    """Not allowed, or not valid."""


@dataclass(frozen=True)
class Access:
    """How to reach an API server."""

    server: str
    tls: ssl.SSLContext
    headers: Mapping[str, str]
    namespace: str | None
    """Where whoever logs in is at home."""


class Api:
    """One namespace of an API server. Safe to use from several threads."""

    def __init__(self, login: Callable[[], Access], namespace: str) -> None:
        """`login` is asked again and again; it is expected to raise EnvironmentFault when it cannot."""
        self.namespace = namespace
        self._login, self._lock = login, threading.Lock()
        self._access = login()
        self._asked = time.monotonic()
        self._client = self._opened(self._access)

    def close(self) -> None:
        """No more requests."""
        self._client.close()

    def get(self, kind: str, name: str) -> Item | None:
        """An object; None where there is none."""
        found: Item | None = self._json("GET", self._path(kind, name), absent=True)
        return found

    def listed(self, kind: str, **selectors: str) -> list[Item] | None:
        """The objects of a kind, by `labelSelector` or `fieldSelector`; None where the kind is not known."""
        found = self._json("GET", self._path(kind), absent=True, parameters=selectors)
        return None if found is None else list(found.get("items") or [])

    def apply(self, item: Item) -> None:
        """Creates an object, or makes it what we say."""
        path = self._path(item["kind"], item["metadata"]["name"])
        parameters = {"fieldManager": MANAGER, "force": "true"}
        self._json("PATCH", path, item, parameters=parameters, content_type="application/apply-patch+yaml")

    def patch(self, kind: str, name: str, body: Item, part: str = "") -> None:
        """Changes some fields; `part` may be status. With metadata.resourceVersion, those of that version."""
        path = self._path(kind, name) + (f"/{part}" if part else "")
        parameters = {"fieldManager": MANAGER}
        self._json("PATCH", path, body, parameters=parameters, content_type="application/merge-patch+json")

    def delete(self, kind: str, name: str, uid: str) -> None:
        """Deletes the very object, and what it owns after it; one that is gone, or is another, is left alone."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        with contextlib.suppress(Conflict):
            self._json("DELETE", self._path(kind, name), body, absent=True)

    def create(self, kind: str, item: Item) -> None:
        """Creates an object that need not have a name."""
        self._json("POST", self._path(kind), item, parameters={"fieldManager": MANAGER})

    def log_of(self, pod: str, lines: int) -> list[str]:
        """The last lines of a pod's log; none where it has none yet."""
        path, parameters = f"{self._path('Pod', pod)}/log", {"tailLines": str(lines)}
        try:
            return self._request("GET", path, None, parameters, "application/json").text.splitlines()
        except (Refused, _Absent):
            return []

    def _path(self, kind: str, name: str = "") -> str:
        version, plural = PATHS[kind]
        return f"/{version}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def _json(
        self,
        method: str,
        path: str,
        body: Item | None = None,
        *,
        absent: bool = False,
        parameters: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        try:
            return self._request(method, path, body, parameters or {}, content_type).json()
        except _Absent:
            if absent:
                return None
            raise

    def _request(
        self, method: str, path: str, body: Item | None, parameters: Mapping[str, str], content_type: str
    ) -> httpx.Response:
        self._mind_login()
        content = None if body is None else json.dumps(body)
        try:
            answer = self._client.request(
                method, path, content=content, params=parameters, headers={"Content-Type": content_type}
            )
        except httpx.HTTPError as error:
            raise Away(f"the API server does not answer: {type(error).__name__} {error}") from error
        if answer.is_success:
            return answer
        said = f"{method} {path}: {_message(answer)}"
        match answer.status_code:
            case 404:
                raise _Absent(said)
            case 409:
                raise Conflict(said)
            case 401:
                self._asked = 0.0  # perhaps the token is an old one
                raise Away(said)
            case 429 | 500 | 502 | 503 | 504:
                raise Away(said)
            case _:
                raise Refused(_message(answer))

    def _mind_login(self) -> None:
        with self._lock:
            if time.monotonic() - self._asked < LOGIN_S:
                return
            self._asked = time.monotonic()
            access = self._login()
            if (access.server, access.headers) != (self._access.server, self._access.headers):
                before, self._client, self._access = self._client, self._opened(access), access
                before.close()

    @staticmethod
    def _opened(access: Access) -> httpx.Client:
        headers = {"Accept": "application/json", **access.headers}
        return httpx.Client(
            base_url=access.server, verify=access.tls, headers=headers, timeout=TIMEOUT_S, trust_env=False
        )


class _Absent(Refused):
    """There is no such thing."""


def _message(answer: httpx.Response) -> str:
    """What the API server says, for people."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
