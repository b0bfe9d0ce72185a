"""A workload that was recorded: one row per task in a Parquet file, dealt out as episodes.

Columns: `episode`, `slot`, `node` (integers), `sizeBits`, `cyclesPerBit`, `deadlineSeconds` (numbers), and optionally
`uTransmission` and `uExecution`, the luck of each task in (0, 1]; without them luck is drawn from the seed.

The last episodes of a trace evaluate the methods, the ones before them make the learning curve, and the rest, over
and over, are what methods learn on. So nothing is learned on what it is measured with.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebed.experiment.errors import EnvironmentFault, Problem, UserError, did_you_mean, shown
from edgebed.systems.cooperative.distributions import Choice
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.randomness import Stream, generator
from edgebed.systems.cooperative.workload import Workload, WorkloadModel

INDEX_COLUMNS = ("episode", "slot", "node")
VALUE_COLUMNS = ("sizeBits", "cyclesPerBit", "deadlineSeconds")
LUCK_COLUMNS = ("uTransmission", "uExecution")
_QUANTILES = 257


@dataclass(frozen=True, eq=False)
class Trace:
    """The tasks of a trace, rows in order of episode, slot and node."""

    slot_s: float
    slots: int
    episodes: int
    evaluation: int
    """Episodes at the end that evaluate."""
    curve: int
    """Episodes before those that make the learning curve."""
    columns: dict[str, NDArray[Any]]
    """By name; `episode` counts from 0."""

    @property
    def nodes(self) -> int:
        """Fewest nodes that a network needs to receive these tasks."""
        return int(self.columns["node"].max()) + 1

    def model(self) -> WorkloadModel:
        """A workload model with this trace's quantiles: what normalises inputs, and what prices are computed from."""
        size, cycles, deadline = (_quantiles(self.columns[name]) for name in VALUE_COLUMNS)
        return WorkloadModel(self.slot_s, self.slots, size_bits=size, cycles_per_bit=cycles, deadline_s=deadline)

    def draw(self, network: Network, seed: int, stream: Stream, episodes: range, *index: int) -> Workload:
        """Some episodes of one stream, as `WorkloadModel.draw`: tasks from the trace, luck from it or from the seed."""
        e, t, n = len(episodes), self.slots, network.nodes
        arrives = np.zeros((e, t, n), dtype=np.bool_)
        size, cycles, deadline, u_transmission, u_execution = np.ones((5, e, t, n))
        keys = np.zeros(e, dtype=np.uint64)
        for row, episode in enumerate(episodes):
            rng = generator(seed, stream, *index, episode)
            u_transmission[row], u_execution[row] = 1.0 - rng.random((2, t, n))
            keys[row] = rng.integers(0, 2**64, dtype=np.uint64)
            recorded = self._recorded(stream, episode)
            low, high = np.searchsorted(self.columns["episode"], (recorded, recorded + 1))
            tasks = {name: column[low:high] for name, column in self.columns.items()}
            at = (row, tasks["slot"], tasks["node"])
            arrives[at] = True
            size[at] = tasks["sizeBits"]
            cycles[at] = tasks["sizeBits"] * tasks["cyclesPerBit"]
            deadline[at] = tasks["deadlineSeconds"]
            if "uTransmission" in tasks:
                u_transmission[at] = tasks["uTransmission"]
            if "uExecution" in tasks:
                u_execution[at] = tasks["uExecution"]
        return Workload(self.slot_s, arrives, size, cycles, deadline, u_transmission, u_execution, keys)

    def _recorded(self, stream: Stream, episode: int) -> int:
        """Which recorded episode plays as the given one of a stream."""
        learning = self.episodes - self.evaluation - self.curve
        if stream is Stream.EVALUATE:
            return learning + self.curve + episode % self.evaluation
        if stream is Stream.CURVE and self.curve:
            return learning + episode % self.curve
        return episode % learning if learning else episode % self.episodes


