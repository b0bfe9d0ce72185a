"""The live view of a testbed run: phase, episode, success rates with a spark line, and every node's queues.

In a terminal it is redrawn in place; elsewhere, a line is printed whenever the phase changes or a tenth of it is done.
"""

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

BARS = "▁▂▃▄▅▆▇█"
SPARKS = 24
"""Episodes of a spark line."""
_STREAMS = ("evaluate", "online", "collect")


class LiveView:
    """Shows what it is told; a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._live: Live | None = None
        self._said: tuple[str, int] = ("", -1)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, state: Mapping[str, Any]) -> None:
        """The experiment's state, as the controller's API has it."""
        if self._live is not None:
            self._live.update(drawn(state, self._console.width), refresh=True)
            return
        episode = state.get("episode") or {}
        tenth = int(10 * episode["done"] / episode["of"]) if episode.get("of") else 0
        phase = state.get("phase") or ""
        if phase and (phase, tenth) != self._said:
            self._said = (phase, tenth)
            print(": ".join(filter(None, (phase, _count(episode)))), file=sys.stderr, flush=True)


def drawn(state: Mapping[str, Any], width: int) -> Group:
    """The whole view."""
    episode = state.get("episode") or {}
    head = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=episode.get("of") or 1, completed=episode.get("done") or 0, width=24)
    head.add_row(Text(state.get("phase") or "starting", style="bold"), bar, _count(episode))
    parts: list[Any] = [head]
    if state.get("methods"):
        parts.append(_methods(state["methods"]))
    if state.get("nodes"):
        parts.append(_nodes(state["nodes"], width))
    late = state.get("slotLatenessSeconds") or {}
    if late.get("p99") is not None:
        text = f"slots begin {1000 * late['p50']:.1f} ms late, 99 % of them at most {1000 * late['p99']:.1f} ms"
        if not state.get("reliable", True):
            parts.append(Text(f"{text}; {state['lateEpisodes']} episodes are unreliable", style="red"))
        else:
            parts.append(Text(text, style="dim"))
    return Group(*parts)


def spark(rates: Sequence[float | None], low: float, high: float) -> str:
    """A character per episode, the lowest bar for `low` and the highest for `high`."""
    span = high - low or 1.0
    steps = [None if r is None else round((len(BARS) - 1) * min(1.0, max(0.0, (r - low) / span))) for r in rates]
    return "".join(" " if step is None else BARS[step] for step in steps)


def _methods(methods: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("method", "episodes", "success %", "latest episodes"):
        table.add_column(name, justify="left" if name in ("method", "latest episodes") else "right", no_wrap=True)
    shown = [
        (name, stream, streams[stream]) for name, streams in methods.items() for stream in _STREAMS if stream in streams
    ]
    rates = [r for _, _, series in shown for r in series["history"][-SPARKS:] if r is not None]
    low, high = (min(rates), max(rates)) if rates else (0.0, 1.0)
    for name, stream, series in shown:
        label = name if stream == "evaluate" else f"{name} ({stream})"
        mean = series["successRate"]
        line = spark(series["history"][-SPARKS:], low, high)
        table.add_row(label, str(series["episodes"]), "-" if mean is None else f"{100 * mean:.1f}", line)
    return table


def _nodes(nodes: Sequence[Mapping[str, Any]], width: int) -> Table:
    """Waiting tasks of every node: for its processor, and for its links."""
    table = Table.grid(padding=(0, 2, 0, 0))
    cells = []
    for node in nodes:
        if node.get("lost"):
            cells.append(Text(f"{node['node']:>3} lost", style="red"))
            continue
        busy = "■" if node.get("executing") else "□"
        waiting, links = node.get("waiting", 0), sum(node.get("waitingTo") or [])
        cells.append(
            Text(f"{node['node']:>3} {busy} {waiting:>2} waiting, {node.get('sending', 0)} sending, {links} queued")
        )
    columns = max(1, min(len(cells), width // 40))
    for begin in range(0, len(cells), columns):
        table.add_row(*cells[begin : begin + columns])
    return table


def _count(episode: Mapping[str, Any]) -> str:
    return f"{episode['done']:,.0f} of {episode['of']:,.0f}" if episode.get("of") else ""
