"""What a conversion costs on this machine: measured once, and kept with what it depends on.

The cost of a profile is the processor time that ffmpeg takes for it. Together with the size of the clip it makes a task:
c = cost * frequency of a core, s = bytes read.

    {"manifest": {"ffmpeg": "...", "processor": "...", "conversions": sha256, ...},
     "profiles": [{"profile": 1, "name": "1080p60-1080p30-2s", "cpuSeconds": 1.9, "inputBytes": 2400000}, ...]}

Another processor, ffmpeg or command has another manifest, and is measured again.
"""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebed.emulation.applications.videos import (
    CLIP_S,
    CONVERSIONS,
    Conversion,
    clip_path,
    convert_command,
    locked,
    make_clips,
    version,
)
from edgebed.experiment.errors import EnvironmentFault
from edgebed.experiment.files import canonical, write_atomically

FILE = "calibration.json"


@dataclass(frozen=True)
class Cost:
    """What one profile needs."""

    profile: int
    """From 1."""
    conversion: Conversion
    cpu_s: float
    input_bytes: int

    def cycles(self, core_hz: float) -> float:
        """The c of a task of this profile, on cores of this frequency."""
        return self.cpu_s * core_hz


def calibrate(
    program: str,
    folder: Path,
    *,
    conversions: Sequence[Conversion] = CONVERSIONS,
    progress: Callable[[int, int], None] | None = None,
) -> list[Cost]:
    """The cost of every conversion; measured only if this machine has not measured it before. Raises EnvironmentFault.

    `progress(done, all)` is told while it measures, which takes two minutes or more for all conversions.
    """
    with locked(folder):
        make_clips(program, folder)
        manifest = _manifest(program, folder, conversions)
        known = _read(folder / FILE, manifest)
        if known is None:
            known = []
            for done, conversion in enumerate(conversions):
                if progress is not None:
                    progress(done, len(conversions))
                known.append(_measure(program, folder, conversion))
            _write(folder, manifest, conversions, known)
    return [
        Cost(number, conversion, cpu_s, input_bytes(folder, conversion))
        for number, (conversion, cpu_s) in enumerate(zip(conversions, known, strict=True), 1)
    ]


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


def _manifest(program: str, folder: Path, conversions: Sequence[Conversion]) -> dict[str, Any]:
    # The commands without the places of program and clips, which do not change the cost.
    commands = [convert_command("ffmpeg", Path("clips"), conversion) for conversion in conversions]
    return {
        "ffmpeg": version(program),
        "processor": _processor(),
        "conversions": hashlib.sha256(canonical(commands)).hexdigest(),
        "clips": {path.name: path.stat().st_size for path in sorted(folder.glob("*.mp4"))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _read(path: Path, manifest: Mapping[str, Any]) -> list[float] | None:
    """The costs of an earlier calibration with the same manifest."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["manifest"] != manifest:
            return None
        return [float(profile["cpuSeconds"]) for profile in document["profiles"]]
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or of a version that wrote it in another way
        return None


def _write(
    folder: Path, manifest: Mapping[str, Any], conversions: Sequence[Conversion], costs: Sequence[float]
) -> None:
    profiles = [
        {"profile": number, "name": conversion.name, "cpuSeconds": cost, "inputBytes": input_bytes(folder, conversion)}
        for number, (conversion, cost) in enumerate(zip(conversions, costs, strict=True), 1)
    ]
    text = json.dumps({"manifest": manifest, "profiles": profiles}, indent=1) + "\n"
    write_atomically(folder / FILE, text.encode())
