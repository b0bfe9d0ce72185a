"""Task logs as Parquet files, one column per field of the log, with what else a reader must know as metadata.

    write_log(path, log, about)
    log, about = read_log(path)

The same file is what `edgebed convert` reads. A file that is not a task log is refused by name of the first column
that is missing, of another type, or with a value that the type of the log cannot hold.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.log import TaskLog

_ABOUT = b"edgebed"

_TYPES: dict[str, Any] = {
    **dict.fromkeys(("episode", "task", "slot", "source", "destination"), np.int32),
    "status": np.int8,
}


def write_log(path: Path, log: TaskLog, about: dict[str, Any]) -> None:
    """Write all records of a log; `about` is JSON that comes back with them."""
    columns = {field.name: getattr(log, field.name) for field in fields(TaskLog)}
    table = pa.table(columns).replace_schema_metadata({_ABOUT: json.dumps(about, sort_keys=True).encode()})
    pq.write_table(table, path, compression="zstd")


def read_log(path: Path) -> tuple[TaskLog, dict[str, Any]]:
    """The log and what was written with it. Raises ModelError for a file that is damaged or not a task log."""
    try:
        with path.open("rb") as file:  # because Arrow's own errors do not say which file is missing, and why
            table = pq.read_table(file, partitioning=None)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise ModelError(str(path), str(error), "the file is damaged or not Parquet; make it again") from error
    columns = {}
    for field in fields(TaskLog):
        if field.name not in table.column_names:
            names = ", ".join(f.name for f in fields(TaskLog))
            raise ModelError(f"{path}: {field.name}", "missing", f"a task log has the columns {names}")
        wanted = np.dtype(_TYPES.get(field.name, np.float64))
        column = table.column(field.name).to_numpy()
        if column.dtype.kind not in "if" or (wanted.kind == "i" and column.dtype.kind != "i"):
            raise ModelError(f"{path}: {field.name}", str(column.dtype), f"the column must hold {wanted} values")
        columns[field.name] = column.astype(wanted)
        if wanted.kind == "i" and (cut := columns[field.name] != column).any():
            raise ModelError(f"{path}: {field.name}", int(column[cut][0]), f"the column must hold {wanted} values")
    return TaskLog(**columns), _about(path, (table.schema.metadata or {}).get(_ABOUT, b"{}"))


def _about(path: Path, text: bytes) -> dict[str, Any]:
    """What was written with a log."""
    try:
        about = json.loads(text)
    except ValueError:  # not JSON, or not even text
        about = None
    if not isinstance(about, dict):
        raise ModelError(f"{path}: metadata", text, "the file is damaged; make it again")
    return about
