"""What servers of Nacos 3 say and take by plain HTTP, with the standard library only: a node cannot afford more.

Each question has a limit of TIMEOUT_S a server; the server that answered last is asked first, the others when it does not.
The paths below `client` are for every user. Those below `admin` need a user with rights, where the servers ask for one.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from edgebed.experiment.errors import EnvironmentFault, Problem, UserError
from edgebed.stores.nacos_url import PUBLIC

TIMEOUT_S = 3.0
GROUP = "edgebed"
"""Of everything that we keep in Nacos."""

_NO_CONFIG, _CONFLICT, _NO_INSTANCE, _NO_NAMESPACE, _FORBIDDEN = 20004, 20005, 21003, 22001, 403
_LOGIN, _READY = "auth/user/login", "admin/core/state/readiness"
_KEPT = 4
"""Connections that are kept open at most."""


Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Registration:
    """An instance as Nacos holds it."""

    ip: str
    """Or a host's name."""
    port: int
    metadata: Mapping[str, str]
    """Without what tells Nacos how to treat it."""


class Refused(Exception):
    """A server understood, and said no."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code


class NacosHttp:
    """Safe to use from several threads. EnvironmentFault when no server answers, UserError when they refuse the user."""

    def __init__(self, servers: Sequence[str], namespace: str, user: str | None, password: str | None) -> None:
        """`servers` as HOST:PORT. Nothing is asked yet."""
        self.namespace = namespace
        self._servers = list(servers)
        self._user, self._password = user, password
        self._token: str | None = None
        self._token_until = 0.0
        self._idle: list[tuple[str, http.client.HTTPConnection]] = []
        self._lock = threading.Lock()

    def version(self) -> str:
        """Of the server that answers."""
        return self._ask(lambda found: str(found["version"]), "GET", "admin/core/state")

    def make_namespace(self) -> bool:
        """Creates the namespace where there is none, because Nacos shows nobody what is in one that does not exist.

        True when that is settled, as well where this user may not look; False where the servers could not do it now, which
        keeps nobody from using it. UserError where there is none and this user may not create it.
        """
        name = self.namespace
        if name == PUBLIC:
            return True
        try:
            if not self._has_namespace():
                self._ask(_nothing, "POST", "admin/core/namespace", {"namespaceId": name, "namespaceName": name})
        except Refused as refused:
            if refused.code == _FORBIDDEN:
                found, remedy = f"namespace {name!r} does not exist", f"create it in Nacos, or give {PUBLIC}"
                raise UserError(Problem("EDGEBED_COORDINATION", found, remedy)) from refused
            return False  # such as when two create it at once
        return True

    def read(self, key: str) -> tuple[str, int] | None:
        """A configuration's content, and when it was set: milliseconds of the servers' clock. None where there is none."""
        try:
            return self._ask(_content, "GET", "client/cs/config", self._config(key))
        except Refused as refused:
            if refused.code == _NO_CONFIG:
                return None
            raise self._fault(f"configuration {key}: {refused}") from refused

    def publish(self, key: str, content: str, instead_of: str) -> bool:
        """Sets it where the content there has this MD5 (any, when empty); False where it has another. Needs rights."""
        try:
            headers = {"casMd5": instead_of} if instead_of else {}
            self._ask(_nothing, "POST", "admin/cs/config", {**self._config(key), "content": content}, headers)
        except Refused as refused:
            if refused.code == _CONFLICT:
                return False
            raise self._fault(f"configuration {key} cannot be set: {refused}") from refused
        return True

    def remove(self, key: str) -> None:
        """Needs rights."""
        try:
            self._ask(_nothing, "DELETE", "admin/cs/config", self._config(key))
        except Refused as refused:
            raise self._fault(f"configuration {key} cannot be removed: {refused}") from refused

    def instances(self, service: str) -> list[Registration]:
        """Those of a service that are healthy; as they were half a second ago, perhaps."""
        try:
            return self._ask(_registrations, "GET", "client/ns/instance/list", self._service(service))
        except Refused as refused:
            raise self._fault(f"service {service}: {refused}") from refused

    def enter(self, service: str, ip: str, port: int, metadata: Mapping[str, str]) -> None:
        """Registers an instance that is to be heard of."""
        self._instance("POST", service, ip, port, metadata=json.dumps(dict(metadata)))

    def beat(self, service: str, ip: str, port: int) -> bool:
        """Says that it is still there; False where the server knows nothing of it."""
        return self._instance("POST", service, ip, port, heartBeat="true")

    def leave(self, service: str, ip: str, port: int) -> None:
        """Takes it out."""
        self._instance("DELETE", service, ip, port)

    def close(self) -> None:
        """Closes what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _instance(self, method: str, service: str, ip: str, port: int, **more: str) -> bool:
        parameters = {**self._service(service), "ip": ip, "port": str(port), "ephemeral": "true", **more}
        try:
            self._ask(_nothing, method, "client/ns/instance", parameters)
        except Refused as refused:
            if refused.code == _NO_INSTANCE:
                return False
            raise self._fault(f"service {service}: {refused}") from refused
        return True

    def _has_namespace(self) -> bool:
        """True as well where this user may not know."""
        try:
            self._ask(_nothing, "GET", "admin/core/namespace", {"namespaceId": self.namespace})
        except Refused as refused:
            if refused.code not in (_NO_NAMESPACE, _FORBIDDEN):
                raise
            return refused.code == _FORBIDDEN
        return True

    def _config(self, key: str) -> dict[str, str]:
        return {"dataId": key, "groupName": GROUP, "namespaceId": self.namespace}

    def _service(self, service: str) -> dict[str, str]:
        return {"serviceName": service, "groupName": GROUP, "namespaceId": self.namespace}

    def _fault(self, reason: str) -> EnvironmentFault:
        return EnvironmentFault(f"Nacos at {','.join(self._servers)}: {reason}")

    def _ask(
        self,
        read: Callable[[Any], Answer],
        method: str,
        path: str,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """What `read` makes of the data of an answer. Raises Refused with Nacos's code."""
        for attempt in range(2):
            status, answer = self._send(method, path, {**(headers or {}), **self._authorization()}, parameters or {})
            if status not in (401, 403):
                break
            self._token = None  # it may have been given by a server that was started anew
            if self._user is None or attempt:
                raise self._no_right(path)
        try:
            if answer["code"] == 0:
                return read(answer["data"])
            refused = Refused(int(answer["code"]), f"{answer.get('message')}: {answer.get('data')}"[:300])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._fault("answers something else than Nacos; mend EDGEBED_COORDINATION") from error
        raise refused

    def _no_right(self, path: str) -> Exception:
        if path.startswith("admin/core/namespace") and self._user is not None:
            return Refused(_FORBIDDEN, "no right to namespaces")
        if self._user is None:
            found, remedy = "is missing, and Nacos asks for one", "set it and EDGEBED_COORDINATION_PASSWORD"
        else:
            found = f"{self._user!r} may not {'write' if 'admin' in path else 'read'} in namespace {self.namespace!r}"
            remedy = "give this user the right in Nacos, or name another"
        return UserError(Problem("EDGEBED_COORDINATION_USER", found, remedy))

    def _authorization(self) -> dict[str, str]:
        if self._user is None:
            return {}
        if self._token is None or time.monotonic() > self._token_until:
            login = {"username": self._user, "password": self._password or ""}
            status, answer = self._send("POST", _LOGIN, {}, login)
            # To a wrong password Nacos answers 403, or 500 when it knows the user; to which a broken database may lead too.
            if status != 200 and (status != 500 or self._send("GET", _READY, {}, {})[1].get("code") == 0):
                raise UserError(
                    Problem(
                        "EDGEBED_COORDINATION_USER",
                        f"Nacos does not know {self._user!r} with this password",
                        "mend it or EDGEBED_COORDINATION_PASSWORD",
                    )
                )
            if status != 200:
                raise self._fault("cannot tell whether it knows the user; see its log")
            try:
                self._token = str(answer["accessToken"])
                self._token_until = time.monotonic() + 0.9 * float(answer.get("tokenTtl", 18000))
            except (KeyError, TypeError, ValueError) as error:
                raise self._fault("answers something else than Nacos; mend EDGEBED_COORDINATION") from error
        return {"accessToken": self._token}

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], parameters: Mapping[str, str]
    ) -> tuple[int, dict[str, Any]]:
        """Status and document, from the first server that gives one."""
        reasons = []
        for server in list(self._servers):
            try:
                status, body = self._exchange(server, method, path, headers, urlencode(parameters))
                answer = json.loads(body) if body else {}
                if isinstance(answer, dict) and (status in (401, 403) or path == _LOGIN or "code" in answer):
                    self._prefer(server)
                    return status, answer
                reasons.append(f"{server} answers {status}")
            except (OSError, http.client.HTTPException) as error:
                reasons.append(f"{server}: {error or type(error).__name__}")
            except ValueError:
                reasons.append(f"{server} answers {status} and no JSON")
        raise EnvironmentFault(f"Nacos does not answer ({'; '.join(reasons)}); start it, or mend EDGEBED_COORDINATION")

    def _prefer(self, server: str) -> None:
        if self._servers[0] != server:
            with self._lock:
                self._servers = [server, *(other for other in self._servers if other != server)]

    def _exchange(
        self, server: str, method: str, path: str, headers: Mapping[str, str], form: str
    ) -> tuple[int, bytes]:
        target, body = f"/nacos/v3/{path}", None
        sent = dict(headers)
        if method == "POST":
            body, sent["Content-Type"] = form.encode(), "application/x-www-form-urlencoded"
        elif form:
            target = f"{target}?{form}"
        connection = self._take(server)
        while True:
            kept = connection is not None
            connection = connection or http.client.HTTPConnection(server, timeout=TIMEOUT_S)
            try:
                connection.request(method, target, body, sent)
                answer = connection.getresponse()
                content = answer.read()
            except (ConnectionError, http.client.BadStatusLine):
                connection.close()
                if not kept:
                    raise
                connection = None  # the server had closed it meanwhile; once more with a new one
                continue
            except BaseException:
                connection.close()
                raise
            self._keep(server, connection, answer.will_close)
            return answer.status, content

    def _take(self, server: str) -> http.client.HTTPConnection | None:
        with self._lock:
            for position, (whose, connection) in enumerate(self._idle):
                if whose == server:
                    del self._idle[position]
                    return connection
        return None

    def _keep(self, server: str, connection: http.client.HTTPConnection, ended: bool) -> None:
        with self._lock:
            if not ended and len(self._idle) < _KEPT:
                self._idle.append((server, connection))
                return
        connection.close()


def _content(found: Any) -> tuple[str, int]:
    return str(found["content"] or ""), int(found["lastModified"])


def _registrations(found: Any) -> list[Registration]:
    return [_registration(one) for one in found or () if one["healthy"] and one["enabled"]]


def _registration(found: Any) -> Registration:
    metadata = {str(key): str(text) for key, text in found["metadata"].items() if not key.startswith("preserved.")}
    return Registration(str(found["ip"]), int(found["port"]), metadata)


def _nothing(_: Any) -> None:
    return None
