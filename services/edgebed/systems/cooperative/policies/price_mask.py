"""Price+mask: the decentralised reference that knows the network's parameters and the mask bits.

For task k at node j with empty queues, v = exp(-Tt beta - Tc alpha) if Tt + Tc <= d, else 0, is its chance, and
w = exp(-Tt beta) Tc the execution seconds that it is expected to use. The prices mu >= 0 descend, averaged over three
sample workloads of the same network, on

    sum_k max(0, max_j v_kj - mu_j w_kj) + sum_j mu_j * 0.6 * slots * slot

by a thousand steps of length 0.001 along the subgradient, from zero. Not to the minimum: where the network is offered
more than 0.6 of its capacity, the prices at the minimum ration the tasks, and then w outweighs v in every decision; the success
rate falls by 6 points and more. The first steps balance the nodes, which is what prices are for here; on the ten
reference networks they decide as well as the reference's own prices or better (+0.3 points on average).

A task goes to the largest v - mu w among the nodes whose bit says
available and where v > 0; if there is none, the same without the mask; if none, it stays.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.policy import Answers, Integers, Policy, PolicyContext, View
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.workload import Workload

SAMPLES = 3
UTILISATION = 0.6
STEPS = 1000
STEP = 0.001


class PriceMask(Policy):
    """Prices of execution seconds, and one bit from every node."""

    def __init__(self, context: PolicyContext, prices: Sequence[float] | None = None) -> None:
        super().__init__(context)
        n = context.network.nodes
        if prices is None:
            samples = context.workload.draw(context.network, context.network_seed, Stream.PRICES, range(SAMPLES))
            each = [prices_of(context.network, samples.episode(k), context.rules) for k in range(SAMPLES)]
            self.prices: NDArray[np.float64] = np.mean(each, axis=0)
        else:
            try:
                self.prices = np.asarray(prices, dtype=np.float64)
            except (TypeError, ValueError):
                self.prices = np.empty(0)  # refused below
            if self.prices.shape != (n,) or not ((self.prices >= 0) & np.isfinite(self.prices)).all():
                raise ModelError("prices", prices, f"give {n} finite numbers of at least 0")

    def ask(self, view: View) -> Integers:
        """Every node, for its bit."""
        return view.everyone

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """(rows,) node indices."""
        assert answers is not None  # the driver answers what `ask` asked
        scale = view.rules.failure_rate_scale(view.slot_s)
        beta = view.network.link_failure_rate[view.source] * scale
        alpha = view.network.execution_failure_rate * scale
        value, use = _value_and_use(view.transmission_s, view.execution_s, view.deadline_s[:, None], alpha, beta)
        score = np.where(value > 0, value - self.prices * use, -np.inf)
        own = np.arange(view.nodes) == view.source[:, None]
        masked = np.where(answers.available | own, score, -np.inf)
        best = masked.argmax(axis=1)
        rows = np.arange(view.rows)
        best = np.where(masked[rows, best] > -np.inf, best, score.argmax(axis=1))
        return np.where(score[rows, best] > -np.inf, best, view.source)


def prices_of(network: Network, workload: Workload, rules: Rules) -> NDArray[np.float64]:
    """(N,) prices of the nodes' execution seconds for the tasks of one episode."""
    n = network.nodes
    _, _, source = np.nonzero(workload.arrives)
    size, cycles = workload.size_bits[workload.arrives][:, None], workload.cycles[workload.arrives][:, None]
    scale = rules.failure_rate_scale(workload.slot_s)
    value, use = _value_and_use(
        np.where(np.arange(n) == source[:, None], 0.0, size / network.link_rate_bits_per_s[source]),
        cycles / network.capacity_hz,
        workload.deadline_s[workload.arrives][:, None],
        network.execution_failure_rate * scale,
        network.link_failure_rate[source] * scale,
    )
    capacity_s = UTILISATION * workload.slots * workload.slot_s
    tasks = np.arange(len(source))
    prices = np.zeros(n)
    for _ in range(STEPS):
        score = value - prices * use
        best = score.argmax(axis=1)
        worth = score[tasks, best] > 0
        demand_s = np.bincount(best[worth], weights=use[tasks, best][worth], minlength=n)
        slope = capacity_s - demand_s
        length = float(np.linalg.norm(slope))
        if length == 0:
            break
        prices = np.maximum(0.0, prices - STEP * slope / length)
    return prices


def _value_and_use(
    transmission: NDArray[np.float64],
    execution: NDArray[np.float64],
    deadline: NDArray[np.float64],
    alpha: NDArray[np.float64],
    beta: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """v and w of every task (row) at every node (column)."""
    sent = np.exp(-transmission * beta)
    value = np.where(transmission + execution <= deadline, sent * np.exp(-execution * alpha), 0.0)
    return value, sent * execution
