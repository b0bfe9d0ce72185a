"""Plays small experiments from the object to its results: what `helm test` runs, in the controller's image.

    python try.py CONTROLLER SECONDS FILE...

Files hold experiments as YAML. Each is created, waited for and, when it has succeeded, deleted; one that is left of an earlier
test is deleted first. How they stand is printed whenever that changes. Ends with 1 and the reason when one has failed, which is
then left for people to look at, or when the time is over. At last the controller must answer, to the token where there is one.
"""

import http.client
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

PAUSE_S = 0.5
TIMEOUT_S = 10.0
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN = Path("/etc/edgebed/secrets/token")


class Cluster:
    """The experiments of the namespace."""

    def __init__(self) -> None:
        server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
        namespace = (ACCOUNT / "namespace").read_text()
        self._base = f"{server}/apis/edgebed.dev/v1alpha1/namespaces/{namespace}/experiments"
        self._tls = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")

    def ask(self, method: str, name: str = "", content: bytes | None = None) -> dict[str, Any] | None:
        """The answer; None where there is no such experiment."""
        address = f"{self._base}/{name}" if name else self._base
        try:
            return answer(address, (ACCOUNT / "token").read_text(), method, content, self._tls)
        except urllib.error.HTTPError as error:
            if error.code == http.client.NOT_FOUND and name:
                return None
            raise

    def delete(self, name: str, end: float) -> None:
        """And waits until it is gone."""
        while self.ask("GET", name) is not None and time.monotonic() < end:
            self.ask("DELETE", name)
            time.sleep(PAUSE_S)


def answer(
    address: str,
    token: str | None,
    method: str = "GET",
    content: bytes | None = None,
    tls: ssl.SSLContext | None = None,
) -> dict[str, Any]:
    """The JSON at an address."""
    headers = {"Content-Type": "application/yaml"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token.strip()}"
    request = urllib.request.Request(address, data=content, headers=headers, method=method)  # noqa: S310  # http, as given
    with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=tls) as response:  # noqa: S310
        found: dict[str, Any] = json.load(response)
        return found


def main(controller: str, limit_s: float, files: list[Path]) -> int:
    """The exit status."""
    end = time.monotonic() + limit_s
    cluster = Cluster()
    waiting = {yaml.safe_load(file.read_text())["metadata"]["name"]: file for file in files}
    for name, file in waiting.items():
        cluster.delete(name, end)
        cluster.ask("POST", content=file.read_bytes())
    told: dict[str, str] = {}
    while waiting:
        for name in list(waiting):
            status = (cluster.ask("GET", name) or {}).get("status", {})
            held = {one["type"]: one for one in status.get("conditions", []) if one["status"] == "True"}
            line = " ".join(str(status.get(key, "")) for key in ("phase", "progress", "successRate")).strip()
            if line and told.get(name) != line:
                told[name] = line
                print(f"{name}: {line}", flush=True)
            if "Failed" in held:
                print(f"{name}: {held['Failed'].get('reason')}: {held['Failed'].get('message')}")
                return 1
            if "Succeeded" in held:
                cluster.delete(name, end)
                del waiting[name]
            elif time.monotonic() > end:
                conditions = "; ".join(one["message"] for one in status.get("conditions", []) if one.get("message"))
                print(f"{name}: not within {limit_s:.0f} s: {conditions or 'nobody looks after it'}")
                return 1
        time.sleep(PAUSE_S)
    answer(f"{controller}/v1/experiments", TOKEN.read_text() if TOKEN.exists() else None)
    print("the controller answers")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), [Path(name) for name in sys.argv[3:]]))
