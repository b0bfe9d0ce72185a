"""Which servers a command is to use: from the environment, and a file of settings."""

import os
from pathlib import Path

from edgebed.experiment.errors import Problem, UserError
from edgebed.settings import SettingsError, settings_of_run


def stores_of(file: Path | None) -> dict[str, str]:
    """The settings that name stores. Raises UserError for what is wrong with them."""
    try:
        return settings_of_run(os.environ, file)
    except SettingsError as error:
        raise UserError(Problem("", str(error), "")) from error
