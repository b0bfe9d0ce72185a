"""The results of a run in the store of artefacts, for whoever has no access to this disk."""

from pathlib import Path

from edgebed.cli.settings import stores_of
from edgebed.controller.publication import publish_results
from edgebed.experiment.errors import Problem, UserError
from edgebed.experiment.folder import open_run_folder
from edgebed.experiment.specification import Experiment
from edgebed.runner.units import VERSIONS
from edgebed.stores.artefacts import open_artefacts


class Publisher:
    """Opened before the run, because a store that is not named would be a pity after it."""

    def __init__(self, run: str, settings: Path | None) -> None:
        """`run` names what is published, as results/RUN. Raises UserError where no store is named, or a wrong one."""
        address = stores_of(settings).get("EDGEBED_ARTEFACTS")
        if address is None:
            remedy = "set EDGEBED_ARTEFACTS, or name it in the file of --settings"
            raise UserError(Problem("--publish", "there is no store to publish to", remedy))
        self._run, self._store = run, open_artefacts(address)

    def publish(self, folder: Path, experiment: Experiment) -> None:
        """Puts a finished run's results there. Raises EnvironmentFault when that cannot be done."""
        publish_results(open_run_folder(folder, experiment, VERSIONS), self._store, self._run)
