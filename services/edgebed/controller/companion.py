"""What may work beside a controller, in its process and on its experiments: the operator, of which it knows nothing."""

from collections.abc import Callable
from typing import Protocol

from edgebed.controller.experiments import Experiments
from edgebed.stores.artefacts import ArtefactStore


class Companion(Protocol):
    """Works from `start` to `close`, in threads of its own."""

    def start(self) -> None:
        """Begins, once the controller serves and what was interrupted goes on."""

    def problems(self) -> list[str]:
        """Why the process should be started again; nothing while it works. Answers at once."""

    def close(self) -> None:
        """Ends; from when this returns, it asks nothing of the experiments."""


Accompany = Callable[[Experiments, ArtefactStore], Companion]
"""Makes a companion. Raises UserError or EnvironmentFault for what is wrong around it, before anything is served."""
