"""Files that are there as a whole or not at all."""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgebed.experiment.errors import disk_fault


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a small file: a reader sees the old content or the new one, also after a crash.

    Raises EnvironmentFault when the folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    with faults(path.parent):
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


def remove_folder(path: Path, last: str) -> None:
    """Removes a folder with all that is in it; the file `last` says that it is still there until nothing else is.

    Raises EnvironmentFault where something cannot be removed; the same call goes on with what is left.
    """
    with faults(path):
        for child in path.iterdir():
            if child.name == last:
                continue
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
        (path / last).unlink(missing_ok=True)
        path.rmdir()


@contextlib.contextmanager
def faults(folder: Path) -> Iterator[None]:
    """Turns failures to write below `folder` into EnvironmentFault."""
    try:
        yield
    except OSError as error:
        raise disk_fault(error, folder) from error


def sync(path: Path) -> None:
    """Makes sure that a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical(value: Any) -> bytes:
    """JSON in its one form: sorted keys, no spaces. Raises ValueError for what is not finite JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
