"""Draws the life of a task into docs/model.md, from the table that the node core asks: python -m scripts.lifecycle."""

from pathlib import Path

from edgebed.systems.cooperative.lifecycle import TERMINAL, TRANSITIONS, TaskState

PAGE = Path(__file__).parents[1] / "docs/model.md"
BEGIN, END = "<!-- lifecycle: made by", "<!-- end of lifecycle -->"
STARTS = (TaskState.WAITING_TO_SEND, TaskState.WAITING_TO_EXECUTE)


def diagram() -> str:
    """A Mermaid state diagram: an arrow per event, an end per terminal state."""
    lines = ["stateDiagram-v2", "    direction LR"]
    lines += [f"    [*] --> {state.label}" for state in STARTS]
    lines += [
        f"    {state.label} --> {following.label}: {event}"
        for state, events in TRANSITIONS.items()
        for event, following in events.items()
    ]
    lines += [f"    {state.label} --> [*]" for state in sorted(TERMINAL)]
    return "\n".join(lines)


def written(page: str) -> str:
    """The page with the diagram between its two marks. Raises ValueError where a mark is missing."""
    begin = page.index("\n", page.index(BEGIN)) + 1
    return f"{page[:begin]}\n```mermaid\n{diagram()}\n```\n\n{page[page.index(END, begin) :]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
