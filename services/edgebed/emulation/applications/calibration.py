"""What a conversion costs on this machine: measured once, and kept with what it depends on.

The cost of a profile is the processor time that ffmpeg takes for it; its size is what it reads of the clip. Costs are kept
beside the clips, in the format that an experiment reads (`experiment.costs`), each as soon as it is measured: what was
interrupted goes on. Another processor, ffmpeg or command has another manifest, and is measured again.
"""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from edgebed.emulation.applications.videos import (
    CLIP_S,
    CONVERSIONS,
    FORMATS,
    Conversion,
    clip_path,
    convert_command,
    locked,
    make_clips,
    version,
)
from edgebed.experiment.costs import Cost, Costs, parse_costs
from edgebed.experiment.errors import EnvironmentFault, UserError
from edgebed.experiment.files import canonical, write_atomically

FILE = "calibration.json"

Told = Callable[[str], None]
"""Told the name of a profile once it is measured, or was before."""


def calibrate(program: str, folder: Path, profiles: Collection[int] | None = None, told: Told | None = None) -> Costs:
    """The costs of some profiles, or of all; measured only if this machine has not measured them before.

    All of them take a minute or two. Raises EnvironmentFault.
    """
    numbers = range(1, len(CONVERSIONS) + 1) if profiles is None else sorted(profiles)
    with locked(folder):
        make_clips(program, folder)
        manifest = _manifest(program, folder)
        known = _read(folder / FILE, manifest)
        for number in numbers:
            conversion = CONVERSIONS[number - 1]
            if number not in known:
                cpu_s = _measure(program, folder, conversion)
                known[number] = Cost(number, conversion.name, cpu_s, input_bytes(folder, conversion))
                everything = Costs("ffmpeg", manifest, tuple(known[k] for k in sorted(known)))
                write_atomically(folder / FILE, everything.to_bytes())
            if told is not None:
                told(conversion.name)
    return Costs("ffmpeg", manifest, tuple(known[number] for number in numbers))


def input_bytes(folder: Path, conversion: Conversion) -> int:
    """Bytes of the clip that a conversion reads."""
    return max(1, clip_path(folder, conversion.source).stat().st_size * conversion.seconds // CLIP_S)


def _measure(program: str, folder: Path, conversion: Conversion) -> float:
    """Seconds of processor time."""
    command = convert_command(program, folder, conversion)
    process = subprocess.Popen(  # noqa: S603  # ours, without a shell
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None  # a pipe
    with process.stderr:
        said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)  # of this process only, whatever else this one has started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise EnvironmentFault(f"ffmpeg ended with status {process.returncode}: {said.strip()[-300:]}")
    return usage.ru_utime + usage.ru_stime


def _manifest(program: str, folder: Path) -> dict[str, Any]:
    # The commands without the places of program and clips, which do not change the cost.
    commands = [convert_command("ffmpeg", Path("clips"), conversion) for conversion in CONVERSIONS]
    clips = [clip_path(folder, source) for source in FORMATS]
    return {
        "ffmpeg": version(program),
        "processor": _processor(),
        "conversions": hashlib.sha256(canonical(commands)).hexdigest(),
        "clips": {path.name: path.stat().st_size for path in clips},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _read(path: Path, manifest: Mapping[str, Any]) -> dict[int, Cost]:
    """The costs of earlier calibrations with the same manifest, by profile."""
    try:
        costs = parse_costs(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, UserError):  # none yet, or of a version that wrote it in another way
        return {}
    return {cost.profile: cost for cost in costs.profiles} if costs.manifest == manifest else {}
