"""Plain values to an Experiment; what is wrong with them is said all at once, in words, one line per problem.

Each line names the path of the field, what was found there and what would be right, with near matches for misspelt
fields, options and policies.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from pydantic import ValidationError

from edgebed.experiment.errors import Problem, UserError, did_you_mean
from edgebed.experiment.methods import PolicyChoice
from edgebed.experiment.specification import Experiment
from edgebed.experiment.words import Location, problems_of
from edgebed.experiment.yaml_lines import Reading, dotted
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.registry import find_policy


def validate(
    document: object,
    *,
    reading: Reading | None = None,
    source: str | None = None,
    folder: Path | None = None,
    policies: Collection[str] | None = None,
) -> Experiment:
    """The experiment of plain values; a sweep's values are not looked at.

    `reading` gives the lines and the problems found so far, `folder` what file paths are relative to, `policies` the
    known names of policies. Raises UserError with every problem.
    """
    reading = reading or Reading(document)
    problems = list(reading.problems)
    experiment = None
    try:
        experiment = Experiment.model_validate(document).located(folder or Path())
    except ValidationError as error:
        # What YAML already refused has been replaced by nothing; do not complain about that as well.
        known = {problem.path for problem in problems}
        problems += [p for p in problems_of(error, Experiment, reading) if p.path not in known]
    if experiment is not None:
        problems += _unknown_policies(experiment, policies, reading)
    if problems or experiment is None:
        raise UserError(sorted(problems, key=lambda p: p.line or 0), source)
    return experiment


def policy_choices(experiment: Experiment) -> Iterator[tuple[Location, PolicyChoice]]:
    """Every policy that the experiment names, with its location."""
    for position, method in enumerate(experiment.spec.methods):
        if method.policy is not None:
            yield ("spec", "methods", position, "policy"), method.policy
        if method.collect is not None:
            yield ("spec", "methods", position, "collect", "policy"), method.collect.policy


def check_backend(experiment: Experiment, source: str | None = None) -> None:
    """Refuses what the experiment's backend cannot do. Raises UserError with every method that needs the simulator."""
    if experiment.spec.backend == "simulator":
        return
    problems = []
    for location, choice in policy_choices(experiment):
        try:
            centralised = find_policy(choice.kind).centralised
        except ModelError:  # a policy that is not installed is another problem, told by whoever looks it up
            continue
        if centralised:
            name = experiment.spec.methods[int(location[2])].name
            found = (
                f"{choice.kind!r} of method {name!r} is centralised: it knows the whole state, which no real node does"
            )
            remedy = f"take the method out, or run with --backend simulator instead of {experiment.spec.backend}"
            problems.append(Problem(dotted(location), found, remedy))
    if problems:
        raise UserError(problems, source)


def _unknown_policies(experiment: Experiment, policies: Collection[str] | None, reading: Reading) -> Iterator[Problem]:
    for location, choice in policy_choices(experiment):
        if policies is not None and choice.kind not in policies:
            found = f"{choice.kind!r} is not an installed policy"
            yield Problem(dotted(location), found, did_you_mean(choice.kind, policies), reading.line(location))
