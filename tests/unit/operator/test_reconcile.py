"""Every rule of the operator, on a cluster that behaves."""

import copy
from datetime import timedelta

import pytest

from edgebed.operator.objects import document_in
from edgebed.operator.plan import Delete
from tests.unit.operator.world import DAY_S, LEARNED, START, World, experiment

RESULTS = {
    "methods": {
        "ratc": {"successRate": {"mean": 0.878, "ci95": [0.85, 0.9]}},
        "local": {"successRate": {"mean": 0.5, "ci95": [0.4, 0.6]}},
    }
}


def at_work(**changes):
    """An experiment whose run goes on."""
    world = World(experiment(**changes))
    world.settle(10)
    assert world.run["state"] == "running"
    world.run |= {"phase": "network 1: evaluating ratc", "methods": {}}
    world.settle(5)
    return world


def over(**changes):
    """One that succeeded, and gave back its pods."""
    world = at_work(**changes)
    world.run |= {"state": "finished", "artefact": "results/run-7", "results": RESULTS}
    world.settle()
    return world


def reasons(world):
    return [event.reason for event in world.events]


def replicas(world):
    return {
        name: item["spec"]["replicas"]
        for (_, name), item in world.objects.items()
        if "replicas" in item.get("spec", {})
    }


# From apply to work


def test_makes_what_a_testbed_needs_and_nothing_else():
    world = World(experiment())
    world.look()
    assert sorted(world.objects) == [
        ("ConfigMap", "quick-document"),
        ("Deployment", "quick-generator"),
        ("Service", "quick-node"),
        ("StatefulSet", "quick-node"),
    ]
    assert world.objects["StatefulSet", "quick-node"]["spec"]["replicas"] == 3
    assert world.phase == "Starting"
    assert world.condition("Ready")["message"] == "0 of 3 nodes are ready; the task generator is not"


def test_a_trainer_is_there_only_where_a_method_learns():
    world = World(experiment(methods=LEARNED))
    world.look()
    assert ("Deployment", "quick-trainer") in world.objects


def test_nodes_are_those_of_the_largest_swept_network():
    sweep = {"field": "network.nodes", "values": [2, 5, 4]}
    world = World(experiment(sweep=sweep))
    world.look()
    assert world.objects["StatefulSet", "quick-node"]["spec"]["replicas"] == 5


def test_the_run_is_handed_over_when_all_is_ready_and_not_before():
    world = World(experiment())
    world.look()
    world.kubelet(ready=False)
    world.look()
    assert world.submitted == []
    next(iter(world.pods.values()))["status"]["conditions"][0]["status"] = "True"
    world.look()
    assert world.submitted == []
    world.pods.clear()
    world.kubelet()
    world.look()
    world.look()
    [(name, document)] = world.submitted
    assert name == "quick-11111111"
    assert document["metadata"] == {"name": "quick"}
    assert world.status["run"] == name
    assert world.status["startedAt"] == "2030-01-01T00:00:00Z"
    assert world.status["nodes"] == {"ready": 3, "wanted": 3}
    assert reasons(world) == ["Started"]


def test_processes_means_kubernetes_here():
    world = World(experiment(backend="processes"))
    world.settle(10)
    assert world.run["state"] == "running"


def test_the_document_says_nothing_of_the_schedule():
    world = World(experiment(ttlSecondsAfterFinished=5, startDeadlineSeconds=60))
    world.settle(5)
    [(_, document)] = world.submitted
    assert not {"ttlSecondsAfterFinished", "startDeadlineSeconds", "suspend"} & document["spec"].keys()


def test_a_second_look_at_the_same_facts_does_nothing():
    for world in (World(experiment()), at_work(), over()):
        world.look()
        plan = world.plan()
        assert (plan.apply, plan.delete, plan.patch, plan.runs, plan.status, plan.events) == ((), (), (), (), None, ())


