"""Why pods do not start: one sentence that stays the same while the trouble does."""

from datetime import UTC, datetime, timedelta

import pytest

from edgebed.operator.trouble import ending, summary, troubles_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def pod(name="x-node-1", age_s=0, conditions=(), phase="Pending", **status):
    created = (NOW - timedelta(seconds=age_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    given = {"phase": phase, "conditions": list(conditions)}
    if status:
        given["containerStatuses"] = [{"image": "i:1", "restartCount": 0, **status}]
    return {"metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": created}, "status": given}


def waiting(reason, message=None):
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def said(*pods, warnings=()):
    return [(t.reason, str(t)) for t in troubles_of(pods, warnings, NOW)]


CRASHED = {"terminated": {"exitCode": 3, "reason": "Error", "message": "one\ncannot bind\n\n"}}


@pytest.mark.parametrize(
    ("item", "reason", "words"),
    [
        (pod(**waiting("ErrImagePull", "not found")), "ImagePullBackOff", "cannot pull image i:1: not found"),
        (
            pod(**waiting("ImagePullBackOff", 'Back-off pulling image "i:1": ErrImagePull: not found')),
            "ImagePullBackOff",
            "cannot pull image i:1: not found",
        ),
        (
            pod(**waiting("CreateContainerConfigError", 'configmap "x" not found')),
            "CreateContainerConfigError",
            'cannot start: configmap "x" not found',
        ),
        (
            pod(restartCount=1, lastState=CRASHED, **waiting("CrashLoopBackOff", "back-off 10s restarting")),
            "CrashLoopBackOff",
            "ended with exit status 3: cannot bind, again and again",
        ),
        (
            pod(restartCount=2, lastState=CRASHED, state={"running": {}}, phase="Running"),
            "CrashLoopBackOff",
            "ended with exit status 3: cannot bind, again and again",
        ),
        (
            pod(
                restartCount=1,
                lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                **waiting("CrashLoopBackOff"),
            ),
            "CrashLoopBackOff",
            "ended with exit status 137 (OOMKilled), again and again",
        ),
        (
            pod(
                conditions=[
                    {"type": "PodScheduled", "reason": "Unschedulable", "message": "0/2 nodes: 2 Insufficient cpu."}
                ]
            ),
            "Unschedulable",
            "finds no machine: 0/2 nodes: 2 Insufficient cpu.",
        ),
        (pod(age_s=31), "NotReady", "is still pending; kubectl describe pod x-node-1 may say why"),
        (pod(age_s=31, phase="Running"), "NotReady", "does not answer; kubectl describe pod x-node-1 may say why"),
    ],
)
def test_says(item, reason, words):
    assert said(item) == [(reason, f"pod x-node-1 {words}")]


@pytest.mark.parametrize(
    "item",
    [
        pod(),
        pod(**waiting("ContainerCreating")),
        pod(conditions=[{"type": "Ready", "status": "True"}], restartCount=7, lastState=CRASHED),
        pod(restartCount=1, lastState=CRASHED, state={"running": {}}, phase="Running"),
        {**pod(age_s=99), "metadata": {**pod(age_s=99)["metadata"], "deletionTimestamp": "2030-01-01T00:00:00Z"}},
    ],
)
def test_has_nothing_to_say_of(item):
    assert said(item) == []


def test_what_hinders_a_pod_may_be_known_from_an_event_alone():
    about = {"kind": "Pod", "uid": "uid-x-node-1", "name": "x-node-1"}
    event = {"reason": "FailedMount", "message": 'secret "edgebed" not found', "involvedObject": about}
    assert said(pod(), warnings=[event]) == [("FailedMount", 'pod x-node-1 cannot start: secret "edgebed" not found')]
    assert said(pod("x-node-2"), warnings=[event]) == []


def test_what_makes_no_pods_at_all():
    about = {"kind": "StatefulSet", "name": "x-node"}
    events = [
        {"reason": "FailedCreate", "message": text, "involvedObject": about} for text in ("old", "exceeded quota")
    ]
    assert said(warnings=events) == [("FailedCreate", "StatefulSet x-node makes no pods: exceeded quota")]


def test_the_first_of_many_is_what_will_not_get_better_and_in_the_order_of_nodes():
    pods = [pod(f"x-node-{k}", **waiting("ImagePullBackOff", "no")) for k in (10, 9, 2)] + [pod("x-a", age_s=99)]
    troubles = troubles_of(pods, (), NOW)
    assert [t.where for t in troubles] == ["pod x-node-2", "pod x-node-9", "pod x-node-10", "pod x-a"]
    assert summary(troubles) == "pod x-node-2 cannot pull image i:1: no (and 3 more)"
    assert summary([]) == ""


def test_endings():
    assert ending(pod(state=CRASHED)) == "ended with exit status 3: cannot bind"
    evicted = pod(phase="Failed")
    evicted["status"] |= {"reason": "Evicted", "message": "low on memory"}
    assert ending(evicted) == "ended (Evicted: low on memory)"
    assert ending(pod()) == "ended"


def test_long_words_are_cut():
    [(_, text)] = said(pod(**waiting("CreateContainerError", "x" * 5000)))
    assert len(text) < 600
