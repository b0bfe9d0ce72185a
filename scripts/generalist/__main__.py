"""Makes the model that comes along, or the study of it.

python -m scripts.generalist model [--jobs 2]    deploy/models/generalist.safetensors and .json
python -m scripts.generalist study [--jobs 2]    docs/generalist.md and its figures
"""

import argparse
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from scripts.generalist.models import EXPERIMENT, ROOT, SEEDS, SHIPPED
from scripts.generalist.work import side_by_side, train_one

MODELS = ROOT / "deploy" / "models"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.generalist", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("model", "study"))
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    if given.what == "model":
        make_model(given.jobs)
    else:
        from scripts.generalist.page import write_page

        write_page(lambda work, units: side_by_side(work, units, given.jobs))


def make_model(jobs: int) -> None:
    """Trains with the first seed, and ships that."""
    began = time.perf_counter()
    (path,) = side_by_side(train_one, [(SHIPPED, SEEDS[0])], jobs)
    took = time.perf_counter() - began
    content = Path(path).read_bytes()
    MODELS.mkdir(parents=True, exist_ok=True)
    (MODELS / f"{SHIPPED}.safetensors").write_bytes(content)
    (MODELS / f"{SHIPPED}.json").write_text(json.dumps(manifest(content), indent=1, sort_keys=True) + "\n")
    print(f"{MODELS / SHIPPED}.safetensors: {len(content)} bytes, {took:.0f} s")


def manifest(content: bytes) -> dict[str, Any]:
    """What the file is, and what it was made from."""
    from edgebed.systems.cooperative.candidate_actor import CandidateWeights
    from edgebed.systems.cooperative.models import read_model
    from scripts.generalist.models import document

    model = read_model(content)
    assert isinstance(model, CandidateWeights)  # it was just made
    return {
        "file": f"{SHIPPED}.safetensors",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "parameters": model.parameters,
        "observation": {"version": model.observation.version, "digest": model.observation.digest},
        "ask": model.ask,
        "ranges": model.ranges,
        "experiment": EXPERIMENT.relative_to(ROOT).as_posix(),
        "specification": document(SHIPPED)["spec"],
        "trainingSeed": SEEDS[0],
        "madeBy": "make generalist",
    }


if __name__ == "__main__":
    main()
