"""Parameters of policies from outside of a specification: written into it where it leaves them open, once, before it runs.

So the specification as run says what was played, and results stay those of a specification and a seed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from edgebed.experiment.specification import Experiment
from edgebed.experiment.validation import policy_choices, validate

Defaults = Mapping[str, Mapping[str, Any]]
"""Parameters by kind of policy."""


def needed(experiment: Experiment, defaults: Defaults) -> dict[str, dict[str, Any]]:
    """Those of the defaults that the experiment leaves open; empty when it leaves none."""
    found: dict[str, dict[str, Any]] = {}
    for _, choice in policy_choices(experiment):
        for name, value in defaults.get(choice.kind, {}).items():
            if name not in choice.parameters:
                found.setdefault(choice.kind, {})[name] = value
    return found


def filled(experiment: Experiment, defaults: Defaults) -> Experiment:
    """The experiment with the defaults where it leaves parameters open."""
    if not needed(experiment, defaults):
        return experiment
    document = experiment.to_document()
    for holder in _holders(document["spec"]["methods"]):
        choice = holder["policy"]
        kind, given = (choice, {}) if isinstance(choice, str) else (choice["kind"], choice)
        if defaults.get(kind):
            holder["policy"] = {"kind": kind, **defaults[kind], **given}
    return validate(document, folder=experiment.folder)


def _holders(methods: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The mappings that have a policy."""
    for method in methods:
        for holder in (method, method.get("collect") or {}):
            if holder.get("policy") is not None:
                yield holder
