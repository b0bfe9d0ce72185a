"""What an experiment is played on: a network per replicate, and a source of tasks.

Both are drawn from the seed or read from files; who uses them need not know which. Files are checked here, with file,
key and entry in every message.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgebed.experiment.costs import Costs, MeasuredTasks, parse_costs
from edgebed.experiment.errors import EnvironmentFault, Problem, UserError, shown
from edgebed.experiment.parts import DrawnNetwork, MeasuredWorkload, NetworkFile, WorkloadFile
from edgebed.experiment.quantities import MAXIMUM_NUMBER
from edgebed.experiment.specification import Experiment
from edgebed.experiment.trace import read_trace
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import CORE_HZ, Network, NetworkModel
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.workload import Workload, WorkloadModel


class Tasks(Protocol):
    """Where episodes come from: a `WorkloadModel`, `MeasuredTasks` or a `Trace`."""

    def draw(self, network: Network, seed: int, stream: Stream, episodes: range, *index: int) -> Workload:
        """Some episodes of one stream of one network seed."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Networks and tasks of one experiment (one step of a sweep)."""

    networks: tuple[Network, ...]
    """One per replicate."""
    network_models: tuple[NetworkModel, ...]
    """One per replicate: the distributions it was drawn from, or the narrowest around a given network."""
    workload_model: WorkloadModel
    """The distributions of the tasks; of costs, their values; of a trace, its quantiles."""
    tasks: Tasks
    """Draws the episodes."""
    files: dict[str, str]
    """SHA-256 of every file that was read, by its path in the specification."""


def read_inputs(experiment: Experiment) -> Inputs:
    """Draws or reads what the experiment is played on.

    Raises UserError for files that are wrong, EnvironmentFault for files that cannot be read.
    """
    spec = experiment.spec
    files: dict[str, str] = {}
    if isinstance(spec.network, NetworkFile):
        path = experiment.folder / spec.network.file
        content = file_content(path, "spec.network.file")
        files[spec.network.file] = hashlib.sha256(content).hexdigest()
        networks = read_networks(content, spec.replicates, source=str(path))
        models = tuple(NetworkModel.around(network) for network in networks)
    else:
        model = experiment.network_model()
        assert model is not None
        networks = tuple(model.draw(experiment.network_seed(r)) for r in range(spec.replicates))
        models = (model,) * spec.replicates
    if isinstance(spec.workload, MeasuredWorkload):
        costs, content = read_costs(experiment)
        files[spec.workload.application.costs] = hashlib.sha256(content).hexdigest()
        core_hz = spec.network.core_frequency_ghz * 1e9 if isinstance(spec.network, DrawnNetwork) else CORE_HZ
        tasks = MeasuredTasks(
            spec.workload.slot_seconds, spec.workload.slots, costs.profiles, core_hz, spec.workload.deadline_seconds
        )
        return Inputs(networks, models, tasks.model(), tasks, files)
    if not isinstance(spec.workload, WorkloadFile):
        workload = experiment.workload_model()
        assert workload is not None
        return Inputs(networks, models, workload, workload, files)
    path = experiment.folder / spec.workload.file
    files[spec.workload.file] = hashlib.sha256(file_content(path, "spec.workload.file")).hexdigest()
    trace = read_trace(
        path,
        slot_s=spec.workload.slot_seconds,
        slots=spec.workload.slots,
        evaluation=spec.evaluation.episodes,
        curve=spec.evaluation.curve_episodes if any(method.online for method in spec.methods) else 0,
        learned=any(method.learned for method in spec.methods),
        field="spec.workload.file",
    )
    smallest = min(network.nodes for network in networks)
    if trace.nodes > smallest:
        found = f"names node {trace.nodes - 1}"
        raise UserError(Problem("node", found, f"the network has nodes 0 to {smallest - 1}"), str(path))
    return Inputs(networks, models, trace.model(), trace, files)


