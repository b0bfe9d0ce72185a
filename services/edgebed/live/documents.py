"""What can be changed while services run: one document per key, a text in YAML or JSON that somebody publishes.

    document = read("edge-node", "probeTimeoutSeconds: 0.5")       # -> EdgeNodeSettings; UserError with all that is wrong
    text = DEFAULT_TEXTS["edge-node"]                               # what there is to edit, with its meaning

Only what does something while running is here, and nothing that would make results another's: what an experiment is belongs
into its specification. The table in docs/settings.md is made from `DOCUMENTS`.
"""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from edgebed.experiment.document import Document, refused
from edgebed.experiment.errors import Problem, UserError, did_you_mean
from edgebed.experiment.words import problems_of
from edgebed.experiment.yaml_lines import Reading
from edgebed.experiment.yaml_lines import read as read_yaml

LARGEST = 16 << 10
"""Characters of a document: it is read on a node's event loop, within a millisecond."""

LogLevel = Literal["debug", "info", "warning", "error"]
Threads = Annotated[int, Field(ge=1, le=256)]
Niceness = Annotated[int, Field(ge=0, le=19)]


def _limit(least: float, most: float) -> Any:
    return Field(ge=least, le=most)


class ServiceSettings(Document):
    """What every service can be told."""

    log_level: LogLevel | None = None
    """From which level on the service logs: debug, info, warning or error; null for what EDGEBED_LOG_LEVEL says."""


class ControllerSettings(ServiceSettings):
    """What the controller can be told."""

    event_seconds: Annotated[float, _limit(0.05, 10)] = 0.5
    """How often the stream of events looks for news, in seconds."""
    poll_seconds: Annotated[float, _limit(0.1, 10)] = 0.5
    """Every node is looked at once in this time during a run, in seconds."""
    node_loss_seconds: Annotated[float, _limit(1, 60)] = 3.0
    """How long a node may be silent before it counts as lost, in seconds; more on machines that are busy."""
    service_wait_seconds: Annotated[float, _limit(1, 600)] = 30.0
    """How long an experiment waits for services that are being started, in seconds."""


class EdgeNodeSettings(ServiceSettings):
    """What the edge nodes can be told."""

    probe_timeout_seconds: Annotated[float, _limit(0.01, 5)] = 0.25
    """How long a node waits for the answer of one that it asks, in seconds; who is silent longer is not chosen."""
    record_seconds: Annotated[float, _limit(0.02, 5)] = 0.1
    """How long records of tasks wait to travel together, in seconds."""


class TaskGeneratorSettings(ServiceSettings):
    """What the task generator can be told."""

    hand_over_timeout_seconds: Annotated[float, _limit(0.1, 30)] = 2.0
    """How long a node may take to accept its tasks before they count as not taken, in seconds."""


class TrainerSettings(ServiceSettings):
    """What the trainer can be told."""

    threads: Threads = 1
    """Threads that learn, from the next job on; with more than one the last digits of sums depend on their number."""
    niceness: Niceness = 10
    """How much the trainer gives way to others on its machine, from 0 to 19; to lower it needs the right to."""


class Policies(Document):
    """Parameters of policies where a specification leaves them open."""

    defaults: dict[str, dict[str, Any]] = Field(default={})
    """By kind of policy, such as `{rda: {coefficient: 0.5}}`; written into an experiment when the controller takes it."""

    @field_validator("defaults")
    @classmethod
    def _plain(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        try:
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except ValueError as error:
            raise refused("has a value that is not finite, or no text", "give plain values") from error
        return value


DOCUMENTS: dict[str, type[Document]] = {
    "controller": ControllerSettings,
    "edge-node": EdgeNodeSettings,
    "task-generator": TaskGeneratorSettings,
    "trainer": TrainerSettings,
    "policies": Policies,
}
"""By key. The settings of a service have its name as their key."""


def read(key: str, text: str, source: str | None = None) -> Document:
    """The document of a text. Raises UserError with every problem: key, field, value, remedy; `source` is the text's name."""
    model = DOCUMENTS[known(key)]
    if (
        text == DEFAULT_TEXTS[key]
    ):  # what most nodes hear: to read it would cost each of them a megabyte, because the pages of
        return model()  # the reader's code are shared with the process that a node was forked from until they are used
    if len(text) > LARGEST:
        remedy = f"give at most {LARGEST} characters"
        raise UserError(Problem("", f"{len(text)} characters are too many", remedy), source or key)
    reading = _reading(text, source or key)
    problems = list(reading.problems)
    try:
        document = model.model_validate({} if reading.value is None else reading.value)
    except ValidationError as error:
        told = {problem.path for problem in problems}
        problems += [p for p in problems_of(error, model, reading) if p.path not in told]
    if problems:
        raise UserError(problems, source or key)
    return document


def known(key: str) -> str:
    """The key. Raises UserError where there is none of that name."""
    if key not in DOCUMENTS:
        raise UserError(Problem(key, "is not a configuration", did_you_mean(key, DOCUMENTS)))
    return key


def _default_text(key: str) -> str:
    lines = [f"# {(DOCUMENTS[key].__doc__ or '').splitlines()[0]}", ""]
    for name, default, meaning in fields(key):
        lines += [f"# {meaning}", f"{name}: {default}"]
    return "\n".join(lines) + "\n"


def fields(key: str) -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of each field of a document."""
    for name, field in DOCUMENTS[key].model_fields.items():
        yield field.alias or name, json.dumps(field.default), field.description or ""


DEFAULT_TEXTS = {key: _default_text(key) for key in DOCUMENTS}
"""By key, the defaults as YAML, each with its meaning: something to edit."""


def _reading(text: str, source: str) -> Reading:
    try:
        return Reading(json.loads(text))  # YAML could read it too, ten times slower
    except (ValueError, RecursionError):
        pass
    if all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines()):
        return Reading({})
    return read_yaml(text, source)
