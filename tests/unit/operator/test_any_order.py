"""Whatever is done to an experiment and its objects, in whatever order, it comes to its end, once, and mixes with no other."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgebed.operator.names import UID_LABEL
from tests.unit.operator.world import LEARNED, World, experiment


class Disturbed(RuleBasedStateMachine):
    """A namespace in which others do as they please."""

    def __init__(self):
        super().__init__()
        self.number, self.ended = 1, {}
        self.world = World(experiment(uid="1-1"))

    @rule()
    def look(self):
        self.world.look()

    @rule()
    def pods_come_and_go(self):
        self.world.kubelet()

    @rule(seconds=st.sampled_from([0.1, 1, 7, 70]))
    def time_passes(self, seconds):
        self.world.pass_s(seconds)

    @rule(index=st.integers(0, 20))
    def somebody_deletes_an_object(self, index):
        keys = sorted(self.world.objects)
        if keys:
            del self.world.objects[keys[index % len(keys)]]

    @rule(index=st.integers(0, 20))
    def somebody_deletes_a_pod(self, index):
        names = sorted(self.world.pods)
        if names:
            del self.world.pods[names[index % len(names)]]

    @rule(replicas=st.integers(0, 9))
    def somebody_scales(self, replicas):
        for item in self.world.objects.values():
            if "replicas" in item.get("spec", {}):
                item["spec"]["replicas"] = replicas

    @rule(suspend=st.booleans())
    def is_suspended_or_not(self, suspend):
        if self.world.experiment["spec"].get("suspend", False) != suspend:
            self.world.change(suspend=suspend)

    @rule()
    def the_operator_is_restarted(self):
        self.world.restart()

    @rule(image=st.sampled_from(["a:1", "a:2"]))
    def the_settings_change(self, image):
        self.world.settings = World(experiment(), edgeNode={"image": image}, simulator={"image": image}).settings

    @rule(methods=st.sampled_from([None, LEARNED]), backend=st.sampled_from(["kubernetes", "simulator"]))
    def is_applied_anew(self, methods, backend):
        self.number += 1
        self.world.apply_anew(experiment(uid=f"{self.number}-1", methods=methods, backend=backend))

    @rule()
    def what_nobody_owns_is_collected(self):
        self.world.collect_garbage()

    @precondition(lambda self: self.world.run is not None)
    @rule(state=st.sampled_from(["finished", "failed", "stopped"]))
    def the_run_ends(self, state):
        if self.world.run["state"] == "running":
            self.world.run |= {"state": state, "reason": state, "results": {}}

    @invariant()
    def an_end_is_the_end(self):
        uid, phase = self.world.experiment["metadata"]["uid"], self.world.phase
        if uid in self.ended:
            assert phase == self.ended[uid]
        if phase in ("Succeeded", "Failed"):
            self.ended[uid] = phase

    @invariant()
    def a_run_has_one_document(self):
        documents: dict[str, object] = {}
        for name, document in self.world.submitted:
            assert documents.setdefault(name, document) == document

    def teardown(self):
        """Left alone, it comes to rest, and goes on to its end."""
        world = self.world
        world.collect_garbage()
        if world.experiment["spec"].get("suspend"):
            world.change(suspend=False)
        for _ in range(8):
            world.settle(10)
            if world.run is not None and world.run["state"] == "running":
                world.run["state"] = "finished"
            job = world.objects.get(("Job", "quick-run"))
            if job is not None and any("quick-run" in name for name in world.pods):
                job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
        assert world.phase in ("Succeeded", "Failed")
        if world.phase == "Succeeded":
            assert not world.pods
        uid = world.experiment["metadata"]["uid"]
        assert all(item["metadata"]["labels"][UID_LABEL] == uid for item in world.objects.values())
        plan = world.plan()
        assert (plan.apply, plan.delete, plan.patch, plan.runs, plan.status, plan.events) == ((), (), (), (), None, ())


Disturbed.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_whatever_happens = Disturbed.TestCase
