"""Looks at every node again and again while an episode runs: for people, and to notice that one is lost.

The nodes are asked in turn and not all at once, so that looking does not disturb what is looked at.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any

from edgebed.controller.fleet import Fleet
from edgebed.controller.remote import RemoteError

NODE_S = 0.05
"""Least time between two looks: with many nodes, a round takes longer than the settings say."""
ANSWER_S = 1.0


class Watch:
    """Of one fleet, from `with` to its end."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._episode: tuple[str, int] | None = None
        self._silent_since: dict[int, float] = {}
        self.states: dict[int, Mapping[str, Any]] = {}
        """What each node last said of itself."""
        self.faults: dict[int, str] = {}
        """What went wrong at a node in the current episode, beyond any task's luck."""

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def close(self) -> None:
        """Looks no more."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(2 * ANSWER_S)

    def begin(self, run: str, episode: int) -> None:
        """Every node plays this episode now; one that says otherwise was started again, and has lost its tasks."""
        self.faults.clear()
        self._episode = (run, episode)

    def end(self) -> None:
        """No episode runs."""
        self._episode = None

    def _look(self) -> None:
        node = -1
        fleet = self._fleet
        while not self._stop.wait(max(fleet.settings.values.poll_seconds / len(fleet.nodes), NODE_S)):
            there = self._fleet.there
            if there:
                node = next((n for n in there if n > node), there[0])
                self._look_at(node)

    def _look_at(self, node: int) -> None:
        fleet = self._fleet
        expected, remote = self._episode, fleet.nodes[node]
        try:
            state = remote.get("/v1/state", timeout_s=ANSWER_S)
        except RemoteError as error:
            if remote is not fleet.nodes[node]:  # it has moved meanwhile
                self._silent_since.pop(node, None)
                return
            since = self._silent_since.setdefault(node, time.monotonic())
            if time.monotonic() - since >= fleet.loss_s:
                fleet.lost[node] = str(error)
                del self._silent_since[node]
            return
        self._silent_since.pop(node, None)
        self.states[node] = state
        if expected is None or expected != self._episode:
            return
        if (state.get("run"), state.get("episode")) != expected:
            fleet.lost[node] = f"{remote}: was started again in the middle of episode {expected[1]}"
        elif fault := state.get("progress", {}).get("fault"):
            self.faults[node] = str(fault)
