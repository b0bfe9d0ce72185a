"""`python -m scripts.settings_table docs/settings.md`: the table of the services' settings, from its definition."""

import sys
from pathlib import Path

from edgebed.live.documents import DOCUMENTS, fields
from edgebed.settings import PREFIX, SETTINGS

_HEAD = """# Settings of the services

<!-- made by `python -m scripts.settings_table`; change services/edgebed/settings.py and live/documents.py instead -->

`edgebed serve controller|edge-node|task-generator|trainer` starts one service with settings from environment variables; that
is how containers start them. On one machine `edgebed run FILE --backend processes` sets them itself. A secret may come from
a file: set the variable with `_FILE` appended to the file's path. An unknown variable with the prefix is refused.

| variable | read by | default | meaning | example |
|---|---|---|---|---|
"""

_LIVE = """
## What can be changed while it runs

These are documents in YAML or JSON, one per key, that the controller or Nacos hands to every service within two seconds. A
controller publishes the defaults where there is nothing, so that there is something to edit. A document that a service cannot
use is refused there with the reason, and the one before stays in use; a field that is left out has its default.
`edgebed configuration` shows all of them with their versions and who has them in use, `edgebed configuration edge-node` prints
one, and `edgebed configuration edge-node FILE` publishes it; `GET /v1/state` of a service says what that service has in use.
The last good ones are kept in `EDGEBED_CACHE` for a start at which nobody can be asked.

Parameters in `policies` are written into an experiment when the controller takes it, and the specification as run says them;
an experiment that has begun keeps those that it has.

| key | field | default | meaning |
|---|---|---|---|
"""


def table() -> str:
    """The page."""
    rows = []
    for s in SETTINGS:
        name = f"`{PREFIX}{s.name}`" + (f", `{PREFIX}{s.name}_FILE`" if s.secret else "")
        default = "none" if s.default is None else s.default
        rows.append(f"| {name} | {', '.join(s.services)} | {default} | {s.meaning} | `{s.example}` |")
    live = [
        f"| `{key}` | `{name}` | `{default}` | {meaning} |"
        for key in DOCUMENTS
        for name, default, meaning in fields(key)
    ]
    return _HEAD + "\n".join(rows) + "\n" + _LIVE + "\n".join(live) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8")
