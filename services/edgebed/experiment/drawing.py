"""How figures look: few inks, one colour per method, text that is text, and no decoration.

Colours are those of Okabe and Ito, which people with any colour vision can tell apart; learned methods have colours,
heuristics greys. In SVG every ink is a CSS variable with the printed colour as fallback, so a figure inside the report
follows the reader's light or dark theme.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK = "#1b2631"
FAINT = "#6b7782"
RULE = "#d9dee3"
PAPER = "#ffffff"

LEARNED = {
    "offline-to-online": "#0072b2",
    "online": "#d55e00",
    "offline": "#009e73",
    "networks": "#cc79a7",
    "networks-to-online": "#5d4ea6",
}
_MORE = ("#e69f00", "#56b4e9", "#8c564b")
_HEURISTICS = ("#3f4a54", "#76828d", "#98a3ad", "#5a6570", "#86919b", "#b0b9c1")
REFERENCE = "#a58a4a"
LOSSES = {"dropped": "#a86f00", "failed": "#a5402f", "unfinished": "#98a3ad"}

ON_DARK = {
    "#0072b2": "#4aa8e0", "#d55e00": "#f0813a", "#009e73": "#2dbf97", "#cc79a7": "#dd9bc0", "#e69f00": "#f0b53d",
    "#56b4e9": "#86cbf2", "#8c564b": "#b98a80", "#5d4ea6": "#9d90dc", "#3f4a54": "#dbe1e6", "#76828d": "#aeb8c1",
    "#98a3ad": "#87939e", "#5a6570": "#c5ced6", "#86919b": "#9ca8b2", "#b0b9c1": "#74808b", REFERENCE: "#c9ad68",
    LOSSES["dropped"]: "#c08a1c", LOSSES["failed"]: "#bf5a48",
}  # fmt: skip
"""What each colour becomes on a dark page, with the contrast that it has on a light one."""

LABEL_ON_BAR = "#fefefe"

WIDTH = 6.0
"""Inches of every figure; in the report it takes the column's width."""

_VARIABLES = {INK: "ink", FAINT: "faint", RULE: "rule", PAPER: "paper"}
_STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": FAINT,
    "axes.labelsize": 8.5,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "edgebed",
}


@dataclass(frozen=True)
class Drawn:
    """A finished figure."""

    name: str
    """Of its files."""
    title: str
    """What it shows, as a finding."""
    note: str
    """How to read it."""
    svg: str
    """A file of its own, with the title."""
    inline: str
    """For a page that prints the title itself."""
    png: bytes


def colours(methods: Mapping[str, Any], order: Sequence[str], references: Mapping[str, str]) -> dict[str, str]:
    """A colour for each method; the same in every figure of a run."""
    chosen: dict[str, str] = {}
    more, greys = iter(_MORE * 20), iter(_HEURISTICS * 20)
    for name in order:
        kind, policy = methods[name]["kind"], methods[name]["policy"]
        if kind == "policy":
            chosen[name] = REFERENCE if policy in references else next(greys)
        else:
            usual = LEARNED[kind]
            chosen[name] = usual if usual not in chosen.values() else next(more)
    return chosen


def variable_of(colour: str) -> str:
    """The CSS variable that stands for a method's colour."""
    return f"ink-{colour.removeprefix('#')}"


def draw(name: str, title: str, note: str, height: float, paint: Callable[[Axes], None]) -> Drawn:
    """A figure of one panel, `height` inches high without its title."""
    with _style():
        plain = _figure(height, paint, None)
        titled = _figure(height, paint, title)
        return Drawn(name, title, note, _svg(titled, name, title), _svg(plain, name, title), _png(titled))


def spread_labels(axes: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Writes (value, text, colour) to the right of the panel, each near its value but none over another."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.058
    places: list[float] = []
    ranked = sorted(labels)
    for value, _, _ in ranked:
        places.append(max(value, places[-1] + gap) if places else value)
    overflow = max(0.0, places[-1] - high) if places else 0.0
    for index in range(len(places) - 1, -1, -1):
        ceiling = (high if index == len(places) - 1 else places[index + 1] - gap) if overflow else places[index]
        places[index] = min(places[index], ceiling)
    for place, (_, text, colour) in zip(places, ranked, strict=True):
        at = (1.012, (place - low) / (high - low))
        axes.annotate(
            text, at, xycoords="axes fraction", va="center", color=colour, fontsize=8.5, annotation_clip=False
        )


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context(_STYLE):
        yield


def _figure(height: float, paint: Callable[[Axes], None], title: str | None) -> Figure:
    lines = _wrapped(title) if title else []
    top = 0.24 * len(lines) + (0.14 if lines else 0.0)
    figure = Figure(figsize=(WIDTH, height + top))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    paint(axes)
    figure.canvas.draw()
    box = axes.get_tightbbox()
    assert box is not None  # it has been drawn
    pixels = figure.dpi
    # Room on each side for what stands outside the panel, measured, so that no label is cut and none wastes space.
    inner = axes.get_window_extent()
    left = (inner.x0 - box.x0) / pixels + 0.06
    right = (box.x1 - inner.x1) / pixels + 0.06
    bottom = (inner.y0 - box.y0) / pixels + 0.06
    above = (box.y1 - inner.y1) / pixels + 0.06
    total = height + top
    figure.subplots_adjust(
        left=left / WIDTH, right=1 - right / WIDTH, bottom=bottom / total, top=1 - (top + above) / total
    )
    for number, line in enumerate(lines):
        y = 1 - (0.2 + 0.24 * number) / total
        figure.text(0.06 / WIDTH, y, line, fontsize=11.5, fontweight="bold", va="baseline")
    return figure


def _wrapped(title: str, limit: int = 60) -> list[str]:
    import textwrap

    return textwrap.wrap(title, limit)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, facecolor=PAPER, metadata={"Software": None})
    return buffer.getvalue()


def _svg(figure: Figure, name: str, title: str) -> str:
    """Clean SVG: themed inks, ids of its own, the reader's font, a description for those who do not see it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', lambda match: f"{match[1]}{name}-", text)
    text = text.replace("'DejaVu Sans'", "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif")
    for colour, variable in {**_VARIABLES, **{colour: variable_of(colour) for colour in ON_DARK}}.items():
        text = text.replace(colour, f"var(--{variable}, {colour})")
    escaped = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    head, body = text.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{escaped}">{body}'
