"""A node's own view of one task is, in every field, the view that virtual time has of it."""

import numpy as np
import pytest

from edgebed.edge_node.view import NodeSurroundings, NodeView
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import Policy, PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import TESTBED
from edgebed.systems.cooperative.virtual import VirtualEpisode

OWN = ("source", "size_bits", "cycles", "deadline_s", "waiting", "backlog_s", "sending_backlog_s", "receiving")
FIELDS = (
    *OWN,
    "available",
    "decision_key",
    "everyone",
    "transmission_s",
    "execution_s",
    "rows",
    "nodes",
    "slot",
    "slot_s",
)


class Looking(Policy):
    """RATC, which holds every view against the node's own."""

    def __init__(self, context, episode):
        super().__init__(context)
        self.ratc, self.episode, self.looked = Ratc(context), episode, 0

    def ask(self, view):
        return self.ratc.ask(view)

    def decide(self, view, answers):
        for row, i in enumerate(view.source.tolist()):
            core = self.episode.nodes[i]
            limit = self.context.mask_coefficient * float(self.context.network.cores[i]) / 4
            around = NodeSurroundings(core, view.network, view.slot_s, limit, int(view.decision_key[row]))
            around.receiving = view.receiving[row].tolist()
            task = next(t for t in self.episode.tasks if (t.slot, t.source) == (view.slot, i))
            mine = NodeView(around, task, view.slot * view.slot_s)
            one = self.episode.view(view.slot, [task])
            for name in FIELDS:
                np.testing.assert_array_equal(getattr(mine, name), getattr(one, name), err_msg=name)
            np.testing.assert_array_equal(mine.uniforms(3), one.uniforms(3))
            nodes = np.array([[i, (i + 1) % view.nodes]])
            for name in ("sending_backlog_to", "transmission_to", "execution_at", "hazard_of"):
                np.testing.assert_array_equal(getattr(mine, name)(nodes), getattr(one, name)(nodes), err_msg=name)
            self.looked += 1
        return self.ratc.decide(view, answers)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_field_of_every_decision_is_the_same(seed):
    network = TESTBED.network.draw(seed)
    workload = TESTBED.workload.draw(network, seed, Stream.EVALUATE, range(1))
    episode = VirtualEpisode(network, workload, Rules(), 0.25)
    looking = Looking(PolicyContext(network, TESTBED.workload, Rules(), 0.25, seed), episode)
    episode.run(looking)
    assert looking.looked == len(episode.tasks) > 100
