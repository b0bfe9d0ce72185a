"""Task logs come back from their files as they were, and what is no task log is refused by name."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edgebed.stores.log_files import read_log, write_log
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.log import TaskLog

INTEGERS = {"episode": np.int32, "task": np.int32, "slot": np.int32, "source": np.int32, "destination": np.int32}
TYPES: dict[str, Any] = {f.name: np.float64 for f in fields(TaskLog)} | INTEGERS | {"status": np.int8}


def log(records: int, seed: int = 0) -> TaskLog:
    """Records of any values, some of them never reached."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for name, kind in TYPES.items():
        if kind is np.float64:
            columns[name] = rng.standard_normal(records)
            columns[name][rng.random(records) < 0.3] = np.nan
        else:
            columns[name] = rng.integers(0, 8, records).astype(kind)
    return TaskLog(**columns)


def equal(one: TaskLog, other: TaskLog) -> bool:
    """Whether all columns are equal in type, in value and, where a task never came, in having none."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in TYPES]
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


def rewritten(path: Path, name: str, column: pa.Array | None) -> Path:
    """The file of a small log with one column replaced, or left out."""
    write_log(path, log(3), {})
    table = pq.read_table(path)
    index = table.column_names.index(name)
    table = table.remove_column(index) if column is None else table.set_column(index, name, column)
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("records", [0, 1, 1000])
def test_a_log_comes_back(tmp_path: Path, records: int) -> None:
    """Every column is bit by bit what was written, and so is what was said about it."""
    about = {"network": 3, "rules": {"horizon": "drain"}, "names": ["ä", None], "share": 0.1}
    path = tmp_path / "log.parquet"
    write_log(path, log(records), about)
    again, said = read_log(path)
    assert len(again) == records
    assert equal(again, log(records))
    assert said == about


def test_columns_can_be_changed(tmp_path: Path) -> None:
    """A log that was read is as good as one that was played: its columns can be written to and joined."""
    path = tmp_path / "log.parquet"
    write_log(path, log(4), {})
    again = read_log(path)[0]
    again.ended_s[0] = 1.0
    assert len(TaskLog.join([again, log(2)])) == 6


def test_a_file_of_another_tool_is_read(tmp_path: Path) -> None:
    """Order of the columns, wider integers, further columns and missing metadata do not matter."""
    mine = log(5)
    columns: dict[str, Any] = {"further": np.zeros(5)}
    for name, kind in reversed(TYPES.items()):
        column = getattr(mine, name)
        columns[name] = column if kind is np.float64 else column.astype(np.int64)
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table(columns), path)
    again, about = read_log(path)
    assert equal(again, mine)
    assert about == {}


def test_no_value_is_no_time(tmp_path: Path) -> None:
    """A time that another tool left out is read as one that never came."""
    path = rewritten(tmp_path / "log.parquet", "ended_s", pa.array([1.0, None, 2.0]))
    ended = read_log(path)[0].ended_s
    assert np.array_equal(ended, [1.0, np.nan, 2.0], equal_nan=True)


@pytest.mark.parametrize("name", TYPES)
def test_a_missing_column_is_refused(tmp_path: Path, name: str) -> None:
    """The error names the file and the column, and lists what a task log has."""
    path = rewritten(tmp_path / "log.parquet", name, None)
    with pytest.raises(ModelError) as caught:
        read_log(path)
    assert (caught.value.field, caught.value.value) == (f"{path}: {name}", "missing")
    assert caught.value.remedy.startswith("a task log has the columns episode, task, ")


@pytest.mark.parametrize(
    ("name", "column", "wanted"),
    [
        ("slot", pa.array(["0", "1", "2"]), "int32"),
        ("slot", pa.array([0.0, 1.0, 2.0]), "int32"),
        ("slot", pa.array([0, None, 2]), "int32"),
        ("status", pa.array([True, False, True]), "int8"),
        ("status", pa.array(["failed", "failed", "failed"]), "int8"),
        ("ended_s", pa.array(["0", "1", "2"]), "float64"),
        ("ended_s", pa.array([True, False, True]), "float64"),
        ("ended_s", pa.array([[1.0], [2.0], [3.0]]), "float64"),
        ("slot", pa.array([0, 2**40, 1]), "int32"),
        ("status", pa.array([0, 300, 1]), "int8"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else value,
)
def test_a_column_of_another_type_is_refused(tmp_path: Path, name: str, column: pa.Array, wanted: str) -> None:
    """The error names the file and the column, and says what it must hold; nothing is cut to fit."""
    path = rewritten(tmp_path / "log.parquet", name, column)
    with pytest.raises(ModelError) as caught:
        read_log(path)
    assert caught.value.field == f"{path}: {name}"
    assert caught.value.remedy == f"the column must hold {wanted} values"


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Wherever it was cut off, a file is refused by its name."""
    path = tmp_path / "log.parquet"
    write_log(path, log(200), {})
    content = path.read_bytes()
    for length in (0, 3, 4, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError) as caught:
            read_log(path)
        assert caught.value.field == str(path)
        assert caught.value.remedy == "the file is damaged or not Parquet; make it again"


def test_a_file_with_flipped_bytes_is_refused(tmp_path: Path) -> None:
    """Damage inside the data is noticed when the columns are unpacked."""
    path = tmp_path / "log.parquet"
    write_log(path, log(200), {})
    content = bytearray(path.read_bytes())
    content[100:400] = bytes(300)
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged or not Parquet"):
        read_log(path)


@pytest.mark.parametrize("about", [b"{", b"\xff", b"3"], ids=["cut", "bytes", "number"])
def test_damaged_metadata_are_refused(tmp_path: Path, about: bytes) -> None:
    """What goes with a log must be a JSON mapping, or the error names the file."""
    path = tmp_path / "log.parquet"
    write_log(path, log(2), {})
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"edgebed": about}), path)
    with pytest.raises(ModelError) as caught:
        read_log(path)
    assert caught.value.field == f"{path}: metadata"


def test_text_is_refused(tmp_path: Path) -> None:
    """A CSV file under a Parquet name is refused by its name."""
    path = tmp_path / "log.parquet"
    path.write_text("episode,task\n0,1\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"log\.parquet"):
        read_log(path)


def test_what_is_not_there_keeps_its_own_error(tmp_path: Path) -> None:
    """A missing file is not called damaged."""
    with pytest.raises(FileNotFoundError):
        read_log(tmp_path / "none.parquet")
