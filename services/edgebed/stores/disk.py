"""Files of a store: whole or not there, and a full or forbidden disk in words that name the setting to change."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from edgebed.experiment.errors import EnvironmentFault
from edgebed.experiment.files import sync, write_atomically

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def faults(folder: Path, setting: str) -> Iterator[None]:
    """Turns failures below `folder` into EnvironmentFault; `setting` is where a person chose the folder."""
    try:
        yield
    except EnvironmentFault as error:  # of write_atomically, whose words are for the folder of a run
        if not isinstance(error.__cause__, OSError):
            raise
        raise _fault(folder, setting, error.__cause__) from error.__cause__
    except OSError as error:
        raise _fault(folder, setting, error) from error


def write(path: Path, content: bytes, setting: str) -> None:
    """A file that is there as a whole or not at all, on the disk when this returns."""
    with faults(path.parent, setting):
        write_atomically(path, content)


def make_folder(folder: Path, setting: str) -> None:
    """A folder with its parents, on the disk when this returns."""
    with faults(folder, setting):
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for place in missing:
            sync(place.parent)


def _fault(folder: Path, setting: str, error: OSError) -> EnvironmentFault:
    remedy = "free some space on its disk" if error.errno in _FULL else "make it a folder that can be written"
    return EnvironmentFault(
        f"{folder} cannot be written ({error.strerror or error}); {remedy}, or set {setting} to another"
    )
