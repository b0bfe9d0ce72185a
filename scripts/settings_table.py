"""`python -m scripts.settings_table docs/settings.md`: the table of the services' settings, from its definition."""

import sys
from pathlib import Path

from edgebed.settings import PREFIX, SETTINGS

_HEAD = """# Settings of the services

<!-- made by `python -m scripts.settings_table`; change services/edgebed/settings.py instead -->

`edgebed serve controller|edge-node|task-generator|trainer` starts one service with settings from environment variables; that
is how containers start them. On one machine `edgebed run FILE --backend processes` sets them itself. A secret may come from
a file: set the variable with `_FILE` appended to the file's path. An unknown variable with the prefix is refused.

| variable | read by | default | meaning | example |
|---|---|---|---|---|
"""


def table() -> str:
    """The page."""
    rows = []
    for s in SETTINGS:
        name = f"`{PREFIX}{s.name}`" + (f", `{PREFIX}{s.name}_FILE`" if s.secret else "")
        default = "none" if s.default is None else s.default
        rows.append(f"| {name} | {', '.join(s.services)} | {default} | {s.meaning} | `{s.example}` |")
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8")
