"""A file that keeps batches of records while the log is away: appended at one end, taken from the other.

A frame is two numbers of four bytes, little-endian (length of the body, records in it), and the body. How far the file was
taken is known in memory only, and the file is removed once nothing is left in it. So a process that is killed sends some
frames again when it is back; the log takes every task once.
"""

import logging
import os
from pathlib import Path

_HEAD = 8

_log = logging.getLogger(__name__)


class Spool:
    """One file. What cannot be read or written is an OSError."""

    def __init__(self, path: Path) -> None:
        """Goes on with what a process before us left; a frame that a crash cut off is removed."""
        self._path, self._at, self.records = path, 0, 0
        size = whole = 0
        if path.exists():
            size = path.stat().st_size
            with path.open("rb") as file:
                while len(head := file.read(_HEAD)) == _HEAD and whole + _HEAD + _number(head, 0) <= size:
                    whole += _HEAD + _number(head, 0)
                    self.records += _number(head, 4)
                    file.seek(whole)
        if whole < size:
            _log.warning("%s ends with %d bytes that are no whole batch; they are removed", path, size - whole)
            os.truncate(path, whole)

    def append(self, bodies: list[tuple[bytes, int]]) -> None:
        """Keeps batches, (body, records) each, all of them or none; returns once they are on the disk."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        before = self._path.stat().st_size if self._path.exists() else 0
        try:
            with self._path.open("ab") as file:
                for body, count in bodies:
                    file.write(len(body).to_bytes(4, "little") + count.to_bytes(4, "little") + body)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            if self._path.exists():
                os.truncate(self._path, before)  # half a batch would make all that follow unreadable
            raise
        self.records += sum(count for _, count in bodies)

    def first(self) -> tuple[bytes, int] | None:
        """The oldest batch, (body, records); None when there is none."""
        if not self.records:
            return None
        with self._path.open("rb") as file:
            file.seek(self._at)
            head = file.read(_HEAD)
            return file.read(_number(head, 0)), _number(head, 4)

    def forget(self, body: bytes, count: int) -> None:
        """The oldest batch has been delivered."""
        self._at += _HEAD + len(body)
        self.records -= count
        if not self.records:
            self._path.unlink(missing_ok=True)
            self._at = 0


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