def read_trace(
    path: Path, *, slot_s: float, slots: int, evaluation: int, curve: int, learned: bool, field: str
) -> Trace:
    """The trace of a Parquet file. Raises UserError naming column, row and value.

    `evaluation` and `curve` are numbers of episodes; `learned` says that some are needed to learn on.
    """
    columns = {name: _column(values, name, path) for name, values in _read(path, field).items()}
    for name, low, high in (("slot", 0, slots - 1), ("node", 0, None)):
        _within(columns[name], name, path, low, high, f"the experiment has {slots} slots" if high is not None else "")
    for name in VALUE_COLUMNS:
        _within(columns[name], name, path, 0, None, "", above=True)
    for name in LUCK_COLUMNS:
        if name in columns:
            _within(columns[name], name, path, 0, 1, "", above=True)
    order = np.lexsort([columns[name] for name in reversed(INDEX_COLUMNS)])
    columns = {name: column[order] for name, column in columns.items()}
    keys = np.stack([columns[name] for name in INDEX_COLUMNS])
    twice = np.flatnonzero((keys[:, 1:] == keys[:, :-1]).all(axis=0))
    if len(twice):
        where = ", ".join(f"{name} {columns[name][twice[0]]}" for name in INDEX_COLUMNS)
        raise UserError(Problem("", f"two tasks at {where}", "a node receives at most one task in a slot"), str(path))
    numbers, columns["episode"] = np.unique(columns["episode"], return_inverse=True)
    needed = evaluation + (curve + 1 if learned else 0)
    if len(numbers) < needed:
        use = f"{evaluation} to evaluate" + (f", {curve} for the curve, and some to learn on" if learned else "")
        found = f"has {len(numbers)} episodes, and {needed} are needed ({use})"
        raise UserError(Problem(field, found, "give a longer trace, or lower spec.evaluation"), str(path))
    return Trace(slot_s, slots, len(numbers), evaluation, curve if learned else 0, columns)


def write_trace(workload: Workload, path: Path, *, luck: bool = True) -> None:
    """A workload as a trace that `read_trace` reads back."""
    import pyarrow
    import pyarrow.parquet

    episode, slot, node = np.nonzero(workload.arrives)
    at = (episode, slot, node)
    size = workload.size_bits[at]
    columns: dict[str, Any] = {"episode": episode, "slot": slot, "node": node, "sizeBits": size}
    columns |= {"cyclesPerBit": workload.cycles[at] / size, "deadlineSeconds": workload.deadline_s[at]}
    if luck:
        columns |= {"uTransmission": workload.u_transmission[at], "uExecution": workload.u_execution[at]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def _read(path: Path, field: str) -> dict[str, Any]:
    """The columns of the file as Arrow arrays."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except FileNotFoundError:
        raise UserError(Problem(field, "no such file", "give the path of a Parquet file"), str(path)) from None
    except pyarrow.ArrowInvalid as error:
        raise UserError(Problem(field, "is not a whole Parquet file", "write it again"), str(path)) from error
    except (OSError, IsADirectoryError) as error:
        raise EnvironmentFault(f"{path}: cannot be read ({error.strerror or error})") from error
    required = (*INDEX_COLUMNS, *VALUE_COLUMNS)
    missing = [name for name in required if name not in table.column_names]
    unknown = [name for name in table.column_names if name not in (*required, *LUCK_COLUMNS)]
    problems = [Problem(name, "this column is missing", f"a trace has {', '.join(required)}") for name in missing]
    problems += [
        Problem(name, "this column is unknown", did_you_mean(name, missing or [*required, *LUCK_COLUMNS]))
        for name in unknown
    ]
    if table.num_rows == 0 and not problems:
        problems = [Problem("", "has no tasks", "give at least one row")]
    if problems:
        raise UserError(problems, str(path))
    return {name: table.column(name) for name in table.column_names}


def _column(values: Any, name: str, path: Path) -> NDArray[Any]:
    """One column as an array of the kind that its name asks for."""
    import pyarrow

    wanted = pyarrow.types.is_integer if name in INDEX_COLUMNS else _is_number
    if not wanted(values.type):
        kind = "whole numbers" if name in INDEX_COLUMNS else "numbers"
        raise UserError(Problem(name, f"holds {values.type}", f"give {kind}"), str(path))
    if values.null_count:
        raise UserError(Problem(name, f"{values.null_count} values are missing", "give one for every task"), str(path))
    return np.asarray(values.to_numpy(), dtype=np.int64 if name in INDEX_COLUMNS else np.float64)


def _is_number(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind))


def _within(
    column: NDArray[Any], name: str, path: Path, low: float, high: float | None, why: str, above: bool = False
) -> None:
    bad = ~np.isfinite(column) | (column <= low if above else column < low)
    if high is not None:
        bad |= column > high
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        span = f"{'over' if above else 'of at least'} {low:g}" + (f" and at most {high:g}" if high is not None else "")
        remedy = f"give a finite number {span}" + (f": {why}" if why else "")
        raise UserError(Problem(f"{name}[{row}]", f"{shown(column[row].item())} is not allowed", remedy), str(path))


def _quantiles(values: NDArray[np.float64]) -> Choice:
    levels = np.linspace(0, 1, min(_QUANTILES, len(values)))
    return Choice(tuple(float(value) for value in np.quantile(values, levels)))
