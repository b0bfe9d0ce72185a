"""An Experiment as the API server of Kubernetes returns it: with defaults, a status and metadata of its own."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from edgebed.experiment.errors import UserError
from edgebed.experiment.specification import Experiment
from edgebed.experiment.sweep import sweep_problems
from edgebed.experiment.validation import validate
from edgebed.experiment.yaml_lines import Reading


def experiment_of(
    resource: Mapping[str, Any], folder: Path | None = None, policies: Collection[str] | None = None
) -> Experiment:
    """The experiment of a resource, as `reading.load` makes it of the file that was applied.

    `folder` is what file paths are relative to, `policies` the names of the installed ones. Raises UserError with every
    problem that the schema of the CustomResourceDefinition cannot see.
    """
    document = {key: resource[key] for key in ("apiVersion", "kind", "spec") if key in resource}
    document["metadata"] = {"name": resource.get("metadata", {}).get("name")}
    experiment = validate(document, folder=folder, policies=policies)
    problems = sweep_problems(experiment, Reading(document), policies)
    if problems:
        raise UserError(problems)
    return experiment
