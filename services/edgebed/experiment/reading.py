"""Experiment files: YAML to an Experiment and back.

What is wrong with a file is said all at once, one line per problem: file and line, path of the field, what was found
there and what would be right.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from edgebed.experiment import yaml_lines
from edgebed.experiment.errors import EnvironmentFault, Problem, UserError, did_you_mean
from edgebed.experiment.specification import Experiment
from edgebed.experiment.sweep import sweep_problems
from edgebed.experiment.validation import validate

_MAXIMUM_BYTES = 4 * 2**20


def load(path: str | Path, policies: Collection[str] | None = None) -> Experiment:
    """The experiment of a YAML file, with file paths relative to it.

    `policies` are the names of the installed policies; without them, names of policies are not checked. Raises
    UserError with every problem of the file, EnvironmentFault when it cannot be read.
    """
    path = Path(path)
    source = str(path)
    reading = yaml_lines.read(_text(path), source)
    experiment = validate(reading.value, reading=reading, source=source, folder=path.parent, policies=policies)
    problems = sweep_problems(experiment, reading, policies)
    if problems:
        raise UserError(problems, source)
    return experiment


def to_yaml(experiment: Experiment) -> str:
    """The experiment as YAML that `load` reads back as the same experiment."""
    return yaml.dump(experiment.to_document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes short lists in a line; floats with a point, so that every YAML reader takes them for numbers."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        short = all(isinstance(item, int | float) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=short or flow_style)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAXIMUM_BYTES:
            raise UserError(
                Problem("", f"{path.stat().st_size} bytes is too large", "give an experiment file"), str(path)
            )
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        names = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        remedy = did_you_mean(path.name, names[:20]) or "give the path of an experiment file"
        raise UserError(Problem("", "no such file", remedy), str(path)) from None
    except IsADirectoryError:
        raise UserError(Problem("", "is a folder", "give the path of an experiment file"), str(path)) from None
    except UnicodeDecodeError as error:
        raise UserError(Problem("", "is not text", "save it as UTF-8"), str(path)) from error
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read ({error.strerror or error})") from error
