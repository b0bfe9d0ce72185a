"""A Prometheus of a test's own: it scrapes what it is told, keeps what it saw, and is asked as Grafana asks it."""

import json
import math
import re
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from tests.servers import program

SCRAPE_S = 0.5
READY_S = 60.0


class Prometheus:
    """In a process of its own, from entering to leaving."""

    def __init__(self, folder: Path, port: int, rules: Sequence[Path] = ()) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._targets = folder / "targets.json"
        self._targets.write_text("[]")
        configuration = {
            "global": {"scrape_interval": f"{SCRAPE_S * 1000:g}ms", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [
                {
                    "job_name": "edgebed",
                    "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": "1s"}],
                }
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(configuration))
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=self.address, trust_env=False, timeout=20)

    def __enter__(self) -> Self:
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program("prometheus", "prometheus"),
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self.address.removeprefix('http://')}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + READY_S
        while not self._ready():
            said = (self._folder / "prometheus.log").read_text()[-1000:]
            assert self._process.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    def scrape(self, addresses: Iterable[str]) -> None:
        """From about five seconds after the call on."""
        targets = sorted(address.removeprefix("http://") for address in addresses)
        new = self._targets.with_suffix(".new")
        new.write_text(json.dumps([{"targets": targets}]))
        new.replace(self._targets)

    def get(self, path: str, **parameters: Any) -> Any:
        """The data of an answer."""
        answer = self._client.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def finite(self, expression: str, window: tuple[float, float]) -> list[dict[str, str]]:
        """The labels of the series that the expression has within a window of Unix seconds, with a finite value."""
        found = self.get("query_range", query=expression, start=window[0], end=window[1], step=1)["result"]
        return [one["metric"] for one in found if any(math.isfinite(float(value)) for _, value in one["values"])]

    def values(self, definition: str, window: tuple[float, float]) -> list[str]:
        """Of a variable with `label_values(selector, label)`."""
        selector, label = _DEFINITION.fullmatch(definition).groups()
        return list(self.get(f"label/{label}/values", **{"match[]": selector, "start": window[0], "end": window[1]}))

    def _ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False


_DEFINITION = re.compile(r"label_values\((.*), ?(\w+)\)")


def filled(text: str, chosen: Mapping[str, str], interval: str = "4s") -> str:
    """An expression or definition with the variables that were chosen, as Grafana asks it."""
    text = text.replace("$__rate_interval", interval)
    for name, value in chosen.items():
        text = re.sub(rf"\$\{{{name}\}}|\${name}\b", value.replace("\\", r"\\"), text)
    assert "$" not in text, text
    return text
