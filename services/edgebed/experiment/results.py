"""What a run leaves behind: `results.json`, and the figures and the report that are made from it.

    results.json   everything below; the same experiment, seed and versions give the same bytes
      experiment, description, digest, backend, seeds, versions, files
      verdict                    sentences, the most important first
      methods, differences       see `statistics`; with a sweep these are in
      sweep.points[]             one entry per swept value

`write_report(folder)` makes the figures and `report.html` from `results.json` alone, so that they can be made again.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from edgebed.experiment.errors import EnvironmentFault, Problem, UserError
from edgebed.experiment.fidelity import sentence
from edgebed.experiment.files import faults, sha256, write_atomically
from edgebed.experiment.folder import RunFolder
from edgebed.experiment.outcome import Outcomes
from edgebed.experiment.reading import load
from edgebed.experiment.specification import Experiment
from edgebed.experiment.statistics import summarise
from edgebed.experiment.sweep import expand, position
from edgebed.experiment.verdict import verdict

RESULTS = "results.json"
REPORT = "report.html"
FORMAT = 1
_LIBRARIES = ("numpy", "numba", "torch", "scipy")


def build_results(
    experiment: Experiment,
    outcomes: Sequence[Outcomes],
    *,
    versions: dict[str, str],
    files: dict[str, str],
    fidelity: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of results.json from one set of outcomes per step of `expand(experiment)`, in order."""
    spec = experiment.spec
    steps = expand(experiment)
    summaries = [summarise(step, measured) for (_, step), measured in zip(steps, outcomes, strict=True)]
    results: dict[str, Any] = {
        "format": FORMAT,
        "experiment": experiment.name,
        "description": spec.description,
        "digest": experiment.digest,
        "backend": spec.backend,
        "replicates": spec.replicates,
        "trainingSeeds": spec.training_seeds,
        "evaluationEpisodes": spec.evaluation.episodes,
        "networkSeeds": [experiment.network_seed(replicate) for replicate in range(spec.replicates)],
        "versions": versions,
        "files": files,
        "order": [method.name for method in spec.methods],
    }
    if spec.sweep is None:
        results |= summaries[0]
    else:
        points = [
            {"label": label, "value": value, "position": position(value), **summary}
            for (label, _), value, summary in zip(steps, spec.sweep.values, summaries, strict=True)
        ]
        results["sweep"] = {"field": spec.sweep.field, "label": spec.sweep.label or spec.sweep.field, "points": points}
    results["verdict"] = verdict(results, experiment)
    if fidelity is not None:
        results["fidelity"] = fidelity
        # A reader who stops after the first sentence must have read that a run cannot be relied on.
        place = len(results["verdict"]) if fidelity["reliable"] else 0
        results["verdict"].insert(place, sentence(fidelity))
    return results


def write_results(
    folder: RunFolder, outcomes: Sequence[Outcomes], fidelity: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Writes results.json, the figures and the report of a run; returns the content of results.json.

    `fidelity` is the section of that name of a run on a testbed.
    """
    inputs = sorted((folder.path / "inputs").glob("*"))
    files = {path.relative_to(folder.path).as_posix(): sha256(path) for path in inputs}
    versions = {"python": platform.python_version(), **_versions(), **folder.stages.versions}
    results = build_results(folder.experiment, outcomes, versions=versions, files=files, fidelity=fidelity)
    content = json.dumps(results, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(folder.path / RESULTS, content.encode())
    write_report(folder.path)
    return results


def read_results(path: Path) -> dict[str, Any]:
    """The results of a run's folder. Raises UserError when there are none, or they are damaged."""
    file = path / RESULTS
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = "run the experiment to its end, or give the folder of one that was"
        raise UserError(Problem("", f"there is no {RESULTS}", remedy), str(path)) from None
    except (ValueError, IsADirectoryError) as error:
        raise UserError(Problem("", "is damaged", "give the experiment to `edgebed run` again"), str(file)) from error
    except OSError as error:
        raise EnvironmentFault(f"{file}: cannot be read ({error.strerror or error})") from error
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        found = f"has format {results.get('format') if isinstance(results, dict) else None}"
        raise UserError(Problem("", found, f"this version reads format {FORMAT}; run the experiment again"), str(file))
    return results


def write_report(path: Path) -> Path:
    """Makes figures and report of a finished run's folder from its results; returns the report's path."""
    # matplotlib takes a second to import, and only a report needs it
    from edgebed.experiment.figures import figures
    from edgebed.experiment.report import report

    results = read_results(path)
    experiment = load(path / "experiment.yaml")
    drawn = figures(results)
    with faults(path):
        (path / "figures").mkdir(exist_ok=True)
    for figure in drawn:
        write_atomically(path / "figures" / f"{figure.name}.svg", figure.svg.encode())
        write_atomically(path / "figures" / f"{figure.name}.png", figure.png)
    specification = (path / "experiment.yaml").read_text(encoding="utf-8")
    write_atomically(path / REPORT, report(results, experiment, specification, drawn).encode())
    return path / REPORT


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