def test_a_wrong_specification_fails_with_everything_that_is_wrong():
    bad = experiment(seed=-1)
    bad["spec"]["network"]["nodes"] = 1
    world = World(bad)
    world.look()
    assert world.objects == {}
    assert world.phase == "Failed"
    failed = world.condition("Failed")
    assert (failed["status"], failed["reason"]) == ("True", "InvalidSpecification")
    assert "spec.seed" in failed["message"]
    assert "spec.network.nodes" in failed["message"]


def test_a_specification_that_names_files_is_refused():
    world = World(experiment(network={"file": "network.json"}))
    world.look()
    assert "spec.network.file: 'network.json' is a file" in world.condition("Failed")["message"]


def test_what_the_controller_refuses_for_good_fails():
    world = World(experiment())
    world.refuses = ("spec.methods[0].policy: 'ratk' is not an installed policy", True)
    world.settle(10)
    assert world.phase == "Failed"
    assert "ratk" in world.condition("Failed")["message"]
    assert "run" not in world.status


def test_a_controller_that_cannot_take_it_now_is_asked_again():
    world = World(experiment())
    world.refuses = ("another experiment runs", False)
    world.settle(20)
    assert world.phase == "Starting"
    assert world.condition("Ready")["reason"] == "ControllerUnavailable"
    assert reasons(world).count("ControllerUnavailable") == 1
    world.refuses = None
    world.settle(10)
    assert world.run["state"] == "running"


# Trouble, and the deadline for it


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "ErrImagePull"])
def test_what_keeps_pods_from_starting_is_said_once(reason):
    world = World(experiment())
    world.look()
    world.kubelet(ready=False)
    for name, item in world.pods.items():
        waiting = {"waiting": {"reason": reason, "message": "ErrImagePull: no such image"}}
        item["status"] = {"phase": "Pending", "containerStatuses": [{"state": waiting, "image": f"{name}:1"}]}
    world.look()
    ready = world.condition("Ready")
    assert ready["reason"] == "ImagePullBackOff"
    assert ready["message"].startswith("pod quick-generator-0 cannot pull image quick-generator-0:1: no such image")
    assert ready["message"].endswith("(and 3 more)")
    other = {"ImagePullBackOff": "ErrImagePull", "ErrImagePull": "ImagePullBackOff"}[reason]
    for item in world.pods.values():
        item["status"]["containerStatuses"][0]["state"]["waiting"] = {"reason": other, "message": "no such image"}
    world.look()
    assert reasons(world) == ["ImagePullBackOff"]


def test_who_is_not_at_work_in_time_has_failed_and_the_message_says_why():
    world = World(experiment(startDeadlineSeconds=60))
    world.look()
    world.kubelet(ready=False)
    world.pass_s(59)
    world.look()
    assert world.phase == "Starting"
    world.pass_s(1)
    world.look()
    assert world.phase == "Failed"
    failed = world.condition("Failed")
    assert failed["reason"] == "StartDeadlineExceeded"
    assert "within 60 s" in failed["message"]
    assert "pod quick-generator-0 does not answer" in failed["message"]
    assert world.objects["StatefulSet", "quick-node"]["spec"]["replicas"] == 3


def test_one_that_is_ready_when_the_operator_comes_back_late_has_not_failed():
    world = World(experiment(startDeadlineSeconds=60))
    world.look()
    world.kubelet()
    world.pass_s(DAY_S)
    world.look()
    assert world.run["state"] == "running"


def test_the_look_comes_at_the_deadline_itself():
    world = World(experiment(startDeadlineSeconds=3))
    plan = world.look()
    assert plan.again_s is not None
    assert 3 < plan.again_s < 3.2


def test_a_run_that_takes_too_long_is_stopped():
    world = at_work(activeDeadlineSeconds=300)
    world.pass_s(300)
    world.settle(10)
    assert world.phase == "Failed"
    assert world.condition("Failed")["reason"] == "DeadlineExceeded"
    assert world.stopped == ["quick-11111111"]


# At work


