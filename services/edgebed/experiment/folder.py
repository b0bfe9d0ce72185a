"""The folder of a run: the experiment as run with the files it reads, its stages, and what is made of them.

    experiment.yaml, inputs/   the specification as run; running it again gives the same results
    stages/                    what has been computed (`stages`)
    results.json, report.html, figures/

A folder belongs to one experiment. Giving the same experiment again goes on where it stopped; another one is refused. Where
parameters of policies came from outside of the specification (`defaults`), inputs/policies.json says which, and they stay.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebed.experiment.defaults import Defaults, filled, needed
from edgebed.experiment.errors import Problem, UserError
from edgebed.experiment.files import canonical, faults, write_atomically
from edgebed.experiment.inputs import file_content, read_costs
from edgebed.experiment.parts import MeasuredWorkload, NetworkFile, WorkloadFile
from edgebed.experiment.reading import to_yaml
from edgebed.experiment.shipped import GENERALIST, shipped_model
from edgebed.experiment.specification import Experiment
from edgebed.experiment.stages import StageStore
from edgebed.experiment.sweep import replacing
from edgebed.experiment.validation import validate

SPECIFICATION = "experiment.yaml"
POLICIES = "inputs/policies.json"


@dataclass(frozen=True)
class RunFolder:
    """An opened folder."""

    path: Path
    experiment: Experiment
    """The experiment as run; its file paths lead into the folder."""
    stages: StageStore
    resumed: bool
    """Whether the experiment had been started before."""


def open_run_folder(
    path: Path, experiment: Experiment, versions: Mapping[str, str] | None = None, defaults: Defaults | None = None
) -> RunFolder:
    """Prepares `path` for the experiment, or opens it again.

    `defaults` are for a folder in which nothing has been computed; one that has some of its own keeps those. Raises UserError
    when the folder belongs to another experiment or holds other things, EnvironmentFault when it cannot be written.
    """
    there = recorded_defaults(path)
    chosen = needed(experiment, defaults or {}) if there is None else there
    as_run, copies = _as_run(path, filled(experiment, chosen))
    if chosen:
        copies[POLICIES] = canonical(chosen)
    content = to_yaml(as_run).encode()
    marker = path / SPECIFICATION
    resumed = marker.exists()
    # Who opened the folder first may not have known the defaults, or not have come to write them.
    open_yet = resumed and chosen and marker.read_bytes() == to_yaml(_as_run(path, experiment)[0]).encode()
    if resumed and not open_yet:
        _same(marker, content, copies)
    else:
        if not resumed:
            _mind_others(path)
        with faults(path):
            path.mkdir(parents=True, exist_ok=True)
            for name, data in copies.items():
                (path / name).parent.mkdir(exist_ok=True)
                write_atomically(path / name, data)
        write_atomically(marker, content)
    return RunFolder(path, as_run, StageStore(path / "stages", versions), resumed)


def recorded_defaults(path: Path) -> dict[str, dict[str, Any]] | None:
    """The parameters of policies that the run's specification has from outside; None where there are none."""
    try:
        found = json.loads((path / POLICIES).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _mind_others(path: Path) -> None:
    if path.exists() and (not path.is_dir() or any(p.name not in ("inputs", "stages") for p in path.iterdir())):
        found = "holds other things than a run" if path.is_dir() else "is not a folder"
        raise UserError(Problem("", found, "give another folder with --output"), str(path))


def _as_run(path: Path, experiment: Experiment) -> tuple[Experiment, dict[str, bytes]]:
    """The experiment with the files it reads in the folder, and those files."""
    copies: dict[str, bytes] = {}
    as_run = experiment.without_schedule()
    spec = experiment.spec
    if isinstance(spec.network, NetworkFile):
        copies["inputs/network.json"] = file_content(experiment.folder / spec.network.file, "spec.network.file")
        as_run = replacing(as_run, "network.file", "inputs/network.json")
    if isinstance(spec.workload, WorkloadFile):
        copies["inputs/trace.parquet"] = file_content(experiment.folder / spec.workload.file, "spec.workload.file")
        as_run = replacing(as_run, "workload.file", "inputs/trace.parquet")
    if isinstance(spec.workload, MeasuredWorkload):
        copies["inputs/costs.json"] = read_costs(experiment)[1]
        as_run = replacing(as_run, "workload.application.costs", "inputs/costs.json")
    return _with_models(as_run, experiment.folder, copies).located(path), copies


def _with_models(experiment: Experiment, folder: Path, copies: dict[str, bytes]) -> Experiment:
    """The experiment with the models of its actors and the networks of its trainings among the folder's inputs.

    They are named by their content; a model that comes along is copied too, because a later version may bring another.
    """
    document = experiment.to_document()

    def copied(content: bytes, stem: str, suffix: str) -> str:
        name = f"inputs/{stem}-{hashlib.sha256(content).hexdigest()[:24]}{suffix}"
        copies[name] = content
        return name

    for index, method in enumerate(document["spec"]["methods"]):
        networks = method.get("training", {}).get("networks", {})
        if networks and networks["from"] != "specification":
            content = file_content(folder / networks["from"], f"spec.methods[{index}].training.networks.from")
            networks["from"] = copied(content, "networks", ".json")
        if "start" in method:
            path = shipped_model() if method["start"] == GENERALIST else folder / method["start"]
            method["start"] = copied(file_content(path, f"spec.methods[{index}].start"), "actor", ".safetensors")
        for choice in (method.get("policy"), method.get("collect", {}).get("policy")):
            if isinstance(choice, dict) and choice["kind"] == "actor" and isinstance(choice.get("model"), str):
                content = file_content(folder / choice["model"], f"spec.methods[{index}].policy.model")
                choice["model"] = copied(content, "actor", ".safetensors")
    return validate(document, folder=experiment.folder)


def _same(marker: Path, content: bytes, copies: Mapping[str, bytes]) -> None:
    """Refuses a folder whose experiment is not the given one, saying where they first differ."""
    there = marker.read_bytes()
    differs: str | None = None
    if there != content:
        lines = zip(there.decode(errors="replace").splitlines(), content.decode().splitlines(), strict=False)
        old, new = next(((a.strip(), b.strip()) for a, b in lines if a != b), ("", ""))
        differs = f"it has `{old}`, this one has `{new}`" if old or new else "one is longer"
    for name, data in copies.items():
        copy = marker.parent / name
        if differs is None and (not copy.exists() or copy.read_bytes() != data):
            differs = f"the content of {name} is not the same"
    if differs is not None:
        found = f"belongs to another experiment: {differs}"
        raise UserError(Problem("", found, "give another folder with --output, or delete this one"), str(marker.parent))
