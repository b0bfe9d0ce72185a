"""What to do about an experiment, decided from what there is: pure, and the whole of the operator's judgement.

    plan = reconcile(experiment, observed, now, settings)

It remembers nothing. Whatever happened since the last look (somebody deleted a pod, the operator was away for an hour, the
experiment is another of the same name), the same facts give the same plan; a plan that was carried out gives an empty one.

    wants nothing       it is over: pods go (or stay, for debugging), and after its time the experiment too
    suspended           the run is stopped first, then the pods go; going on brings both back
    starting            objects are made; what keeps pods from running is said, until a deadline
    ready               the run is handed to the controller
    at work             its state is mirrored, and objects are kept as they are
"""

from datetime import datetime, timedelta
from typing import Any

from edgebed.experiment.errors import UserError
from edgebed.operator.case import Case
from edgebed.operator.conditions import Condition, find, instant, stamp
from edgebed.operator.demand import Demand, demand, demand_of, document_digest, document_of
from edgebed.operator.objects import build, document_in
from edgebed.operator.plan import Delete, Event, Item, Observed, Plan, Stop, Submit
from edgebed.operator.progress import concluded, mirrored, simulated
from edgebed.operator.settings import OperatorSettings
from edgebed.operator.simulation import simulated_course
from edgebed.operator.trouble import summary, troubles_of
from edgebed.operator.upkeep import Upkeep, rest, upkeep

MIRROR_S = 2.0
"""How often the state of a run is looked at."""
LOOK_S = 5.0
"""How often to look at one that starts: some troubles show only with time."""
HANDED_S = 0.05
"""When to look whether the controller took a run."""
GONE_S = 1.0
"""How often to look at what has to go first."""
STOPPING_S = 60.0
"""How long a run may take to stop before its pods go anyway."""


def reconcile(experiment: Item, observed: Observed, now: datetime, settings: OperatorSettings) -> Plan:
    """What to do now."""
    case = Case.of(experiment, observed, now, settings)
    if experiment["metadata"].get("deletionTimestamp"):
        return Plan(runs=(Stop(case.names.run),) if case.run_state == "running" else ())
    if case.ended is not None:
        return _over(case)
    try:
        need = _need(case)
    except UserError as error:
        return case.fail("InvalidSpecification", str(error))
    plan = _living(case, need)
    if case.begun and case.status.get("observedGeneration") != case.generation and _is_changed(case, need):
        message = (
            "the specification was changed after the start; the run goes on as it was started. Delete and apply it anew"
        )
        plan = Plan(**{**vars(plan), "events": (*plan.events, Event("Warning", "SpecificationChanged", message))})
    return plan


def _need(case: Case) -> Demand:
    """What it needs: once begun, by the document that was begun with."""
    kept = case.observed.object("ConfigMap", case.names.document) if case.begun else None
    document = None if kept is None else document_in(kept)
    if document is not None:
        return demand_of(document)
    return demand(case.names.experiment, case.spec)


def _is_changed(case: Case, need: Demand) -> bool:
    return document_digest(document_of(case.names.experiment, case.spec)) != need.digest


# While it lives


def _living(case: Case, need: Demand) -> Plan:
    refusal = case.observed.refusal
    if refusal is not None and refusal.lasting:
        return case.fail("InvalidSpecification", refusal.message)
    course = simulated_course(case) if need.simulated else _course(case)
    if course == "finished":
        return _succeed(case, need)
    if course.startswith("failed: "):
        reason = "SimulationFailed" if need.simulated else "RunFailed"
        return case.fail(reason, course.removeprefix("failed: "), (case.observed.run or {}).get("endedAt"))
    at_work = course == "running"
    if case.suspended:
        return _suspend(case, need, at_work=at_work)
    found = upkeep(build(need, case.names, case.settings), case.observed, case.names, at_work=at_work)
    if (left := case.active_left_s) is not None and left <= 0:
        limit = case.spec["activeDeadlineSeconds"]
        return case.fail("DeadlineExceeded", f"it has not ended within {limit} s (activeDeadlineSeconds)")
    if at_work:
        return _at_work(case, need, found)
    return _start(case, need, found)


def _course(case: Case) -> str:
    """How a run stands: not there, running, finished, or failed with its reason."""
    run = case.observed.run
    if run is None or run.get("state") not in ("running", "finished", "failed"):
        return "not there"
    return f"failed: {run.get('reason') or 'no reason given'}" if run["state"] == "failed" else str(run["state"])


