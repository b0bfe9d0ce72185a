"""All phases of an experiment on the testbed, from the first episode to the report. They are the simulator's, to the letter.

    results = run_phases(folder, testbed, teacher_for, status)

Units (networks and training seeds) follow each other, because there is one set of nodes. Everything that is computed is a
stage in the run's folder, and everything that is played is in the task log, so the same call goes on where it was
interrupted.
"""

import json
from collections.abc import Callable
from typing import Any

from edgebed.controller.ground import FIDELITY, TestbedGround
from edgebed.controller.status import Status
from edgebed.controller.testbed import Testbed
from edgebed.experiment.fidelity import summarise
from edgebed.experiment.folder import RunFolder
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.results import write_results
from edgebed.experiment.sweep import expand
from edgebed.runner.run import units_of
from edgebed.runner.setting import Setting
from edgebed.runner.teacher import Teacher
from edgebed.runner.units import Outcomes, Unit, run_methods

TeacherFor = Callable[[Unit, Setting], Teacher]


def run_phases(folder: RunFolder, testbed: Testbed, teacher_for: TeacherFor, status: Status) -> dict[str, Any]:
    """The content of `results.json`, which is written with figures and report. Raises what phases and testbed raise."""
    points = expand(folder.experiment)
    merged: list[Outcomes] = [{} for _ in points]
    for unit in units_of(points):
        setting = Setting.of(unit.experiment, unit.replicate, read_inputs(unit.experiment))
        application = {"kind": unit.experiment.spec.workload.application.kind}
        about = {
            "replicate": unit.replicate,
            "trainingSeed": unit.training_seed,
            "networkSeed": setting.network_seed,
            "network": unit.point * unit.experiment.spec.replicates + unit.replicate,
        }
        testbed.store.write_network(testbed.run, about["network"], setting.network)
        ground = TestbedGround(testbed, setting, application, folder.path, status.played, about)
        teacher = teacher_for(unit, setting)
        merged[unit.point].update(run_methods(unit, ground, teacher, folder.stages, status))
    testbed.close()
    status.started("report", "writing results and report", None)
    results = write_results(folder, merged, fidelity_of(folder))
    status.finished("report")
    return results


def fidelity_of(folder: RunFolder) -> dict[str, Any] | None:
    """The section `fidelity` of the results, from what was kept of each evaluation; None where nothing was."""
    units = []
    for path in sorted((folder.path / FIDELITY).glob("*.json")):
        if (folder.stages.root / path.stem).exists():  # else an older version of the program has left it
            units.append(json.loads(path.read_text()))
    order = [method.name for method in folder.experiment.spec.methods]
    units.sort(key=lambda unit: (order.index(unit["method"]), unit["replicate"], unit["trainingSeed"]))
    return summarise(units, slot_s=folder.experiment.spec.workload.slot_seconds) if units else None
