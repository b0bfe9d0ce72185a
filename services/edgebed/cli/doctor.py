"""What `edgebed doctor` prints."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgebed.processes.doctor import Finding

MARKS = {"well": ("✓", "green"), "poor": ("!", "yellow"), "broken": ("✗", "red")}


def show(findings: Iterable[Finding], console: Console) -> bool:
    """Prints one line each; whether a run would work."""
    table = Table.grid(padding=(0, 2))
    works = True
    for finding in findings:
        mark, colour = MARKS[finding.verdict]
        table.add_row(Text(mark, style=colour), finding.what, Text(finding.said, overflow="fold"))
        works = works and finding.verdict != "broken"
    console.print(table)
    return works


def document(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [{"what": finding.what, "verdict": finding.verdict, "said": finding.said} for finding in findings]
