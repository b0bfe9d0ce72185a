"""The lifecycle table as a Mermaid state diagram, in the page that states the model.

python -m edgebed.systems.cooperative.diagram docs/model.md

writes it between the two markers of that page; a test says when that was forgotten.
"""

import sys
from pathlib import Path

from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.lifecycle import TERMINAL, TRANSITIONS, TaskState

BEGIN, END = "<!-- lifecycle -->", "<!-- /lifecycle -->"


def diagram() -> str:
    """The states and events of a task as a fenced Mermaid block."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines.append(f"    [*] --> {TaskState.WAITING_TO_SEND.label}: decide, another node")
    lines.append(f"    [*] --> {TaskState.WAITING_TO_EXECUTE.label}: decide, itself")
    for state, events in TRANSITIONS.items():
        lines += [f"    {state.label} --> {following.label}: {event}" for event, following in events.items()]
    lines += [f"    {state.label} --> [*]" for state in sorted(TERMINAL)]
    return "\n".join([*lines, "```"])


def written_into(page: str) -> str:
    """The page with the diagram between its markers. Raises ModelError for a page that has not one pair of them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        raise ModelError(
            "page", f"{page.count(BEGIN)} and {page.count(END)} markers", f"give one {BEGIN} before one {END}"
        )
    return f"{before}{BEGIN}\n\n{diagram()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written_into(path.read_text(encoding="utf-8")), encoding="utf-8")
