"""What the operator asks of the controller that it drives. All methods may be called from any thread."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol


class Runs(Protocol):
    """Runs by name. The name is that of the testbed, too: services with EDGEBED_TESTBED=name play this run."""

    def submit(self, name: str, document: Mapping[str, Any]) -> None:
        """Starts a run, or goes on with one that was stopped, interrupted or failed; one that is at work is left alone.

        Raises UserError for a document that is wrong, EnvironmentFault or Busy (any other EdgebedError) for what may pass.
        """

    def find(self, name: str) -> Mapping[str, Any] | None:
        """The state document of a run; None where there is none.

        `state` is running, finished, failed or stopped; `reason` says why it failed; `artefact` names what was published;
        `results` is the content of results.json once it is finished; `phase`, `methods` and `episodesKnown` are those of
        GET /v1/experiments/{name}.
        """

    def stop(self, name: str) -> None:
        """Asks a run to stop and keep what it has; submitting it again goes on. Returns at once."""

    def adopt(self, name: str, artefact: str, started_at: str | None, ended_at: str | None) -> None:
        """A run that was simulated by a Job is over: what it published can be seen with the others'. May be told again.

        Raises EdgebedError where it cannot be read at present.
        """

    def forget(self, name: str) -> None:
        """Its experiment is gone: the run is stopped if need be, and its folder may go. What was published stays."""

    def on_step(self, told: Callable[[str], None]) -> None:
        """From now on `told` is called with the name of a run whenever that goes over to another step, or ends. It is called in
        any thread, which waits.
        """

    def names(self) -> Collection[str]:
        """Every run that was submitted here and not forgotten, also by a process before this one."""
