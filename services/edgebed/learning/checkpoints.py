"""Checkpoints: everything a learner is, as two files that are either both there and whole, or not there.

    NAME.safetensors     the tensors: parameters, targets, optimiser state
    NAME.json            the manifest: what the tensors mean, and the checksum that they must have

Published atomically: the tensors under a temporary name, synced and renamed, then the manifest in the same way. A reader
that finds a manifest therefore finds the tensors that it names, because their name holds their checksum. A run that was
interrupted resumes to the exact next update: `restore` gives the learner that `save` was given, bit for bit, with the
state of its random numbers.

Errors, all `CheckpointError`: a manifest or tensors that are missing, damaged, of a format or version that is not known,
of another algorithm, or trained with another observation, data or network sizes.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import Tensor

from edgebed.learning.networks import Adam
from edgebed.systems.transitions import Transitions

FORMAT = "edgebed-checkpoint/v1"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the field, what was found, and what to do."""


class Learner(Protocol):
    """What an algorithm shows of itself to be saved; `SacCql` and `Ppo` do."""

    updates: int
    rng: np.random.Generator
    settings: Any

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that an update reads and writes, by name; restored in place."""

    def optimisers(self) -> dict[str, Adam]:
        """Optimisers by name."""

    def numbers(self) -> dict[str, Any]:
        """What else it must remember, as JSON."""

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        """The inverse of `numbers`."""


@dataclass(frozen=True)
class Meaning:
    """What the tensors of a checkpoint mean: it is refused where any of these differs."""

    algorithm: str
    """`sac-cql` or `ppo`."""
    observation_digest: str
    """Of the observation specification."""
    action_order: str
    """What output k stands for."""
    seed: int
    data_digest: str = ""
    """Of the transitions that it is trained on; empty when they are made anew."""


def digest_of(transitions: Transitions) -> str:
    """SHA-256 of all arrays, with their names, types and shapes."""
    sha = hashlib.sha256()
    for field in fields(transitions):
        array: NDArray[np.generic] = getattr(transitions, field.name)
        sha.update(f"{field.name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(np.ascontiguousarray(array).view(np.uint8).data)
    return sha.hexdigest()


def save_checkpoint(path: Path, learner: Learner, meaning: Meaning) -> None:
    """Publish `learner` as `path` with the suffix .json, replacing what was there. Raises OSError if the disk refuses."""
    tensors = {name: tensor.cpu().numpy() for name, tensor in _all_tensors(learner).items()}
    data = save(tensors)
    checksum = hashlib.sha256(data).hexdigest()
    file = path.parent / f"{path.stem}-{checksum[:16]}.safetensors"
    manifest = {
        "format": FORMAT,
        "meaning": asdict(meaning),
        "settings": asdict(learner.settings),
        "updates": learner.updates,
        "numbers": learner.numbers(),
        "optimiserSteps": {name: adam.steps for name, adam in learner.optimisers().items()},
        "randomState": learner.rng.bit_generator.state,
        "tensors": {"file": file.name, "bytes": len(data), "sha256": checksum},
        "versions": {"numpy": np.__version__, "torch": torch.__version__},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _publish(file, data)
    _publish(path.with_suffix(".json"), json.dumps(manifest, indent=1, sort_keys=True).encode())
    for old in path.parent.glob(f"{path.stem}-*.safetensors"):
        if old != file and len(old.stem) == len(file.stem):
            old.unlink(missing_ok=True)


def restore_checkpoint(path: Path, learner: Learner, meaning: Meaning) -> None:
    """Put `learner`, made with the same settings, where it was when it was saved. Raises CheckpointError."""
    manifest = read_manifest(path)
    for key, wanted in asdict(meaning).items():
        found = manifest["meaning"].get(key)
        if found != wanted:
            remedy = "give what it was trained with, or train again in another folder"
            raise CheckpointError(f"{path.name}: {key} is {found!r}, but this run has {wanted!r}; {remedy}")
    for key, wanted in asdict(learner.settings).items():
        if manifest["settings"].get(key) != wanted:
            found = manifest["settings"].get(key)
            raise CheckpointError(f"{path.name}: settings.{key} is {found!r}, but this run has {wanted!r}; train again")
    stored = _read_tensors(path, manifest)
    wanted_tensors = _all_tensors(learner)
    if set(stored) != set(wanted_tensors):
        raise CheckpointError(
            f"{path.name}: holds {sorted(stored)}, but {sorted(wanted_tensors)} belong there; train again"
        )
    for name, tensor in wanted_tensors.items():
        if stored[name].shape != tuple(tensor.shape):
            shapes = f"{stored[name].shape} where {tuple(tensor.shape)} belongs"
            raise CheckpointError(f"{path.name}: {name} has shape {shapes}; train again")
    for name, tensor in wanted_tensors.items():
        tensor.copy_(torch.from_numpy(stored[name]))
    for name, adam in learner.optimisers().items():
        adam.steps = int(manifest["optimiserSteps"][name])
    learner.updates = int(manifest["updates"])
    learner.rng.bit_generator.state = manifest["randomState"]
    learner.set_numbers(manifest["numbers"])


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint. Raises CheckpointError when it is missing, damaged, or of an unknown version."""
    file = path.with_suffix(".json")
    try:
        manifest = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{file}: there is no checkpoint; train first") from None
    except ValueError as error:
        raise CheckpointError(f"{file}: damaged ({error}); delete it and train again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise CheckpointError(f"{file}: format is {found!r}; this version reads {FORMAT!r}")
    missing = {"meaning", "settings", "updates", "numbers", "optimiserSteps", "randomState", "tensors"} - set(manifest)
    if missing:
        raise CheckpointError(f"{file}: damaged (no {sorted(missing)[0]}); delete it and train again")
    return manifest


def _read_tensors(path: Path, manifest: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    file = path.parent / Path(str(manifest["tensors"]["file"])).name
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(
            f"{file}: missing, though {path.stem}.json names it; delete that and train again"
        ) from None
    if hashlib.sha256(data).hexdigest() != manifest["tensors"]["sha256"]:
        raise CheckpointError(
            f"{file}: damaged (its checksum is not that of {path.stem}.json); delete both and train again"
        )
    try:
        tensors: dict[str, NDArray[np.float32]] = load(data)
    except SafetensorError as error:
        raise CheckpointError(f"{file}: damaged ({error}); delete it and train again") from error
    return tensors


def _all_tensors(learner: Learner) -> dict[str, Tensor]:
    out = dict(learner.tensors())
    for name, adam in learner.optimisers().items():
        out |= {f"{name}.mean": adam.mean, f"{name}.square": adam.square}
    return out


def _publish(file: Path, data: bytes) -> None:
    """Write under a temporary name, sync, rename: a reader sees all of it or nothing."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
