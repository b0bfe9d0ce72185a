"""Policies by name: those that come along, and those of installed packages.

A package offers a policy under the entry-point group `edgebed.policies`; installing it with pip is all it takes. The
policies that come along are found without being installed, too. Nothing is imported before it is asked for.
"""

import difflib
import inspect
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.policy import Policy, PolicyContext

GROUP = "edgebed.policies"

_HOME = "edgebed.systems.cooperative.policies"
BUILT_IN = {
    "random": f"{_HOME}.random:Random",
    "local": f"{_HOME}.local:Local",
    "rda": f"{_HOME}.rda:Rda",
    "ratc": f"{_HOME}.ratc:Ratc",
    "price-mask": f"{_HOME}.price_mask:PriceMask",
    "least-completion": f"{_HOME}.least_completion:LeastCompletion",
    "generalist": f"{_HOME}.candidate:Generalist",
    "actor": f"{_HOME}.actor:Actor",
}
"""The policies that come along, by name."""


def policy_names() -> list[str]:
    """All names that `find_policy` knows: ours in order of strength, then the others' by name."""
    return [*BUILT_IN, *sorted(set(_entries()) - set(BUILT_IN))]


def find_policy(name: str) -> type[Policy]:
    """The class of a policy. Raises ModelError for a name that is not installed, with near matches, or does not load."""
    # Reading what every installed package offers takes a tenth of a second and megabytes: not for one of ours.
    entries = {name: EntryPoint(name, BUILT_IN[name], GROUP)} if name in BUILT_IN else _entries()
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ModelError("policy", name, f"{hint}installed are {', '.join(policy_names())}")
    entry = entries[name]
    origin = f"of the package {entry.dist.name}" if entry.dist is not None else "of edgebed"
    try:
        found = entry.load()
    except Exception as error:  # whatever an author's module raises at import
        message = f"{type(error).__name__}: {error}"
        raise ModelError(
            "policy", name, f"{entry.value} {origin} does not load ({message}); mend that package"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Policy)):
        raise ModelError("policy", name, f"{entry.value} {origin} must be a class derived from Policy")
    return found


def check_parameters(name: str, parameters: Mapping[str, Any]) -> type[Policy]:
    """The class of a policy that takes these parameters.

    Raises ModelError like `find_policy`, and for a parameter that the policy does not have or that it lacks.
    """
    kind, known = check_names(name, parameters)
    for p in known.values():
        if p.default is p.empty and p.name not in parameters:
            raise ModelError(f"policy {name}: {p.name}", "missing", f"write {{kind: {name}, {p.name}: ...}}")
    return kind


def check_names(name: str, parameters: Mapping[str, Any]) -> tuple[type[Policy], Mapping[str, inspect.Parameter]]:
    """The class of a policy and what it can be given. Raises ModelError for a parameter that it does not have."""
    kind = find_policy(name)
    accepted = list(inspect.signature(kind).parameters.values())[1:]  # the first is the context
    open_ended = any(p.kind is p.VAR_KEYWORD for p in accepted)
    known = {p.name: p for p in accepted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for given, value in parameters.items():
        if given not in known and not open_ended:
            near = difflib.get_close_matches(given, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            remedy = f"{hint}{name} has {', '.join(known)}" if known else f"{name} has no parameters"
            raise ModelError(f"policy {name}: {given}", value, remedy)
    return kind, known


def build_policy(name: str, context: PolicyContext, parameters: Mapping[str, Any]) -> Policy:
    """A policy with the parameters of the specification. Raises ModelError for parameters that it does not take."""
    kind = check_parameters(name, parameters)
    try:
        return kind(context, **parameters)
    except ModelError as error:
        raise ModelError(f"policy {name}: {error.field}", error.value, error.remedy) from error
    except (TypeError, ValueError) as error:  # a text where its author computes with a number, say
        if not parameters:
            raise
        remedy = f"{name} does not take these values ({error})"
        raise ModelError(f"policy {name}", dict(parameters), remedy) from error


def _entries() -> dict[str, EntryPoint]:
    """By name; an installed package cannot take one of our names."""
    ours = {name: EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()}
    return {entry.name: entry for entry in entry_points(group=GROUP)} | ours
