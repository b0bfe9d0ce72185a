"""Rows of the task log on disk while the database is away: a folder of whole files, first in, first out.

    000000000007-5000-9f86d081884c7d65.npz      batch 7, of 5000 rows, and the begin of its SHA-256
    ....npz.damaged, refused.jsonl              what nobody could read, and what no database will take: for people

A batch is written under a temporary name, synced and renamed, so whatever happens to the process or the machine, it is
there or not. Columns are numpy arrays; texts, which repeat, are kept once. The folder belongs to one process at a time.
"""

import fcntl
import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores import disk
from edgebed.stores.log_schema import COLUMNS, Row, tasks

SETTING = "EDGEBED_SPOOL"

_NAME = re.compile(r"(\d{12})-(\d+)-([0-9a-f]{16})\.npz\Z")
_TEMPORARY = re.compile(r"\.\d{12}-\d+-[0-9a-f]{16}\.npz\.\d+-[0-9a-f]+\Z")
_KINDS: dict[str, type] = {name: tasks.c[name].type.python_type for name in COLUMNS}

_log = logging.getLogger(__name__)


class Spool:
    """The spooled batches below a folder, oldest first. Not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        """Finds what an earlier process left. Raises EnvironmentFault when the folder is another's, or cannot be used."""
        self._folder = folder
        disk.make_folder(folder, SETTING)
        with disk.faults(folder, SETTING):
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go when the process ends, however that is
        except BlockingIOError as error:
            os.close(self._lock)
            remedy = f"end it, or set {SETTING} to another folder for each process"
            raise EnvironmentFault(f"spool {folder} is in use by another process; {remedy}") from error
        with disk.faults(folder, SETTING):
            names = sorted(os.listdir(folder))
            for name in names:
                if _TEMPORARY.match(name):  # of a process that was killed; nobody was told that it is there
                    (folder / name).unlink()
        found = [match for name in names if (match := _NAME.match(name))]
        self._files: list[tuple[str, int]] = [(match.string, int(match[2])) for match in found]
        self._serial = 1 + max((int(match[1]) for match in found), default=0)
        self.rows = sum(rows for _, rows in self._files)
        """How many are in the spool."""

    def write(self, rows: Sequence[Row]) -> None:
        """Adds a batch after the others. Raises EnvironmentFault when the disk does not take it."""
        content = encode(rows)
        name = f"{self._serial:012d}-{len(rows)}-{_digest(content)}.npz"
        disk.write(self._folder / name, content, SETTING)
        self._serial += 1
        self._files.append((name, len(rows)))
        self.rows += len(rows)

    def oldest(self) -> list[Row] | None:
        """The rows of the first batch; it stays until `drop`. None when there is none.

        A file that cannot be read is set aside, so that it does not keep back those behind it.
        """
        while self._files:
            name = self._files[0][0]
            path = self._folder / name
            try:
                content = path.read_bytes()
                if (found := _digest(content)) not in name:
                    raise ValueError(f"its SHA-256 begins with {found}")
                return decode(content)
            except (OSError, ValueError) as error:
                aside = path.with_name(f"{name}.damaged")
                _log.error("%s cannot be read (%s); it is kept as %s", path, error, aside.name)
                with disk.faults(self._folder, SETTING):
                    if path.exists():
                        path.rename(aside)
                self._forget()
        return None

    def drop(self) -> None:
        """Removes the first batch: the database has it."""
        with disk.faults(self._folder, SETTING):
            (self._folder / self._files[0][0]).unlink(missing_ok=True)
        self._forget()

    def refuse(self, row: Row, reason: str) -> None:
        """Keeps a row that no database will take, as a line for people."""
        line = json.dumps({"reason": reason, "record": row}, default=repr)
        with disk.faults(self._folder, SETTING), (self._folder / "refused.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def close(self) -> None:
        """Leaves the folder to another process; the batches stay."""
        os.close(self._lock)

    def _forget(self) -> None:
        self.rows -= self._files.pop(0)[1]


def encode(rows: Sequence[Row]) -> bytes:
    """Rows as an archive of columns. Raises ValueError, TypeError or OverflowError for what is no row of the log."""
    columns: dict[str, Any] = {}
    for name, values in zip(COLUMNS, zip(*rows, strict=True), strict=True):
        if _KINDS[name] is str:
            words = dict.fromkeys(values)
            numbers = {word: number for number, word in enumerate(words)}
            text = json.dumps(list(words)).encode()
            columns[f"{name}_words"] = np.frombuffer(text, np.uint8)
            columns[name] = np.array([numbers[value] for value in values], np.uint32)
        elif _KINDS[name] is int:
            columns[name] = np.array(values, np.int64)
        else:
            columns[name] = np.array(values, np.float64)  # None becomes NaN
    buffer = io.BytesIO()
    np.savez(buffer, **columns)
    return buffer.getvalue()


def decode(content: bytes) -> list[Row]:
    """The rows of an archive; NaN as None. Raises ValueError for one with other columns."""
    columns: list[list[Any]] = []
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        wanted = {*COLUMNS, *(f"{name}_words" for name in COLUMNS if _KINDS[name] is str)}
        if set(archive.files) != wanted:
            raise ValueError("it has the columns of another version of edgebed, which can read it")
        for name in COLUMNS:
            if _KINDS[name] is str:
                words = json.loads(archive[f"{name}_words"].tobytes())
                columns.append([words[number] for number in archive[name].tolist()])
            elif _KINDS[name] is int:
                columns.append(archive[name].tolist())
            else:
                numbers = archive[name]
                values: list[Any] = numbers.tolist()
                for never in np.flatnonzero(np.isnan(numbers)).tolist():
                    values[never] = None
                columns.append(values)
    return list(zip(*columns, strict=True))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