def test_the_state_of_the_run_is_mirrored():
    world = at_work(methods=LEARNED)
    series = {"collect": {"episodes": 10, "successRate": 0.8}}
    world.run |= {"phase": "network 1: online learning", "episodesKnown": 12, "methods": {"ratc": series, "o2o": {}}}
    world.run["methods"]["o2o"] = {"online": {"episodes": 2, "successRate": 0.71234}}
    world.look()
    status = world.status
    assert status["phase"] == "FineTuning"
    assert status["method"] == "o2o"
    assert status["successRate"] == "71.2 %"
    assert status["episodes"] == {"played": 12, "planned": 10 + 6 + 4 + 4}
    assert (status["progress"], status["progressPercent"]) == ("50 %", 50)
    world.run |= {"phase": "network 1: evaluating o2o"}
    world.run["methods"]["o2o"]["evaluate"] = {"episodes": 1, "successRate": 0.9}
    world.look()
    assert world.phase == "Evaluating"
    assert world.status["methods"] == [{"name": "o2o", "successRate": 0.9}]


def test_a_status_that_says_the_same_is_not_written():
    world = at_work()
    assert world.look().status is None


def test_a_run_that_nobody_goes_on_with_after_a_restart_is_handed_over_again():
    world = at_work()
    before = len(world.submitted)
    world.restart()
    world.settle(10)
    assert len(world.submitted) == before + 1
    assert world.submitted[-1] == world.submitted[0]


def test_nothing_is_handed_over_while_nodes_are_away():
    world = at_work()
    world.restart()
    world.pods.popitem()
    world.look()
    assert len(world.submitted) == 1
    assert world.condition("Ready")["status"] == "False"
    assert world.phase == "Evaluating"


@pytest.mark.parametrize("kind", ["ConfigMap", "Deployment", "Service", "StatefulSet"])
@pytest.mark.parametrize("when", ["starting", "at work"])
def test_what_was_deleted_by_hand_is_there_again(kind, when):
    world = at_work() if when == "at work" else World(experiment())
    world.look()
    before = copy.deepcopy(world.objects)
    [key] = [key for key in world.objects if key[0] == kind]
    del world.objects[key]
    world.look()
    for item in (*before.values(), *world.objects.values()):
        del item["metadata"]["uid"]
    assert world.objects == before
    assert "Recreated" in reasons(world)


def test_what_was_changed_by_hand_is_as_before():
    world = at_work()
    nodes = world.objects["StatefulSet", "quick-node"]
    before = copy.deepcopy(nodes)
    nodes["spec"]["replicas"] = 0
    nodes["metadata"]["labels"]["app.kubernetes.io/name"] = "mine"
    nodes["spec"]["template"]["spec"]["containers"][0]["image"] = "mine:1"
    nodes["metadata"]["labels"]["added"] = "by-somebody"
    world.look()
    assert world.objects["StatefulSet", "quick-node"]["metadata"]["labels"].pop("added") == "by-somebody"
    assert world.objects["StatefulSet", "quick-node"] == before


def test_an_object_whose_owner_was_taken_away_is_adopted():
    world = at_work()
    del world.objects["Service", "quick-node"]["metadata"]["ownerReferences"]
    world.look()
    [reference] = world.objects["Service", "quick-node"]["metadata"]["ownerReferences"]
    assert reference["controller"] is True
    assert reference["blockOwnerDeletion"] is True
    assert "Repaired" in reasons(world)


def test_other_settings_do_not_replace_the_pods_of_a_run():
    world = at_work()
    world.settings = World(experiment(), edgeNode={"image": "edge-node:2"}).settings
    world.settle(10)
    image = lambda: world.objects["StatefulSet", "quick-node"]["spec"]["template"]["spec"]["containers"][0]["image"]  # noqa: E731
    assert image() == "edge-node:1"
    world.change(suspend=True)
    world.settle(10)
    world.change(suspend=False)
    world.settle(10)
    assert image() == "edge-node:2"
    assert world.run["state"] == "running"


