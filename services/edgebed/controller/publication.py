"""What a finished experiment leaves in the store of artefacts, for whoever has no access to the controller's disk."""

from pathlib import Path

from edgebed.experiment.folder import SPECIFICATION, RunFolder
from edgebed.experiment.results import RESULTS
from edgebed.stores.artefacts import ArtefactStore

REPORT = "report.html"
FIGURES = "figures"


def publish_results(folder: RunFolder, artefacts: ArtefactStore, run: str) -> str:
    """Publishes results, report, figures and specification; returns the artefact's name. Raises as `ArtefactStore.publish`."""
    name = f"results/{run}"
    files = {file: path.read_bytes() for file, path in files_for_people(folder.path).items()}
    artefacts.publish(name, files, {"experiment": folder.experiment.name})
    return name


def files_for_people(folder: Path) -> dict[str, Path]:
    """What of a run's folder is meant to be read, by its name there; logs, stages and state are not."""
    found = [folder / SPECIFICATION, folder / RESULTS, folder / REPORT, *sorted((folder / FIGURES).glob("*"))]
    found += sorted((folder / "inputs").rglob("*"))
    home = folder.resolve()
    inside = [path for path in found if path.is_file() and path.resolve().is_relative_to(home)]
    return {path.relative_to(folder).as_posix(): path for path in inside if not path.name.startswith(".")}
