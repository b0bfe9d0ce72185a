"""An experiment's application before anything starts: the profiles of its tasks are what the application knows by them."""

from edgebed.emulation.applications.registry import find_application
from edgebed.experiment.errors import Problem, UserError
from edgebed.experiment.inputs import read_costs
from edgebed.experiment.parts import MeasuredWorkload
from edgebed.experiment.specification import Experiment


def check_profiles(experiment: Experiment) -> None:
    """Raises UserError for profiles that a node would refuse, or would take for other work than was measured."""
    workload = experiment.spec.workload
    if not isinstance(workload, MeasuredWorkload):
        return
    kind = workload.application.kind
    names = find_application(kind).profiles()
    if not names:
        return
    problems = []
    for position, cost in enumerate(read_costs(experiment)[0].profiles):
        if cost.profile > len(names):
            found, remedy = f"{cost.profile} is not allowed", f"{kind} has profiles 1 to {len(names)}"
        elif names[cost.profile - 1] != cost.name:
            found, remedy = f"{cost.profile} is {names[cost.profile - 1]}", f"not {cost.name}"
        else:
            continue
        problems.append(Problem(f"profiles[{position}].profile", found, f"{remedy}; calibrate again"))
    if problems:
        raise UserError(problems, str(experiment.folder / workload.application.costs))
