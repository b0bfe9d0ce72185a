"""Results as a table for a terminal."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def show(results: Mapping[str, Any], console: Console) -> None:
    """The comparison, and then the verdict.

    The interval is of other tasks on the same networks: what tells methods apart. The report has the one over networks,
    which is wide when there are few.
    """
    if "sweep" in results:
        console.print(_swept(results))
    else:
        console.print(_compared(results))
    for sentence in results["verdict"]:
        console.print(f"• {sentence}", highlight=False)


def _compared(results: Mapping[str, Any]) -> Table:
    networks = results["replicates"]
    table = Table(
        title=f"{results['experiment']}: {networks} network{'s' if networks > 1 else ''}",
        title_justify="left",
        box=box.SIMPLE,
    )
    table.add_column("method", no_wrap=True)
    for name in ("success %", "95 % interval", "dropped %", "failed %", "delay s"):
        table.add_column(name, justify="right", no_wrap=True)
    best = max((percent(m["successRate"]["mean"]) for m in results["methods"].values()), default="")
    for name in results["order"]:
        method = results["methods"][name]
        ends = method["successRate"]["ci95SameNetworks"]
        success = percent(method["successRate"]["mean"])
        table.add_row(
            name,
            f"[bold]{success}[/]" if success == best else success,
            # A share cannot leave 0 to 100, whatever its interval's formula says of few episodes.
            "" if ends is None else f"{percent(max(0.0, ends[0]))} to {percent(min(1.0, ends[1]))}",
            percent(method["shares"]["dropped"]),
            percent(method["shares"]["failed"]),
            number(method["delaySeconds"]["mean"], 2),
        )
    return table


def _swept(results: Mapping[str, Any]) -> Table:
    sweep = results["sweep"]
    table = Table(
        title=f"{results['experiment']}: success % over {sweep['label']}",
        title_justify="left",
        box=box.SIMPLE,
    )
    table.add_column("method", no_wrap=True)
    for point in sweep["points"]:
        table.add_column(str(point["label"]), justify="right")
    for name in results["order"]:
        table.add_row(name, *(percent(point["methods"][name]["successRate"]["mean"]) for point in sweep["points"]))
    return table


def percent(value: float | None) -> str:
    """A fraction as a percentage with one decimal."""
    return number(None if value is None else 100 * value, 1)


def number(value: float | None, digits: int) -> str:
    """A number, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"
