"""Applications by name: those that come along, and those of installed packages.

A package offers an application under the entry-point group `edgebed.applications`; the ones that come along are found
without being installed, too. Nothing is imported before it is asked for, so a node that waits never loads what converts video.
"""

import difflib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from edgebed.emulation.applications.application import Application
from edgebed.emulation.clock import Clock
from edgebed.systems.cooperative.errors import ModelError

GROUP = "edgebed.applications"

_HOME = "edgebed.emulation.applications"
_BUILT_IN = {
    "synthetic": f"{_HOME}.synthetic:Synthetic",
    "cpu": f"{_HOME}.cpu:Cpu",
    "ffmpeg": f"{_HOME}.ffmpeg:Ffmpeg",
}


def application_names() -> list[str]:
    """All names that `find_application` knows: ours, then the others' by name."""
    return [*_BUILT_IN, *sorted(set(_entries()) - set(_BUILT_IN))]


def find_application(name: str) -> type[Application]:
    """The class of an application. Raises ModelError for a name that is not installed, or does not load."""
    # Reading what every installed package offers takes a tenth of a second and megabytes: not for one of ours.
    entries = {name: EntryPoint(name, _BUILT_IN[name], GROUP)} if name in _BUILT_IN else _entries()
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ModelError("application", name, f"{hint}installed are {', '.join(application_names())}")
    entry = entries[name]
    origin = f"of the package {entry.dist.name}" if entry.dist is not None else "of edgebed"
    try:
        found = entry.load()
    except Exception as error:  # whatever an author's module raises at import
        message = f"{type(error).__name__}: {error}"
        remedy = f"{entry.value} {origin} does not load ({message}); mend that package"
        raise ModelError("application", name, remedy) from error
    if not (isinstance(found, type) and issubclass(found, Application)):
        raise ModelError("application", name, f"{entry.value} {origin} must be a class derived from Application")
    return found


def build_application(name: str, clock: Clock, parameters: Mapping[str, Any] | None = None) -> Application:
    """An application for the node of this clock. Raises ModelError for parameters that it does not take."""
    kind = find_application(name)
    given = dict(parameters or {})
    try:
        return kind(clock, **given)
    except ModelError as error:
        raise ModelError(f"application {name}: {error.field}", error.value, error.remedy) from error
    except (TypeError, ValueError) as error:
        if not given:
            raise
        raise ModelError(f"application {name}", given, f"{name} does not take these values ({error})") from error


def _entries() -> dict[str, EntryPoint]:
    """By name; an installed package cannot take one of our names."""
    ours = {name: EntryPoint(name, value, GROUP) for name, value in _BUILT_IN.items()}
    return {entry.name: entry for entry in entry_points(group=GROUP)} | ours
