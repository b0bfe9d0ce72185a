"""What is trained: deploy/experiments/generalist.yaml as it is, and variants that lack something, each a stage that is kept."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.reading import load
from edgebed.experiment.specification import Experiment
from edgebed.experiment.stages import StageStore
from edgebed.experiment.validation import validate
from edgebed.runner.ground import SimulatorGround
from edgebed.runner.progress import Silent
from edgebed.runner.setting import ACTOR, Setting
from edgebed.runner.stages import Stages
from edgebed.runner.teacher import LocalTeacher
from edgebed.runner.units import VERSIONS
from edgebed.systems.cooperative.candidate import DYNAMIC, STATIC, Array, CandidateObservation, Known

ROOT = Path(__file__).parents[2]
EXPERIMENT = ROOT / "deploy" / "experiments" / "generalist.yaml"
BUILD = ROOT / "build" / "generalist"
SEEDS = (0, 1, 2)
"""Training seeds of the study; the first is the model that comes along."""


@dataclass(frozen=True)
class Variant:
    """A way to train."""

    training: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `training` that differ."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `spec` that differ."""
    without: tuple[str, ...] = ()
    """Columns of the observation that are 0 in training and use."""


SHIPPED = "generalist"
VARIANTS = {
    SHIPPED: Variant(),
    "eta 0": Variant(training={"crowding": 0.0}),
    "eta 2": Variant(training={"crowding": 2.0}),
    "no mask": Variant(spec={"mask": {"coefficient": 1000.0}}),
    "no failure rates": Variant(without=("executionHazard", "linkHazard", "hazard")),
    "no loads": Variant(without=("arrivals", "load", "networkLoad", "arrivalsPerSlot")),
    "no own links": Variant(without=("sendingBacklog", "slack", "toldSlack", "choices")),
}
"""By name; a variant that lacks something is measured like the model itself."""


def document(variant: str) -> dict[str, Any]:
    """The experiment of a variant."""
    found = load(EXPERIMENT).to_document()
    spec, changed = found["spec"], VARIANTS[variant]
    for method in spec["methods"]:
        if "training" in method:
            method["training"] |= changed.training
    spec |= changed.spec
    return found


def train(variant: str, seed: int) -> Path:
    """The file of the model of a variant and training seed, trained unless it is there."""
    experiment = validate(document(variant), folder=EXPERIMENT.parent)
    with hiding(VARIANTS[variant].without):
        return stages(experiment, seed, variant).train(_training(experiment)) / ACTOR


def stages(experiment: Experiment, seed: int, store: str = "shared") -> Stages:
    """The stages of the experiment's first network."""
    setting = Setting.of(experiment, 0, read_inputs(experiment))
    kept = StageStore(BUILD / "stages" / store.replace(" ", "-"), VERSIONS)
    ground, teacher = SimulatorGround(setting), LocalTeacher(setting)
    return Stages(ground, teacher, kept, Silent(), training_seed=seed, label="")


def _training(experiment: Experiment) -> Any:
    return next(method.training for method in experiment.spec.methods if method.training is not None)


@contextmanager
def hiding(columns: tuple[str, ...]) -> Iterator[None]:
    """Observations without some columns, in this process: they are 0."""
    static, dynamic = CandidateObservation.static, CandidateObservation.dynamic
    hidden_static = [STATIC.index(name) for name in columns if name in STATIC]
    hidden_dynamic = [DYNAMIC.index(name) for name in columns if name in DYNAMIC]

    def less_static(self: CandidateObservation, source: int) -> Array:
        out = static(self, source)
        out[:, hidden_static] = 0
        return out

    def less_dynamic(self: CandidateObservation, known: Known) -> Array:
        out = dynamic(self, known)
        out[:, :, hidden_dynamic] = np.float32(0)
        return out

    if columns:
        CandidateObservation.static, CandidateObservation.dynamic = less_static, less_dynamic  # type: ignore[method-assign]
    try:
        yield
    finally:
        CandidateObservation.static, CandidateObservation.dynamic = static, dynamic  # type: ignore[method-assign]