def test_other_settings_reach_an_experiment_that_has_not_begun():
    """Else a wrong image could be put right only by deleting every experiment."""
    world = World(experiment(), edgeNode={"image": "wrong:1"})
    world.look()
    world.settings = World(experiment(), edgeNode={"image": "right:1"}).settings
    world.look()
    template = world.objects["StatefulSet", "quick-node"]["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "right:1"


# Changes of the specification


def test_before_the_start_the_specification_may_change():
    world = World(experiment(methods=LEARNED))
    world.look()
    world.change(methods=[{"name": "rda", "policy": "rda"}])
    world.settle(10)
    assert ("Deployment", "quick-trainer") not in world.objects
    [(_, document)] = world.submitted
    assert document["spec"]["methods"][0]["name"] == "rda"
    assert document_in(world.objects["ConfigMap", "quick-document"]) == document
    assert "Repaired" not in reasons(world)


def test_after_the_start_it_may_not_and_the_run_goes_on():
    world = at_work()
    world.change(seed=99)
    world.settle(10)
    assert reasons(world).count("SpecificationChanged") == 1
    assert world.run["state"] == "running"
    world.change(suspend=True)
    world.settle(10)
    world.change(suspend=False)
    world.settle(10)
    assert world.submitted[-1][1] == world.submitted[0][1]


def test_a_schedule_that_changes_is_no_change_of_the_experiment():
    world = at_work()
    world.change(ttlSecondsAfterFinished=100, activeDeadlineSeconds=DAY_S)
    world.settle(5)
    assert "SpecificationChanged" not in reasons(world)
    assert world.status["observedGeneration"] == 2


# Suspending


def test_suspended_stops_the_run_before_its_pods_go():
    world = at_work()
    world.change(suspend=True)
    plan = world.plan()
    assert [type(action).__name__ for action in plan.runs] == ["Stop"]
    assert plan.patch == ()
    world.settle(10)
    assert replicas(world) == {"quick-node": 0, "quick-generator": 0}
    assert world.phase == "Suspended"
    assert world.condition("Progressing")["reason"] == "Suspended"
    assert world.plan().again_s is None


def test_a_run_that_does_not_stop_loses_its_pods_after_a_minute():
    world = at_work()
    world.change(suspend=True)
    world.look()
    world.run["state"] = "running"
    world.pass_s(59)
    assert world.plan().patch == ()
    world.pass_s(2)
    assert len(world.plan().patch) == 2


def test_going_on_brings_back_the_same_run():
    world = at_work()
    started = world.status["startedAt"]
    world.change(suspend=True)
    world.settle(10)
    world.pass_s(DAY_S)  # neither deadline counts the pause
    world.change(suspend=False)
    world.settle(10)
    assert world.run["state"] == "running"
    assert replicas(world) == {"quick-node": 3, "quick-generator": 1}
    assert [name for name, _ in world.submitted] == ["quick-11111111"] * 2
    assert not {"Repaired", "Recreated"} & set(reasons(world))
    assert world.status["startedAt"] == started


def test_one_that_is_applied_suspended_makes_nothing():
    world = World(experiment(suspend=True))
    world.settle()
    assert world.objects == {}
    assert world.phase == "Suspended"
    world.change(suspend=False)
    world.settle(10)
    assert world.run["state"] == "running"


def test_one_that_ended_while_it_was_being_suspended_has_ended():
    world = at_work()
    world.change(suspend=True)
    world.run |= {"state": "finished", "artefact": "results/run-7", "results": RESULTS}
    world.settle(10)
    assert world.phase == "Succeeded"


# The end


def test_success_says_what_came_out():
    world = over()
    assert world.phase == "Succeeded"
    assert {c["type"]: c["status"] for c in world.status["conditions"]} == {
        "Ready": "False",
        "Progressing": "False",
        "Succeeded": "True",
        "Failed": "False",
    }
    assert world.status["methods"] == [
        {"name": "ratc", "successRate": 0.878, "ci95": [0.85, 0.9]},
        {"name": "local", "successRate": 0.5, "ci95": [0.4, 0.6]},
    ]
    assert (world.status["method"], world.status["successRate"]) == ("ratc", "87.8 %")
    assert world.status["artefacts"]["report"] == "results/run-7/report.html"
    assert world.status["progressPercent"] == 100
    assert world.status["episodes"] == {"played": 8, "planned": 8}
    assert reasons(world) == ["Started", "Succeeded"]


def test_success_gives_back_the_pods():
    world = over()
    assert replicas(world) == {"quick-node": 0, "quick-generator": 0}
    assert world.status["nodes"] == {"ready": 0, "wanted": 3}


@pytest.mark.parametrize("keep", [True, False])
def test_the_pods_of_a_failure_stay_if_the_settings_say_so(keep):
    world = at_work()
    world.settings = World(experiment(), keepFailedPods=keep).settings
    world.run |= {"state": "failed", "reason": "node 2 was lost"}
    world.settle(10)
    assert world.phase == "Failed"
    assert world.condition("Failed")["message"] == "node 2 was lost"
    assert replicas(world)["quick-node"] == (3 if keep else 0)
    assert reasons(world)[-1] == "RunFailed"


def test_what_is_over_stays_over():
    world = over()
    status = copy.deepcopy(world.status)
    world.run = None
    world.restart()
    world.change(suspend=True)
    world.settle()
    world.change(suspend=False)
    world.settle()
    assert len(world.submitted) == 1
    assert world.status == status


@pytest.mark.parametrize("end", ["Succeeded", "Failed"])
def test_after_its_time_the_experiment_goes_with_all_it_owned(end):
    world = at_work(ttlSecondsAfterFinished=100)
    world.run |= {"state": "finished"} if end == "Succeeded" else {"state": "failed", "reason": "lost"}
    world.settle(20)
    ended = world.now
    assert world.phase == end
    assert 0 < (world.plan().again_s or 0) <= 100
    world.settle(200)
    assert world.experiment is None
    assert world.objects == {}
    assert world.now - ended <= timedelta(seconds=101)


def test_what_is_being_deleted_is_stopped_and_nothing_is_made():
    world = at_work()
    world.experiment["metadata"]["deletionTimestamp"] = "2030-01-01T00:01:00Z"
    world.objects.clear()
    plan = world.look()
    assert plan.apply == ()
    assert world.stopped == ["quick-11111111"]


# Another of the same name


def test_applied_anew_it_is_another_run_and_never_mixes_with_the_old_one():
    world = at_work()
    old = copy.deepcopy(world.objects)
    world.apply_anew(experiment(uid="22222222-bbbb"))
    world.settle(30)
    assert world.run["state"] == "running"
    assert world.submitted[-1][0] == "quick-22222222"
    for key, item in world.objects.items():
        assert item["metadata"]["uid"] != old[key]["metadata"]["uid"]
        assert item["metadata"]["ownerReferences"][0]["uid"] == "22222222-bbbb"


def test_what_goes_already_is_waited_for():
    world = at_work()
    for item in world.objects.values():
        item["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    world.apply_anew(experiment(uid="22222222-bbbb"))
    plan = world.look()
    assert (plan.delete, plan.apply) == ((), ())
    assert world.phase == "Pending"
    assert "has to go first" in world.condition("Ready")["message"]
    world.collect_garbage()
    world.settle(20)
    assert world.run["state"] == "running"


def test_what_belongs_to_others_is_never_touched():
    world = World(experiment())
    theirs = {"kind": "Service", "metadata": {"name": "quick-node", "uid": "theirs"}, "spec": {"ports": []}}
    world.objects["Service", "quick-node"] = copy.deepcopy(theirs)
    world.settle(30)
    assert world.objects["Service", "quick-node"] == theirs
    assert world.submitted == []
    assert world.condition("Ready")["reason"] == "NameTaken"
    assert reasons(world).count("NameTaken") == 1
    del world.objects["Service", "quick-node"]
    world.settle(10)
    assert world.run["state"] == "running"


def test_deletions_mean_the_very_object():
    world = at_work()
    world.apply_anew(experiment(uid="22222222-bbbb"))
    deletions = world.plan().delete
    assert {deletion.uid for deletion in deletions} == {item["metadata"]["uid"] for item in world.objects.values()}
    assert all(isinstance(deletion, Delete) for deletion in deletions)


# Conditions


def test_transition_times_change_with_the_status_alone():
    world = World(experiment())
    world.look()
    first = world.condition("Ready")["lastTransitionTime"]
    world.pass_s(10)
    world.kubelet(ready=False)
    world.look()
    world.pass_s(40)
    world.look()  # another message by now
    assert world.condition("Ready")["message"] != "0 of 3 nodes are ready; the task generator is not"
    assert world.condition("Ready")["lastTransitionTime"] == first
    world.pods.clear()
    world.kubelet()
    world.look()
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Ready")["lastTransitionTime"] == (START + timedelta(seconds=50)).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


def test_conditions_say_which_specification_they_are_of():
    world = at_work()
    world.change(ttlSecondsAfterFinished=7)
    world.look()
    assert {c["observedGeneration"] for c in world.status["conditions"]} == {2}


# In the simulator


def simulation(**changes):
    world = World(experiment(backend="simulator", **changes))
    world.settle(4)
    return world


def test_a_simulation_is_a_job_with_the_document():
    world = simulation()
    assert sorted(world.objects) == [("ConfigMap", "quick-document"), ("Job", "quick-run")]
    document = document_in(world.objects["ConfigMap", "quick-document"])
    assert document is not None
    assert document["spec"]["backend"] == "simulator"
    assert world.submitted == []
    assert "nodes" not in world.status


def test_a_simulation_that_learns_has_the_trainers_image():
    for methods, image in ((None, "simulator:1"), (LEARNED, "trainer:1")):
        job = simulation(methods=methods).objects["Job", "quick-run"]
        assert job["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_a_simulation_shows_how_far_it_is():
    world = simulation()
    world.log = ("warming up", "network 1: evaluating ratc: 0.3 s")
    world.look()
    assert world.phase == "Evaluating"
    assert (world.status["method"], world.status["progressPercent"]) == ("ratc", 50)
    assert world.status["run"] == "quick-11111111"
    world.log = ()
    world.look()
    assert world.status["progressPercent"] == 50


def test_a_simulation_that_is_complete_has_succeeded():
    world = simulation()
    world.objects["Job", "quick-run"]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    world.results = RESULTS
    world.settle(10)
    assert world.phase == "Succeeded"
    assert world.status["successRate"] == "87.8 %"
    assert world.status["artefacts"]["folder"] == "results/quick-11111111"


def test_a_simulation_that_failed_says_with_which_words():
    world = simulation()
    [item] = world.pods.values()
    ended = {"exitCode": 2, "reason": "Error", "message": "first line\nspec.seed: -1 is not allowed; give 0\n"}
    item["status"] = {"phase": "Failed", "containerStatuses": [{"state": {"terminated": ended}}]}
    world.objects["Job", "quick-run"]["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    world.look()
    assert world.phase == "Failed"
    assert world.condition("Failed")["message"].endswith(
        "ended with exit status 2: spec.seed: -1 is not allowed; give 0"
    )


def test_a_simulation_is_suspended_and_goes_on():
    world = simulation()
    world.change(suspend=True)
    world.settle(10)
    assert world.objects["Job", "quick-run"]["spec"]["suspend"] is True
    assert world.pods == {}
    world.change(suspend=False)
    world.settle(10)
    assert world.objects["Job", "quick-run"]["spec"]["suspend"] is False
    assert world.condition("Ready")["status"] == "True"


def test_a_simulation_that_takes_too_long_is_ended():
    world = simulation(activeDeadlineSeconds=60)
    world.pass_s(60)
    world.settle(5)
    assert world.phase == "Failed"
    assert world.objects["Job", "quick-run"]["spec"]["suspend"] is True


def test_a_jobs_pods_cannot_be_changed_so_it_is_made_anew():
    world = World(experiment(backend="simulator"))
    world.look()
    world.settings = World(experiment(), simulator={"image": "simulator:2"}).settings
    world.settle(5, kubelet=False)
    assert world.objects["Job", "quick-run"]["spec"]["template"]["spec"]["containers"][0]["image"] == "simulator:2"
