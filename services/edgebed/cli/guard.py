"""Errors to messages and exit codes.

2    something that was asked for: the message names field, value and remedy
3    something around us: a full disk, a folder that cannot be written, a package that is not installed
130  Ctrl-C; the same command goes on where it stopped
1    a mistake of ours, with the traceback in a file
"""

import contextlib
import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator

import typer

EXTRAS = {
    **dict.fromkeys(("gymnasium", "matplotlib", "numba", "pettingzoo", "pyarrow", "scipy", "sqlalchemy"), "simulator"),
    "torch": "trainer",
}
"""Which extra of this distribution brings a package that the base install does without."""


@contextlib.contextmanager
def guarded(resume: bool = False) -> Iterator[None]:
    """Runs a command; `resume` says whether an interrupted one goes on with the same command."""
    from edgebed.experiment.errors import EdgebedError
    from edgebed.systems.cooperative.errors import ModelError

    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        _say("interrupted" + ("; what was computed is kept, and the same command goes on from there" if resume else ""))
        raise typer.Exit(130) from None
    except EdgebedError as error:
        _say(str(error))
        raise typer.Exit(error.exit_code) from None
    except ModelError as error:
        _say(str(error))
        raise typer.Exit(2) from None
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more is to be said, also not by Python's own flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OSError as error:
        _say(_environment(error))
        raise typer.Exit(2 if error.errno in _ASKED else 3) from None
    except Exception as error:
        missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        if missing in EXTRAS:
            _say(f"{missing} is not installed; pip install 'edgebed[{EXTRAS[missing]}]'")
            raise typer.Exit(3) from None
        if type(error).__name__ in ("CheckpointError", "DeviceError"):  # of the learning room, which needs torch
            _say(str(error))
            raise typer.Exit(2) from None
        with tempfile.NamedTemporaryFile("w", prefix="edgebed-", suffix=".log", delete=False) as file:
            traceback.print_exc(file=file)
        _say(
            f"a mistake in edgebed: {type(error).__name__}: {error}\nthe traceback is in {file.name}; please report it"
        )
        raise typer.Exit(1) from None


_ASKED = (errno.ENOENT, errno.EISDIR)
"""A path that is not there, or not a file, is what was asked for."""


def _environment(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    remedy = {
        errno.ENOSPC: "free some space, or choose another folder with --output",
        errno.EACCES: "make it accessible, or choose another path",
        errno.EPERM: "make it accessible, or choose another path",
        errno.EROFS: "choose a folder that can be written",
        errno.ENOENT: "check the path",
        errno.EISDIR: "give the path of a file",
    }.get(error.errno or 0, "mend that and try again")
    return f"{place}{error.strerror or error}; {remedy}"


def _say(message: str) -> None:
    print(f"edgebed: {message}" if "\n" not in message else message, file=sys.stderr)
