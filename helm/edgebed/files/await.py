"""Waits until experiments of the namespace have succeeded: what `helm test` runs, in the controller's image.

    python await.py CONTROLLER NAME...

Prints how they stand whenever that changes, and ends with 1 and the reason when one has failed or the time is over. Afterwards
the controller must know how to answer, with the token where there is one.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

LIMIT_S = 280.0
"""Less than the five minutes after which Helm gives up, so that people read a reason."""
PAUSE_S = 1.0
TIMEOUT_S = 10.0
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN = Path("/etc/edgebed/secrets/token")


def experiment(name: str) -> dict[str, object]:
    """The object as the API server has it."""
    server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    path = f"apis/edgebed.dev/v1alpha1/namespaces/{(ACCOUNT / 'namespace').read_text()}/experiments/{name}"
    return answer(
        f"{server}/{path}", (ACCOUNT / "token").read_text(), ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    )


def answer(address: str, token: str | None, tls: ssl.SSLContext | None = None) -> dict[str, object]:
    """The JSON at an address."""
    headers = {} if token is None else {"Authorization": f"Bearer {token.strip()}"}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310  # the chart gives the address
    with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=tls) as response:  # noqa: S310
        found: dict[str, object] = json.load(response)
        return found


def conditions(status: dict) -> dict[str, str]:
    """Types of the conditions that hold, with their messages."""
    return {one["type"]: one.get("message", "") for one in status.get("conditions", []) if one["status"] == "True"}


def main(controller: str, names: list[str]) -> int:
    """The exit status."""
    end, told, waiting = time.monotonic() + LIMIT_S, {}, set(names)
    while waiting:
        for name in sorted(waiting):
            try:
                status = experiment(name).get("status", {})
            except (OSError, ValueError) as error:
                status = {"phase": f"unknown: {error}"}
            held = conditions(status)
            line = " ".join(str(status.get(key, "")) for key in ("phase", "progress", "successRate")).strip()
            if told.get(name) != line:
                told[name] = line
                print(f"{name}: {line}", flush=True)
            if "Failed" in held:
                print(f"{name}: {held['Failed']}", flush=True)
                return 1
            if "Succeeded" in held:
                waiting.discard(name)
        if waiting and time.monotonic() > end:
            print(f"not within {LIMIT_S:.0f} s: {', '.join(sorted(waiting))}; kubectl describe experiment tells more")
            return 1
        time.sleep(PAUSE_S)
    known = answer(f"{controller}/v1/experiments", TOKEN.read_text() if TOKEN.exists() else None)
    print(f"the controller answers, and knows {len(known['experiments'])} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
