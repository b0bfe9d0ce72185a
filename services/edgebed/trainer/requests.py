"""What a trainer may be asked. What is wrong here is refused at the door, and nothing has changed.

Names of artefacts stand for content: whoever publishes other content gives it another name, because a job that was done is
known by what it asks for.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from edgebed.experiment.document import Attribution, Count, Document
from edgebed.experiment.errors import UserError
from edgebed.experiment.methods import AskChoice, DomainRandomisation
from edgebed.runner.teacher import OfflineLesson, OnlineLesson
from edgebed.runner.training import TrainingLesson
from edgebed.stores.artefacts import checked_name


def _name(text: str) -> str:
    try:
        return checked_name(text)
    except UserError as error:
        raise ValueError(str(error)) from error


Name = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_name)]
Number = Annotated[int, Field(ge=0, le=10**9)]
Settings = Annotated[dict[str, bool | int | float | None], Field(max_length=50)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Lesson(Document):
    """Terms of a lesson, under the names that `runner.teacher` and the algorithms give them."""

    model_config = ConfigDict(alias_generator=None)

    settings: Settings
    """Of the algorithm; the numbers in `learning` with the same names."""
    attribution: Attribution
    """Which slot an outcome rewards."""
    seed: Seed
    """Of everything random in it."""


class OfflineTerms(Lesson):
    """Of an `OfflineLesson`."""

    updates: Count
    """Gradient steps."""
    label: Annotated[str, Field(max_length=300)] = ""
    """For people."""
    algorithm: Literal["sac-cql", "outcomes"] = "sac-cql"
    """Which actor, and how."""
    ask: AskChoice = "none"
    """Whom the candidate actor of `outcomes` asks."""

    def lesson(self) -> OfflineLesson:
        """What a teacher is given."""
        return OfflineLesson(**self.model_dump())


class OnlineTerms(Lesson):
    """Of an `OnlineLesson`."""

    fresh_critic: bool
    """Begin with a new critic instead of the offline one."""
    algorithm: Literal["ppo", "candidate-ppo"] = "ppo"
    """Which actor."""

    def lesson(self) -> OnlineLesson:
        """What a teacher is given."""
        return OnlineLesson(**self.model_dump())


class TrainingTerms(Document):
    """Of a `TrainingLesson`."""

    model_config = ConfigDict(alias_generator=None)

    settings: Settings
    """Of `CandidatePpoSettings`."""
    source: Annotated[str, Field(min_length=1, max_length=1_000)]
    """`specification`, or a file of the experiment's artefact."""
    per_update: Count
    nodes: Annotated[tuple[Annotated[int, Field(ge=2, le=200)], ...], Field(strict=False, max_length=100)]
    updates: Count
    """Gradient steps come in updates of several."""
    episodes_per_update: Count
    ask: AskChoice
    learns_to_ask: Annotated[tuple[AskChoice, ...], Field(strict=False, min_length=1, max_length=10)]
    training_seed: Annotated[int, Field(ge=0, le=10**6)]
    seed: Seed
    label: Annotated[str, Field(max_length=300)] = ""
    """For people."""
    domain_randomisation: DomainRandomisation | None = None
    """As the specification writes it."""

    def lesson(self) -> TrainingLesson:
        """What a teacher is given."""
        varied = self.domain_randomisation
        plain = None if varied is None else varied.document()
        return TrainingLesson(**{**self.model_dump(), "domain_randomisation": plain})


class Replicate(Document):
    """For which network to learn."""

    experiment: Name
    """Artefact with experiment.yaml and the files that it reads, as `runner.remote.experiment_artefact` publishes it."""
    replicate: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Which of its networks."""


class OfflineJob(Document):
    """Learn from a log: Algorithm 1."""

    kind: Literal["offline"]
    setting: Replicate
    lesson: OfflineTerms
    log: Name
    """Artefact with log.parquet."""
    result: Name
    """Artefact to publish."""


class TrainJob(Document):
    """Learn a candidate actor on many networks, in the simulator."""

    kind: Literal["train"]
    setting: Replicate
    lesson: TrainingTerms
    result: Name
    """Artefact to publish."""


class BeginJob(Document):
    """Begin an online course, or resume it from its checkpoint."""

    kind: Literal["begin"]
    setting: Replicate
    lesson: OnlineTerms
    start: Name | None = None
    """Artefact of an offline lesson."""
    course: Name
    """How the course is called from now on."""
    attempt: Number = 0
    """A course that is begun again with another number forgets what it had beyond its checkpoint."""


class CourseJob(Document):
    """A step of a course."""

    course: Name
    attempt: Number = 0
    """Under which it was begun."""
    number: Number
    """Of the latest update."""


class UpdateJob(CourseJob):
    """One update of a course from what its present actor has played; `number` is this update's, from 1."""

    kind: Literal["update"]
    number: Annotated[int, Field(ge=1, le=10**9)]
    log: Name
    """Artefact with log.parquet."""


class CheckpointJob(CourseJob):
    """Keep what is needed to resume a course from here."""

    kind: Literal["checkpoint"]


class FinishJob(CourseJob):
    """Publish model and learner of a course, and forget it."""

    kind: Literal["finish"]
    result: Name
    """Artefact to publish."""


Job = OfflineJob | TrainJob | BeginJob | UpdateJob | CheckpointJob | FinishJob
JobRequest = Annotated[Job, Field(discriminator="kind")]
