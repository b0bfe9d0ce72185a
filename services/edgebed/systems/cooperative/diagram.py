"""The lifecycle as a picture, drawn from the table that defines it.

python -m edgebed.systems.cooperative.diagram docs/model.md            # write between the markers
python -m edgebed.systems.cooperative.diagram docs/model.md --check    # exit code 1 if that would change the file
"""

import argparse
import sys
from pathlib import Path

from edgebed.systems.cooperative.lifecycle import TERMINAL, TRANSITIONS, TaskState

BEGIN = "<!-- lifecycle: drawn by python -m edgebed.systems.cooperative.diagram -->"
END = "<!-- end of lifecycle -->"


def mermaid() -> str:
    """The transitions as a mermaid state diagram."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [
        f"    [*] --> {state.label}: decided, {where}"
        for state, where in ((TaskState.WAITING_TO_SEND, "elsewhere"), (TaskState.WAITING_TO_EXECUTE, "here"))
    ]
    for state, events in TRANSITIONS.items():
        lines += [f"    {state.label} --> {following.label}: {event}" for event, following in events.items()]
    lines += [f"    {state.label} --> [*]" for state in sorted(TERMINAL)]
    return "\n".join([*lines, "```"])


def redrawn(text: str) -> str:
    """The page with the diagram between its markers. Raises ValueError when the page has no pair of them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no place for the diagram: write the lines {BEGIN} and {END} where it should be")
    return f"{before}{BEGIN}\n{mermaid()}\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Write or check a page. Returns the exit code: 1 when a checked page differs, 2 when it cannot be drawn into."""
    parser = argparse.ArgumentParser(prog="python -m edgebed.systems.cooperative.diagram", description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", default=Path("docs/model.md"))
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page differs")
    given = parser.parse_args(arguments)
    try:
        text = given.page.read_text(encoding="utf-8")
        drawn = redrawn(text)
    except (OSError, ValueError) as error:
        print(f"{given.page}: {error}", file=sys.stderr)
        return 2
    if given.check and drawn != text:
        print(f"{given.page}: the lifecycle has changed; run this command without --check", file=sys.stderr)
        return 1
    if drawn != text:
        given.page.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
