"""What can go wrong, and who can put it right.

EdgebedError                an expected end; `exit_code` is what the command line returns
  UserError         2       something that was asked for: every problem found, one line each
  EnvironmentFault  3       something around us: a full disk, a server that is away
"""

import difflib
import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what a user gave."""

    path: str
    """Where, as the user wrote it: `spec.network.nodes`; empty for the file as a whole."""
    found: str
    """What is there, as a clause: `0 is not allowed`, `is missing`, `is unknown`."""
    remedy: str
    """What would be right, as an instruction."""
    line: int | None = None
    """Line of the file, from 1."""

    def __str__(self) -> str:
        head = f"{self.path}: " if self.path else ""
        return f"{head}{self.found}; {self.remedy}" if self.remedy else f"{head}{self.found}"


class EdgebedError(Exception):
    """An expected end of the work, with a message for people."""

    exit_code = 1


class UserError(EdgebedError):
    """Something that was asked for cannot be done as asked."""

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem], source: str | None = None) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.source = source
        super().__init__("\n".join(self._line(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type["UserError"], tuple[tuple[Problem, ...], str | None]]:
        # Exceptions are pickled as type(*args), and args is the message: a worker's error would not reach its parent.
        return type(self), (self.problems, self.source)

    def _line(self, problem: Problem) -> str:
        place = ":".join(str(part) for part in (self.source, problem.line) if part is not None)
        return f"{place}: {problem}" if place else str(problem)


class EnvironmentFault(EdgebedError):
    """The experiment is right, but something that it needs is not there."""

    exit_code = 3


def disk_fault(error: OSError, folder: Path) -> EnvironmentFault:
    """What to tell a user when writing below `folder` failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentFault(
            f"{folder}: no space left on the device; free some, or choose another folder with --output. What was finished "
            "is kept, and the same command goes on from there"
        )
    return EnvironmentFault(
        f"{folder}: cannot be written ({error.strerror or error}); make it writable, or choose another folder"
    )


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`Did you mean "x"?` with the nearest known words, else the list of all of them."""
    names = sorted(set(known))
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(str(word).lower(), lower, n=3, cutoff=0.6)
    if near:
        return f"did you mean {alternatives([lower[name] for name in near])}?"
    return f"give {alternatives(names)}" if names else ""


def alternatives(names: Sequence[str], word: str = "or") -> str:
    """`a, b or c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def shown(value: object) -> str:
    """A value for a message: short, as in YAML."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
