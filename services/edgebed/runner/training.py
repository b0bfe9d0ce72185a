"""Training over networks: one candidate actor learns on many networks in the simulator, none of which it is evaluated on.

    course = Training(setting, lesson, unfinished)
    while course.updates < course.total:
        course.step()
    course.finish(folder)

Every update plays its networks' episodes with the present actor, judges every candidate of every decision
(`learning.judging`), and learns from that. Networks are drawn from the specification's distributions, or taken from a file
one after the other, and varied where the lesson says so (`systems.cooperative.variation`); seeds and arrays keep them apart
from those of the evaluation.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgebed.experiment.errors import Problem, UserError
from edgebed.experiment.inputs import file_content, parse_json, read_network_list
from edgebed.experiment.methods import DomainRandomisation
from edgebed.runner.setting import Setting
from edgebed.systems.cooperative.candidate import Ask, CandidateObservation, CandidateSpecification
from edgebed.systems.cooperative.candidate_actor import CandidateWeights
from edgebed.systems.cooperative.candidate_ranges import Range, joined, ranges
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.policies.candidate import CandidateActor
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.randomness import Stream, generator
from edgebed.systems.cooperative.variation import Factors, Variation
from edgebed.systems.cooperative.workload import WorkloadModel

FROM_SPECIFICATION = "specification"
CHECKPOINT_UPDATES = 50


@dataclass(frozen=True)
class TrainingLesson:
    """Learn on many networks."""

    settings: dict[str, Any]
    """Of `CandidatePpoSettings`."""
    source: str
    """`specification`, or a file of networks relative to the experiment."""
    per_update: int
    nodes: tuple[int, ...]
    """Nodes of drawn networks, in turn; empty for those of the specification."""
    updates: int
    episodes_per_update: int
    ask: str | int
    learns_to_ask: tuple[str | int, ...]
    """Whom it asks in one update after the other, in turn."""
    training_seed: int
    seed: int
    label: str
    domain_randomisation: dict[str, Any] | None = None
    """How networks are varied, as the specification writes it; None for not at all."""


class TrainingNetworks:
    """The networks of one training run, by number; the same for every replicate."""

    def __init__(self, setting: Setting, lesson: TrainingLesson) -> None:
        """Raises UserError for a file that is wrong or too short, and for networks of unequal size in one update."""
        self._setting, self._lesson = setting, lesson
        self._file: list[Network] | None = None
        varied = lesson.domain_randomisation
        self._variation = Variation() if varied is None else DomainRandomisation.model_validate(varied).variation()
        self._seeds = generator(setting.experiment_seed, Stream.TRAINING, lesson.training_seed).integers(
            2**32, 2**53, lesson.updates * lesson.per_update
        )
        if lesson.source != FROM_SPECIFICATION:
            self._file = networks_of_file(setting.folder / lesson.source)
            sizes = [network.nodes for network in self._file]
            if lesson.per_update > 1 and len(set(sizes)) > 1:
                found = f"has networks of {min(sizes)} to {max(sizes)} nodes"
                remedy = "give networks of equally many nodes, or perUpdate: 1"
                raise UserError(Problem("training.networks.from", found, remedy), str(setting.folder / lesson.source))

    def seed(self, number: int) -> int:
        """What the tasks of network `number` follow from."""
        return int(self._seeds[number])

    def network(self, number: int) -> Network:
        """Network `number`."""
        return self._factors(number).network(self._unvaried(number))

    def workload_model(self, number: int) -> WorkloadModel:
        """The tasks of network `number`."""
        return self._factors(number).workload(self._setting.workload_model)

    def _factors(self, number: int) -> Factors:
        return self._variation.draw(generator(self.seed(number), Stream.NETWORK, 1))

    def _unvaried(self, number: int) -> Network:
        update = number // self._lesson.per_update
        if self._file is not None:
            network = self._file[number % len(self._file)]
        else:
            model = self._setting.network_model
            if self._lesson.nodes:
                model = replace(model, nodes=self._lesson.nodes[update % len(self._lesson.nodes)])
            network = model.draw_from(generator(self.seed(number), Stream.NETWORK, 0))
        return network

    def check(self) -> None:
        """Raises UserError where the evaluation's network is among them, before anything is learned."""
        count = len(self._seeds) if self._file is None else len(self._file)
        for number in range(count):
            refuse_overlap(self._unvaried(number), self._setting.network, number, self._lesson.source)

    def fingerprint(self) -> dict[str, Any]:
        """What determines the networks, as JSON."""
        if self._file is not None:
            return {"file": [network.to_document() for network in self._file]}
        return {"model": repr(self._setting.network_model)}