def read_costs(experiment: Experiment) -> tuple[Costs, bytes]:
    """The costs that an experiment with a `MeasuredWorkload` names, and the content of their file.

    Raises UserError when the file is not there, is wrong, or holds the costs of another application.
    """
    workload = experiment.spec.workload
    assert isinstance(workload, MeasuredWorkload)
    path = experiment.folder / workload.application.costs
    if not path.exists():
        field, remedy = "spec.workload.application.costs", f"make it with edgebed calibrate ffmpeg --output {path}"
        raise UserError(Problem(field, f"{path}: no such file", remedy))
    content = file_content(path, "spec.workload.application.costs")
    costs = parse_costs(parse_json(content, str(path)), str(path))
    if workload.application.kind not in ("synthetic", "cpu", costs.application):
        found = f"{shown(costs.application)} is not allowed"
        raise UserError(Problem("application", found, f"give costs of {workload.application.kind}"), str(path))
    return costs, content


def read_networks(content: bytes, replicates: int, *, source: str) -> tuple[Network, ...]:
    """One network per replicate from the JSON of a network file: one for all, or entry r of a list for replicate r."""
    document = parse_json(content, source)
    if isinstance(document, list) and len(document) < replicates:
        found = f"has {len(document)} networks for {replicates} replicates"
        raise UserError(Problem("", found, f"give {replicates} networks, or lower spec.replicates"), source)
    if isinstance(document, list):
        return read_network_list(document[:replicates], source)
    return read_network_list(document, source) * replicates


def read_network_list(document: object, source: str) -> tuple[Network, ...]:
    """Every network of a JSON document that holds one or a list. Raises UserError."""
    entries = document if isinstance(document, list) else [document]
    if not entries:
        raise UserError(Problem("", "has no networks", "give a network, or a list of them"), source)
    listed = isinstance(document, list)
    return tuple(_network(e, f"[{r}]" if listed else "", source) for r, e in enumerate(entries))


def _network(entry: object, prefix: str, source: str) -> Network:
    try:
        for key, value in entry.items() if isinstance(entry, dict) else ():
            _only_numbers(value, key)
        network = Network.from_document(entry)
        if network.nodes < 2:
            raise ModelError("capacityHz", f"{network.nodes} node", "offloading needs at least 2 nodes")
    except ModelError as error:
        path = f"{prefix}.{error.field}" if prefix else error.field
        words = isinstance(error.value, str) and error.field.find("[") < 0
        found = f"{error.value}" if words else f"{shown(error.value)} is not allowed"
        raise UserError(Problem(path, found, error.remedy), source) from error
    return network


def parse_json(content: bytes, source: str) -> Any:
    """Strict JSON: no NaN, no key twice. Raises UserError with the line."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) < len(pairs):
            names = [name for name, _ in pairs]
            name = next(n for n in names if names.count(n) > 1)
            raise UserError(Problem(name, "is given twice", "keep one of them"), source)
        return mapping

    def finite(name: str) -> float:
        raise UserError(Problem("", f"{name} is not allowed", "give finite numbers"), source)

    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=once, parse_constant=finite)
    except json.JSONDecodeError as error:
        whole = "is cut off" if error.pos >= len(content.rstrip()) - 1 else f"is not JSON: {error.msg}"
        raise UserError(Problem("", whole, "write the file again", error.lineno), source) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise UserError(Problem("", "is not JSON text", "write the file again"), source) from error


def _only_numbers(value: object, field: str) -> None:
    """Refuses text and booleans where an array would take them for numbers."""
    if isinstance(value, list):
        for position, item in enumerate(value):
            _only_numbers(item, f"{field}[{position}]")
    elif isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > MAXIMUM_NUMBER:
        raise ModelError(field, value, "give finite numbers")


def file_content(path: Path, field: str) -> bytes:
    """The bytes of a file that the specification names in `field`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            Problem(field, f"{path}: no such file", "paths are relative to the experiment's file")
        ) from None
    except IsADirectoryError:
        raise UserError(Problem(field, f"{path} is a folder", "give the path of a file")) from None
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read ({error.strerror or error})") from error