def _start(case: Case, need: Demand, found: Upkeep) -> Plan:
    """Makes what is needed, and hands over the run when all of it is ready."""
    ready, text = _readiness(case, need)
    troubles = troubles_of(case.observed.pods, case.observed.warnings, case.now)
    if found.taken:
        reason, text = (
            "NameTaken",
            f"{', '.join(found.taken)} belongs to somebody else; delete it, or rename the experiment",
        )
    elif found.waiting:
        reason, text = "Waiting", f"{', '.join(found.waiting)} of before has to go first"
    elif case.observed.objection is not None and found.apply:
        reason, text = "ObjectRefused", case.observed.objection
    elif ready and case.observed.refusal is not None:
        reason, text = "ControllerUnavailable", case.observed.refusal.message
    elif ready:
        reason = "PodsReady"
    elif troubles:
        reason, text = troubles[0].reason, summary(troubles)
    else:
        reason = "PodsStarting"
    if case.start_left_s <= 0 and not (ready and reason == "PodsReady"):
        limit = case.spec.get("startDeadlineSeconds", 600)
        return case.fail("StartDeadlineExceeded", f"it was not at work within {limit} s (startDeadlineSeconds): {text}")
    events = _upkeep_events(case, found)
    is_trouble = reason not in ("PodsReady", "PodsStarting", "Waiting")
    if is_trouble and case.is_news("Ready", reason, text):
        events.append(Event("Warning", reason, text))
    submits: tuple[Submit, ...] = ()
    changes: dict[str, Any] = {"phase": "Pending" if found.taken or found.waiting else "Starting"}
    again = GONE_S if found.waiting else LOOK_S
    if ready and not need.simulated and not (found.taken or found.waiting):
        submits = (Submit(case.names.run, need.document),)
        again = LOOK_S if case.observed.refusal is not None else HANDED_S
    plan = Plan(tuple(found.delete), tuple(found.apply), tuple(found.patch), submits, again_s=_until(case, again))
    conditions = _conditions(Condition("Ready", reason == "PodsReady", reason, text), "Starting")
    return case.plan(plan, conditions, {**changes, **_nodes(case, need)}, events)


def _at_work(case: Case, need: Demand, found: Upkeep) -> Plan:
    """Mirrors the run."""
    ready, text = _readiness(case, need)
    troubles = [] if ready else troubles_of(case.observed.pods, case.observed.warnings, case.now)
    reason = "PodsReady" if ready else troubles[0].reason if troubles else "PodsStarting"
    text = summary(troubles) or text
    state = simulated(case.observed.log, need) if need.simulated else mirrored(case.observed.run or {}, need)
    changes = {"run": case.names.run, "startedAt": case.status.get("startedAt") or stamp(case.now), **state}
    if need.simulated and (case.status.get("progressPercent") or 0) > state["progressPercent"]:
        changes = {
            key: value for key, value in changes.items() if key in ("run", "startedAt")
        }  # its log was turned over
    events = _upkeep_events(case, found)
    if not case.status.get("run"):
        events.append(Event("Normal", "Started", f"{text}; the run is {case.names.run}"))
    if troubles and case.is_news("Ready", reason, text):
        events.append(Event("Warning", reason, text))
    submits: tuple[Submit, ...] = ()
    if not need.simulated and not case.observed.handed and ready:
        submits = (Submit(case.names.run, need.document),)  # should nobody go on with it after a restart
    plan = Plan(
        tuple(found.delete),
        tuple(found.apply),
        tuple(found.patch),
        submits,
        again_s=_until(case, MIRROR_S, started=True),
    )
    phase = str(changes.get("phase") or case.status.get("phase"))
    conditions = _conditions(Condition("Ready", ready, reason, text), phase)
    return case.plan(plan, conditions, {**changes, **_nodes(case, need)}, events)


def _suspend(case: Case, need: Demand, *, at_work: bool) -> Plan:
    """First the run stops, so that it does not take vanishing nodes for lost ones; then the pods go."""
    progressing = find(case.conditions, "Progressing")
    told = progressing is not None and progressing.get("reason") == "Suspended"
    since = instant(progressing["lastTransitionTime"]) if progressing is not None and told else case.now
    waits = at_work and not need.simulated and case.now - since < timedelta(seconds=STOPPING_S)
    stops = (Stop(case.names.run),) if at_work and not need.simulated else ()
    patches = () if waits else tuple(rest(case.observed, case.names))
    if waits:
        text, again = "the run is being stopped", GONE_S
    elif case.observed.pods:
        text, again = "its pods are going; set suspend to false to go on", LOOK_S
    else:
        text, again = "it has no pods; set suspend to false to go on", None
    conditions = [
        Condition("Ready", False, "Suspended", text),
        Condition("Progressing", False, "Suspended", text),
        Condition("Succeeded", False, "Suspended"),
        Condition("Failed", False, "Suspended"),
    ]
    events = [] if told else [Event("Normal", "Suspended", "spec.suspend is true")]
    plan = Plan(patch=patches, runs=stops, again_s=again)
    return case.plan(plan, conditions, {"phase": "Suspended", **_nodes(case, need)}, events)