def networks_of_file(path: Path) -> list[Network]:
    """The networks of a file to train on. Raises UserError."""
    content = file_content(path, "training.networks.from")
    document = parse_json(content, str(path))
    return list(read_network_list(document, str(path)))


def refuse_overlap(network: Network, evaluated: Network, number: int, source: str) -> None:
    """Raises UserError where a network to learn on is the one to be evaluated on."""
    if network.same(evaluated):
        where = (
            f"network {number} of {source}" if source != FROM_SPECIFICATION else "a network that was drawn to learn on"
        )
        remedy = "give other networks to one of them: what was learned on a network says little about others"
        raise UserError(Problem("training.networks", f"{where} is also one of the evaluation", remedy))


class Training:
    """A run of training over networks."""

    def __init__(self, setting: Setting, lesson: TrainingLesson, unfinished: Path, device: str = "cpu") -> None:
        """Goes on where a checkpoint in `unfinished` left off."""
        # torch takes seconds to import, and a comparison of heuristics does not need it
        from edgebed.learning.candidate_ppo import CandidatePpo, CandidatePpoSettings
        from edgebed.learning.checkpoints import Meaning, restore_checkpoint

        self._setting, self._lesson, self._unfinished = setting, lesson, unfinished
        self._networks = TrainingNetworks(setting, lesson)
        self._networks.check()
        sees = CandidateSpecification()
        self._settings = CandidatePpoSettings(**lesson.settings)
        self._learner = CandidatePpo(sees.static_size, sees.dynamic_size, lesson.seed, self._settings, device=device)
        told = hashlib.sha256(repr(replace(lesson, label="")).encode()).hexdigest()
        self._meaning = Meaning("candidate-ppo", sees.digest, "candidates", lesson.seed, told)
        self.metrics: dict[str, float] = {}
        """What the latest update has measured, as `CandidatePpo.update` says."""
        if unfinished.with_suffix(".json").exists():
            restore_checkpoint(unfinished, self._learner, self._meaning)

    @property
    def updates(self) -> int:
        """Updates so far."""
        return self._learner.updates

    @property
    def total(self) -> int:
        """Updates altogether."""
        return self._lesson.updates

    def weights(self) -> CandidateWeights:
        """The actor as it is now, without ranges."""
        return CandidateWeights(self._learner.actor.layers, ask=self._lesson.ask)

    def step(self) -> None:
        """One update."""
        from edgebed.learning.judging import judge

        lesson, weights = self._lesson, self.weights()
        ask = lesson.learns_to_ask[self.updates % len(lesson.learns_to_ask)]
        each = max(1, lesson.episodes_per_update // lesson.per_update)
        judged = []
        for k in range(lesson.per_update):
            number = self.updates * lesson.per_update + k
            context = self._context(number)
            actor = CandidateActor(context, weights, ask=ask)
            tasks = context.workload.draw(context.network, context.network_seed, Stream.TRAINING, range(each))
            log = self._setting.play_on(context.network, actor, tasks).log
            judged.append(judge(log, context, actor.scorer, Ask.of(ask), self._settings.crowding))
        self.metrics = self._learner.update(judged)
        if self.updates % CHECKPOINT_UPDATES == 0 and self.updates < self.total:
            self._save(self._unfinished)

    def finish(self, folder: Path, name: str) -> None:
        """Writes the model under a name, with the ranges that it was trained on, and the learner."""
        weights = replace(self.weights(), ranges=self._ranges())
        (folder / name).write_bytes(weights.to_bytes())
        self._save(folder / "learner")

    def _save(self, path: Path) -> None:
        from edgebed.learning.checkpoints import save_checkpoint

        save_checkpoint(path, self._learner, self._meaning)

    def _context(self, number: int) -> PolicyContext:
        drawn = self._networks
        return replace(
            self._setting.context,
            network=drawn.network(number),
            workload=drawn.workload_model(number),
            network_seed=drawn.seed(number),
        )

    def _ranges(self) -> dict[str, Range]:
        """Of all networks that were played."""
        count = self._lesson.updates * self._lesson.per_update
        return joined(ranges(CandidateObservation(self._context(number))) for number in range(count))
