"""The testbed as the runner sees it: episodes of a stream under a decider, as the log of what really happened.

Episodes that the log has already are not played again, so a phase that was interrupted goes on at the next one; and nodes are
asked for only when there is something to play. After an evaluation its fidelity is measured, and kept in the run's folder.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgebed.controller.deployment import Order
from edgebed.controller.fidelity import fidelity, messages_of
from edgebed.controller.steps import DEPLOYING
from edgebed.controller.testbed import Testbed
from edgebed.experiment.files import canonical, faults, write_atomically
from edgebed.runner.ground import Decider, Request
from edgebed.runner.progress import Progress
from edgebed.runner.setting import Setting
from edgebed.simulator.rollout import Rollout
from edgebed.stores.task_log import EpisodeRow
from edgebed.systems.cooperative.randomness import Stream

FIDELITY = "fidelity"
"""Folder of a run with a document per evaluation, named by its phase."""

Told = Callable[[Request, EpisodeRow], None]


class TestbedGround:
    """Plays for one replicate and training seed."""

    __test__ = False  # its name is no wish to be collected by pytest
    plays_curve = False

    def __init__(
        self,
        testbed: Testbed,
        setting: Setting,
        application: dict[str, Any],
        folder: Path,
        told: Told,
        about: dict[str, Any],
    ) -> None:
        """`told` hears of every episode, played now or found in the log; `about` is kept with each, and with its fidelity."""
        self.setting = setting
        self._testbed, self._application, self._folder = testbed, application, folder
        self._told, self._about = told, about

    def fingerprint(self) -> dict[str, Any]:
        """As in `Ground`: real nodes, and what a task does there."""
        return {"ground": "testbed", "application": self._application}

    def play(self, decider: Decider, request: Request, progress: Progress) -> Rollout:
        """As in `Ground`."""
        order = Order.of(decider, self.setting)
        there = self._testbed.played(request.phase)
        if request.label:
            if not there.keys() >= set(request.episodes):
                label = f"{request.label}{DEPLOYING}"
                progress.started(label, label, None)
                self._deploy(order, request)
                progress.finished(label)
            progress.started(request.label, request.label, len(request.episodes))
        rows = []
        for episode in request.episodes:
            row = there.get(episode) or self._play(order, request, episode)
            rows.append(row)
            self._told(request, row)
            if request.label:
                progress.advanced(request.label, 1)
        results = [row.result or {} for row in rows]
        log = self._testbed.store.read(self._testbed.run, [row.episode for row in rows])
        played = Rollout(log, messages_of(log, results))
        if request.stream is Stream.EVALUATE:
            self._compare(decider, request, played, results, progress)
        if request.label:
            progress.finished(request.label)
        return played

    def _play(self, order: Order, request: Request, episode: int) -> EpisodeRow:
        self._deploy(order, request)
        tasks = self.setting.tasks(request.stream, range(episode, episode + 1), *request.index)
        stream = {"stream": request.stream.name.lower(), "index": list(request.index), "method": request.method}
        return self._testbed.play(tasks, request.phase, episode, {**self._about, **stream})

    def _deploy(self, order: Order, request: Request) -> None:
        self._testbed.open(self.setting, self._application)
        self._testbed.deploy(order, learning=request.stream is Stream.ONLINE)

    def _compare(
        self,
        decider: Decider,
        request: Request,
        played: Rollout,
        results: Sequence[Mapping[str, Any]],
        progress: Progress,
    ) -> None:
        """Keeps the fidelity of an evaluation."""
        label = f"{request.label}: the same in the simulator"
        progress.started(label, label, None)
        tasks = self.setting.tasks(request.stream, request.episodes, *request.index)
        found = fidelity(self.setting, decider.policy(self.setting), tasks, played, results)
        folder = self._folder / FIDELITY
        with faults(folder):
            folder.mkdir(exist_ok=True)
        content = canonical({**self._about, "method": request.method, "phase": request.phase, **found})
        write_atomically(folder / f"{request.phase}.json", content)
        progress.finished(label)
