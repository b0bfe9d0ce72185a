"""One controller at a time with the same folder of runs: the next one waits until the one before has let go of it.

A pod that is told to end still drains while its successor is started already, and both would go on with the same runs. The lock
is the kernel's, on a file in the folder, so a process that was killed holds nothing.
"""

import asyncio
import errno
import fcntl
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edgebed.experiment.files import faults

FILE = ".controller.lock"
_POLL_S = 0.2

_log = logging.getLogger(__name__)


@asynccontextmanager
async def alone(runs: Path, stop: asyncio.Event) -> AsyncIterator[None]:
    """Holds the folder from when nobody else does, or `stop` is set. Raises EnvironmentFault where it cannot be written."""
    with faults(runs):
        runs.mkdir(parents=True, exist_ok=True)
        file = (runs / FILE).open("w")
    with file:
        told = False
        while not _held(file.fileno(), runs) and not stop.is_set():
            if not told:
                _log.warning("another controller has %s; waiting until it has ended", runs)
                told = True
            await asyncio.sleep(_POLL_S)
        yield


def _held(descriptor: int, runs: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise
        _log.warning("%s is on a disk without locks: mind that no two controllers use it at once", runs)
    return True
