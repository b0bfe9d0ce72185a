"""What a cluster says about an experiment: the `status` of the resource, with names that users and tests rely on.

The operator writes it, everybody else only reads; the schema in the CustomResourceDefinition is made from it.
"""

from typing import Annotated, Literal

from pydantic import Field

from edgebed.experiment.document import Document, Fraction

Phase = Literal[
    "Pending",
    "Starting",
    "Collecting",
    "Training",
    "Deploying",
    "FineTuning",
    "Evaluating",
    "Reporting",
    "Succeeded",
    "Failed",
    "Suspended",
]
Whole = Annotated[int, Field(ge=0)]
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Short = Annotated[str, Field(max_length=1_000)]


class Episodes(Document):
    """How much of the playing is done."""

    played: Whole
    """Episodes that have ended, of all methods, replicates and phases."""
    planned: Whole
    """Episodes in all."""


class MethodResult(Document):
    """What is known of a method so far."""

    name: Short
    """The method's name in the specification."""
    success_rate: Fraction | None = None
    """Share of the tasks that ended in time, in the final comparison."""
    ci95: Annotated[tuple[Fraction, Fraction], Field(strict=False)] | None = None
    """95 % confidence interval of the success rate: lower and upper end."""


class Artefacts(Document):
    """Where the results lie, in the store of artefacts."""

    results: Short | None = None
    """results.json"""
    report: Short | None = None
    """report.html"""
    folder: Short | None = None
    """What both lie in."""


class NodeCount(Document):
    """The edge nodes of the experiment."""

    ready: Whole
    """Nodes that answer."""
    wanted: Whole
    """Nodes of the network."""


class Condition(Document):
    """One thing that is so, is not so, or is unknown, and since when."""

    type: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]*$", max_length=63)]
    """Ready, Progressing, Succeeded or Failed."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=1_000)]
    """Why, in one word for programs."""
    message: Annotated[str, Field(max_length=32_768)] = ""
    """Why, and what to do about it, for people."""
    last_transition_time: Instant
    """When `status` changed last."""
    observed_generation: Whole | None = None
    """The generation of the specification that this is about."""


class Status(Document):
    """How far the experiment is; written by the operator."""

    phase: Phase | None = None
    """What is being done."""
    progress: Short | None = None
    """How much of all is done, for people: `63 %`."""
    progress_percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """The same, for programs."""
    episodes: Episodes | None = None
    """How much of the playing is done."""
    method: Short | None = None
    """The method that is at work."""
    success_rate: Short | None = None
    """Success rate of the method that is at work, or in the end of the best one, for people: `87.8 %`."""
    methods: Annotated[tuple[MethodResult, ...], Field(strict=False)] = ()
    """What is known of each method so far."""
    nodes: NodeCount | None = None
    """The edge nodes."""
    artefacts: Artefacts | None = None
    """Where the results lie."""
    run: Short | None = None
    """Name of the run in the controller."""
    started_at: Instant | None = None
    """When the work began. From then on the specification stays as it is."""
    ended_at: Instant | None = None
    """When it succeeded or failed."""
    observed_generation: Whole | None = None
    """The generation of the specification that this is about."""
    conditions: Annotated[tuple[Condition, ...], Field(strict=False)] = ()
    """Ready, Progressing, Succeeded and Failed, each with a reason: `kubectl wait --for=condition=Succeeded`."""
