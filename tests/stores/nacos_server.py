"""What people do with a server of Nacos beside edgebed: namespaces, texts edited by hand, the list of instances; by its API."""

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from urllib.parse import urlencode

import pytest

from tests import servers

GROUP = "edgebed"
START_LIMIT_S = 300


class Server:
    """One that answers at HOST:PORT, asked as an administrator."""

    def __init__(self, address, token=None):
        self.address, self.token = address, token

    def ask(self, method, path, **parameters):
        """The answer's document."""
        form = urlencode(parameters)
        url = f"http://{self.address}/nacos/v3/{path}" + (f"?{form}" if method != "POST" else "")
        headers = {"accessToken": self.token} if self.token else {}
        request = urllib.request.Request(url, form.encode() if method == "POST" else None, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def set_by_hand(self, namespace, key, content):
        """As in the console."""
        self.ask("POST", "admin/cs/config", dataId=key, groupName=GROUP, namespaceId=namespace, content=content)

    def remove_by_hand(self, namespace, key):
        self.ask("DELETE", "admin/cs/config", dataId=key, groupName=GROUP, namespaceId=namespace)

    def names(self, namespace, service):
        """Of the healthy instances of a service."""
        found = self.ask("GET", "client/ns/instance/list", serviceName=service, groupName=GROUP, namespaceId=namespace)
        return sorted(i["metadata"].get("edgebed.name", "?") for i in found["data"] if i["healthy"])

    def namespaces(self):
        return [one["namespace"] for one in self.ask("GET", "admin/core/namespace/list")["data"]]

    @contextlib.contextmanager
    def namespace(self):
        """The name of one of the test's own, which is removed with what is in it."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        try:
            yield name
        finally:
            listed = self.ask("GET", "admin/cs/config/list", namespaceId=name, pageNo=1, pageSize=100)
            for config in listed["data"]["pageItems"]:
                self.remove_by_hand(name, config["dataId"])
            if name in self.namespaces():
                self.ask("DELETE", "admin/core/namespace", namespaceId=name)


class OwnServer:
    """A second one, of a test alone: with other data and ports, and with Java properties."""

    def __init__(self, folder, properties=None):
        servers.need_to_stop("nacos")  # there are scripts that start one
        self.port = _free_port()
        self.address = f"127.0.0.1:{self.port}"
        options = " ".join(f"-D{name}={value}" for name, value in (properties or {}).items())
        self._environment = {
            **os.environ,
            "EDGEBED_SERVERS_STATE": str(folder / "state"),
            "EDGEBED_NACOS_PORT": str(self.port),
            "EDGEBED_SERVERS_TIMEOUT": str(START_LIMIT_S),
            "JAVA_TOOL_OPTIONS": options,
        }

    def start(self):
        """Returns when it answers."""
        # `up` would wait until a stranger may write, which is not to be where users are asked for.
        starting = self._up()
        try:
            until = time.monotonic() + START_LIMIT_S
            while time.monotonic() < until:
                with contextlib.suppress(OSError, ValueError):
                    if Server(self.address).ask("GET", "admin/core/state/readiness")["code"] == 0:
                        return
                if starting.poll():  # on a busy machine it may give up on its own database
                    starting = self._up()
                time.sleep(0.2)
            pytest.fail(
                f"no second Nacos at {self.address}; its log is in {self._environment['EDGEBED_SERVERS_STATE']}"
            )
        finally:
            starting.terminate()
            starting.wait()

    def _up(self):
        return subprocess.Popen(
            [servers.SCRIPTS / "up", "nacos"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def purge(self):
        """Stops it and removes its data."""
        subprocess.run(
            [servers.SCRIPTS / "down", "nacos", "--purge"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )


def _free_port():
    """With those that Nacos adds: -1000, +1000 and +1001."""
    for port in range(20848, 30000, 10):
        try:
            for number in (port, port - 1000, port + 1000, port + 1001):
                socket.create_server(("127.0.0.1", number)).close()
        except OSError:
            continue
        return port
    raise OSError("no free ports")
