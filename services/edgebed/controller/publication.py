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
    files = {path.relative_to(folder.path).as_posix(): path.read_bytes() for path in _files(folder.path)}
    artefacts.publish(name, files, {"experiment": folder.experiment.name})
    return name


def _files(folder: Path) -> list[Path]:
    found = [folder / SPECIFICATION, folder / RESULTS, folder / REPORT, *sorted((folder / FIGURES).glob("*"))]
    inputs = folder / "inputs"
    return [path for path in (*found, *sorted(inputs.rglob("*"))) if path.is_file()]
