"""Writes docs/policies.md: every heuristic on the ten reference networks, beside an independent reference's figures.

    python -m scripts.policies_table [--episodes 400]

The reference's figures are `tests/data/reference/success-rates.json`; `tests/parity/test_reference_rates.py` holds ours to
four standard errors of the difference.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from edgebed.simulator.rollout import play
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import SIMULATION, TESTBED
from edgebed.systems.registry import build_policy

ROOT = Path(__file__).parents[1]
NAMES = ("random", "local", "rda", "ratc", "price-mask", "least-completion")
SETUPS = {"simulation": SIMULATION.workload, "testbed": TESTBED.workload}
HEAD = """# Policies

| name in YAML | what it does | asks | parameters |
|---|---|---|---|
| `random` | uniform over all nodes | nobody | |
| `local` | every task stays where it arrived | nobody | |
| `rda` | local while fewer than coefficient * cores / 4 tasks wait, otherwise the faster of two random others | two | `coefficient` (0.25) |
| `ratc` | of two random nodes the more reliable if both are in time, otherwise the faster | two | |
| `price-mask` | largest value less price among the nodes whose bit says available; knows the network's parameters | all, one bit each | `prices` (computed from three sample workloads) |
| `least-completion` | centralised reference: knows all queues and transfers, neither future nor failures | everything; simulator only | |
| `generalist` | samples from the masked softmax of a candidate actor that comes trained, for any network ([generalist.md](generalist.md)) | all, one bit each | `ask` (none; or all, or how many nodes whose seconds of work it uses), `sample` |
| `actor` | samples from the masked softmax of a trained actor | all, one bit each | `model` (a file), `sample` (true; false takes the likeliest); `ask` for a candidate actor |

A learned method is such an actor; its file is `stages/online-*/actor.safetensors` or `stages/offline-*/actor.safetensors` of a run.
A policy of your own: [plugin-policy.md](plugin-policy.md).

## Success rates on the reference networks

Ten networks with exact arrays (`tests/data/reference`), {episodes} episodes each, default rules, in percent: ours, the
independent reference's, and the difference in standard errors. Made again by `python -m scripts.policies_table`; a test
requires every difference to be within four. `price-mask` uses the reference's prices; *own prices* are those
that edgebed computes by itself.
"""


def main() -> None:
    """Play everything and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=int, default=400)
    episodes = parser.parse_args().episodes
    lines = [HEAD.format(episodes=episodes)]
    data = ROOT / "tests" / "data" / "reference"
    figures = json.loads((data / "success-rates.json").read_text())
    for setup, model in SETUPS.items():
        networks = [Network.from_document(d) for d in json.loads((data / f"{setup}-networks.json").read_text())]
        lines += [
            f"### {setup}",
            "",
            "| policy | " + " | ".join(f"network {k + 1}" for k in range(len(networks))) + " | mean |",
        ]
        lines.append("|---|" + "---|" * (len(networks) + 1))
        for name in (*NAMES, "own prices"):
            cells, means = [], []
            for k, network in enumerate(networks):
                reference = figures[setup]["networks"][k]
                context = PolicyContext(network, model, Rules(), 0.25, k)
                parameters = {"prices": reference["prices"]} if name == "price-mask" else {}
                policy = build_policy("price-mask" if name == "own prices" else name, context, parameters)
                tasks = model.draw(network, 100 + k, Stream.EVALUATE, range(episodes))
                log = play(network, tasks, Rules(), policy, 0.25).log
                rates = np.bincount(log.episode, log.status == 1) / np.bincount(log.episode)
                means.append(100 * rates.mean())
                cell = f"{means[-1]:.2f}"
                if name in reference:
                    theirs = reference[name]
                    error = np.hypot(rates.std(ddof=1) / np.sqrt(episodes), theirs["standardError"])
                    z = (rates.mean() - theirs["mean"]) / error
                    cell += f" / {100 * theirs['mean']:.2f} ({z:+.1f})"
                cells.append(cell)
            lines.append(f"| {name} | " + " | ".join(cells) + f" | {np.mean(means):.2f} |")
        lines.append("")
    (ROOT / "docs" / "policies.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