def _succeed(case: Case, need: Demand) -> Plan:
    run = case.observed.run or {}
    results = case.observed.results if need.simulated else run.get("results")
    name = f"results/{case.names.run}" if need.simulated else run.get("artefact")
    changes: dict[str, Any] = {
        "phase": "Succeeded",
        "run": case.names.run,
        "startedAt": case.status.get("startedAt") or stamp(case.now),
        "endedAt": run.get("endedAt") or stamp(case.now),
        **concluded(results, need),
    }
    if not need.simulated:
        changes["episodes"] = {"played": need.episodes, "planned": need.episodes}
    message = "all methods were evaluated"
    if name:
        changes["artefacts"] = {"folder": name, "results": f"{name}/results.json", "report": f"{name}/report.html"}
    elif run.get("unpublished"):
        message += f"; the results are with the controller only: {run['unpublished']}"
    conditions = [
        Condition("Ready", False, "Succeeded", "the experiment is over"),
        Condition("Progressing", False, "Succeeded", "the experiment is over"),
        Condition("Succeeded", True, "Finished", message),
        Condition("Failed", False, "Finished", message),
    ]
    return case.plan(Plan(again_s=0.0), conditions, changes, [Event("Normal", "Succeeded", message)])


# When it is over


def _over(case: Case) -> Plan:
    """Gives back what it held; after its time the experiment itself goes, and with it all that is left."""
    ttl, ended_at = case.spec.get("ttlSecondsAfterFinished"), case.status.get("endedAt")
    left = None
    if ttl is not None and ended_at is not None:
        left = float(ttl) - (case.now - instant(ended_at)).total_seconds()
        if left <= 0:
            return Plan(delete=(Delete("Experiment", case.names.experiment, case.names.uid),))
    keeps = case.ended == "Failed" and case.settings.keep_failed_pods
    patches = rest(case.observed, case.names, ("Job",)) if keeps else rest(case.observed, case.names)
    stops = (Stop(case.names.run),) if case.run_state == "running" else ()
    plan = Plan(patch=tuple(patches), runs=stops, again_s=GONE_S if stops else left)
    known = case.status.get("nodes")
    if not isinstance(known, dict) or known.get("ready") == case.ready("edge-node"):
        return plan
    conditions = [
        Condition(str(c["type"]), c["status"] == "True", str(c["reason"]), str(c.get("message", "")))
        for c in case.conditions
    ]
    return case.plan(plan, conditions, {"nodes": {**known, "ready": case.ready("edge-node")}})


# Words


def _readiness(case: Case, need: Demand) -> tuple[bool, str]:
    """Whether everything serves, and what does."""
    if need.simulated:
        ready = case.ready("simulator") > 0
        return ready, "the simulation runs" if ready else "the simulation has not begun"
    nodes = case.ready("edge-node")
    others = {"the task generator": case.ready("task-generator") > 0}
    if need.trainer:
        others["the trainer"] = case.ready("trainer") > 0
    if nodes >= need.nodes and all(others.values()):
        return True, f"{need.nodes} nodes{''.join(f', {name}' for name in others)} are ready"
    missing = [name for name, is_there in others.items() if not is_there]
    text = f"{nodes} of {need.nodes} nodes are ready"
    return False, f"{text}; {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not" if missing else text


def _conditions(ready: Condition, phase: str) -> list[Condition]:
    return [
        ready,
        Condition("Progressing", True, phase, ready.message if phase == "Starting" else ""),
        Condition("Succeeded", False, phase),
        Condition("Failed", False, phase),
    ]


def _nodes(case: Case, need: Demand) -> dict[str, Any]:
    return {} if need.simulated else {"nodes": {"ready": case.ready("edge-node"), "wanted": need.nodes}}


def _upkeep_events(case: Case, found: Upkeep) -> list[Event]:
    """What others have done to the objects; that they are made at first, or after a pause, is nothing to tell."""
    events = [Event("Normal", "Repaired", f"{name} was changed, and is as before") for name in found.repaired]
    progressing = find(case.conditions, "Progressing")
    if progressing is not None and progressing.get("status") == "True" and case.status.get("phase") != "Pending":
        events += [Event("Normal", "Recreated", f"{name} was gone, and is there again") for name in found.missing]
    return events


def _until(case: Case, seconds: float, *, started: bool = False) -> float:
    """So long, or until the next deadline."""
    deadlines = [case.active_left_s, None if started else case.start_left_s]
    return max(0.05, min([seconds, *(left + 0.05 for left in deadlines if left is not None)]))
