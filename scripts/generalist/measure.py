"""Success rates of policies in cases. Every figure is computed once and kept under build/, by all that it depends on."""

import hashlib
import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgebed.simulator.rollout import play
from edgebed.systems.cooperative.candidate_ranges import OutsideTraining
from edgebed.systems.cooperative.models import read_model
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.registry import build_policy
from scripts.generalist.cases import CASES
from scripts.generalist.models import BUILD, VARIANTS, hiding, train

MASK = 0.25


@dataclass(frozen=True)
class Decider:
    """A heuristic, or a model of a variant and training seed."""

    policy: str
    variant: str = ""
    seed: int = 0
    ask: str | int = "none"
    sample: bool = True


@dataclass(frozen=True)
class Figures:
    """Of one policy in one case."""

    rates: NDArray[np.float64]
    """(networks,) mean success rate over episodes, in percent."""
    messages: float
    """Per task."""

    @property
    def mean(self) -> float:
        """Over networks."""
        return float(self.rates.mean())


def measure(case_name: str, decider: Decider) -> Figures:
    """The policy in the case; tasks and luck are the same for all policies."""
    case, variant = CASES[case_name], VARIANTS.get(decider.variant)
    model = read_model(train(decider.variant, decider.seed).read_bytes()) if variant is not None else None
    about = {
        "case": [case_name, case.episodes, repr(case.workload)],
        "networks": [network.to_document() for network in case.networks()],
        "decider": asdict(decider),
        "model": None if model is None else hashlib.sha256(model.to_bytes()).hexdigest(),
    }
    path = BUILD / "figures" / f"{hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]}.json"
    if not path.exists():
        _write(path, _play(case_name, decider, model))
    found = json.loads(path.read_text())
    return Figures(np.array(found["rates"]), float(found["messages"]))


def _play(case_name: str, decider: Decider, model: object) -> dict[str, object]:
    case, variant = CASES[case_name], VARIANTS.get(decider.variant)
    mask = MASK if variant is None else float(dict(variant.spec).get("mask", {"coefficient": MASK})["coefficient"])
    rates, messages = [], []
    with hiding(variant.without if variant is not None else ()), warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideTraining)  # the page says where the model is outside
        for k, network in enumerate(case.networks()):
            context = PolicyContext(network, case.workload, Rules(), mask, k)
            given = {} if model is None else {"model": model, "ask": decider.ask, "sample": decider.sample}
            policy = build_policy(decider.policy, context, given)
            tasks = case.workload.draw(network, 100 + k, Stream.EVALUATE, range(case.episodes))
            played = play(network, tasks, Rules(), policy, mask)
            log = played.log
            done, all_of = np.bincount(log.episode, log.status == 1), np.bincount(log.episode)
            rates.append(float(100 * (done[all_of > 0] / all_of[all_of > 0]).mean()))
            messages.append(float(played.messages.mean()))
    return {"rates": rates, "messages": float(np.mean(messages))}


def _write(path: Path, value: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)
