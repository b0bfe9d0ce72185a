"""What services can be told while they run, at the terminal: seen and published through the controller."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from rich import box
from rich.table import Table

from edgebed.experiment.errors import EnvironmentFault, Problem, UserError
from edgebed.live.documents import known, read
from edgebed.settings import SettingsError, read_settings

CONTROLLER = "http://127.0.0.1:8080"
ANSWER_S = 10.0


def overview(controller: str | None) -> dict[str, Any]:
    """Every key with its text, its version, and who has which version in use; and who does not answer."""
    found: dict[str, Any] = _ask(controller, "GET", "/v1/configuration")
    return found


def text_of(controller: str | None, key: str) -> str:
    """The published text of a key. Raises UserError for a key that there is not."""
    found = overview(controller)["keys"][known(key)]["text"]
    if found is None:
        raise UserError(Problem(key, "is not published yet", f"publish it: edgebed configuration {key} FILE"))
    return str(found)


def publish(controller: str | None, key: str, file: Path) -> dict[str, Any]:
    """Publishes a file (`-` for standard input), once it has been checked. Raises UserError with all that is wrong with it."""
    text = _text(file)
    read(known(key), text, None if str(file) == "-" else str(file))  # here, because it can name the lines
    found: dict[str, Any] = _ask(controller, "PUT", f"/v1/configuration/{key}", json={"text": text})
    return found


def table(found: Mapping[str, Any]) -> Table:
    """The overview for people: a row for every key and version of it that some services have."""
    drawn = Table(box=box.SIMPLE)
    for name in ("configuration", "version", "in use by", ""):
        drawn.add_column(name, no_wrap=name == "configuration")
    for key, entry in found["keys"].items():
        same: dict[tuple[int, str], list[str]] = {}
        for one in entry["inUse"]:
            same.setdefault((one["version"], _remark(one, entry["version"])), []).append(one["name"])
        published = str(entry["version"] or "none")
        drawn.add_row(key, published, *_first(same))
        for (version, remark), names in list(same.items())[1:]:
            drawn.add_row("", str(version), ", ".join(names), remark)
    return drawn


def _first(same: Mapping[tuple[int, str], list[str]]) -> tuple[str, str]:
    if not same:
        return "nobody", ""
    (_, remark), names = next(iter(same.items()))
    return ", ".join(names), remark


def _remark(one: Mapping[str, Any], published: int) -> str:
    if one["refused"]:
        return str(one["refused"])
    if one["fromCache"]:
        return f"version {one['version']}, from the cache"
    return "" if one["version"] == published else f"version {one['version']}"


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(Problem("", "is not text", "save it as UTF-8"), str(file)) from error


def _ask(controller: str | None, method: str, path: str, **content: Any) -> Any:
    try:
        settings = read_settings("trainer", os.environ)  # as any service has them
    except SettingsError as error:
        raise UserError(Problem("", str(error), "")) from error
    address = (controller or settings.controller or CONTROLLER).rstrip("/")
    headers = {} if settings.token is None else {"Authorization": f"Bearer {settings.token}"}
    remedy = "start it, or name another with --controller or EDGEBED_CONTROLLER"
    try:
        with httpx.Client(headers=headers, timeout=ANSWER_S, trust_env=False) as client:
            answer = client.request(method, f"{address}{path}", **content)
        found = answer.json()
        if answer.is_success:
            return found
        detail = str(found.get("detail") or found.get("title"))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise EnvironmentFault(f"the controller at {address} does not answer ({error}); {remedy}") from error
    except (ValueError, AttributeError) as error:
        raise EnvironmentFault(f"{address} answers something else than a controller; {remedy}") from error
    if answer.status_code == 401:
        raise UserError(Problem("EDGEBED_TOKEN", "is not the controller's", "set the same here and there"))
    if answer.status_code == 422:
        raise UserError(Problem("", detail, ""))
    raise EnvironmentFault(f"the controller at {address} answers {answer.status_code}: {detail}")
