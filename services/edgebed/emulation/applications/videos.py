"""The videos that tasks convert: formats, clips, and the commands that make and convert them.

A conversion takes the first seconds of a clip from one format down to a lesser one, as an edge node does before it passes a
video on. The clips show a test pattern that ffmpeg draws itself, so nothing is downloaded and no two machines differ in them.
They are made once and kept in a cache folder; a clip that is there is complete, because it got its name last.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import ffmpeg

from edgebed.experiment.errors import EnvironmentFault
from edgebed.experiment.files import faults

CLIP_S = 10
"""Length of a clip; a task converts its first 2 to 10 seconds."""
LENGTHS_S = (2, 5, 10)
_CLIP_LIMIT_S = 600.0


@dataclass(frozen=True)
class Format:
    """Size, frame rate and data rate of a video."""

    name: str
    width: int
    height: int
    frames_per_s: int
    bits_per_s: int
    """Of its clip; what cameras of this format send."""


FORMATS = (
    Format("1080p60", 1920, 1080, 60, 6_000_000),
    Format("1080p30", 1920, 1080, 30, 4_000_000),
    Format("720p60", 1280, 720, 60, 3_500_000),
    Format("720p30", 1280, 720, 30, 2_500_000),
    Format("480p30", 854, 480, 30, 1_000_000),
)
"""From the richest to the poorest."""


@dataclass(frozen=True)
class Conversion:
    """One profile of the application: what a task with this number does."""

    source: Format
    target: Format
    seconds: int
    """Of video."""

    @property
    def name(self) -> str:
        """`1080p60-720p30-4s`."""
        return f"{self.source.name}-{self.target.name}-{self.seconds}s"


CONVERSIONS = tuple(
    Conversion(source, target, seconds) for source, target in combinations(FORMATS, 2) for seconds in LENGTHS_S
)
"""All profiles. Profile number k is the k-th of them, from 1."""


def find_ffmpeg() -> str:
    """Path of the program. Raises EnvironmentFault if it is not installed, or is not a working ffmpeg with libx264."""
    found = shutil.which("ffmpeg")
    if found is None:
        raise EnvironmentFault(
            "the application ffmpeg needs the program ffmpeg, which is not on the PATH; install it (apt-get install ffmpeg, "
            "brew install ffmpeg), or use the application synthetic"
        )
    if "libx264" not in _output([found, "-hide_banner", "-encoders"]):
        raise EnvironmentFault(
            f"{found} has no encoder libx264; install a complete ffmpeg, or use the application synthetic"
        )
    return found


def version(program: str) -> str:
    """First line of what it says about itself."""
    return _output([program, "-version"]).partition("\n")[0]


def clip_path(folder: Path, source: Format) -> Path:
    """Where the clip of a format is."""
    return folder / f"{source.name}-{CLIP_S}s.mp4"


def make_clips(program: str, folder: Path, formats: Iterable[Format] = FORMATS) -> None:
    """Makes the clips that are missing in the folder. Raises EnvironmentFault."""
    for source in formats:
        path = clip_path(folder, source)
        if not path.exists():
            _make_clip(program, source, path)


def convert_command(program: str, folder: Path, what: Conversion) -> list[str]:
    """Decodes, scales and encodes on one thread; the result is thrown away."""
    source, target = what.source, what.target
    video = ffmpeg.input(str(clip_path(folder, source)), t=what.seconds, threads=1)
    if (source.width, source.height) != (target.width, target.height):
        video = video.filter("scale", target.width, target.height)
    if source.frames_per_s != target.frames_per_s:
        video = video.filter("fps", target.frames_per_s)
    stream = video.output(os.devnull, format="matroska", vcodec="libx264", preset="ultrafast", threads=1)
    return _compiled(program, stream.global_args("-filter_complex_threads", "1"))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among all processes that use this folder; the others wait. Raises EnvironmentFault."""
    with faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, however the process ends
        yield


def _make_clip(program: str, source: Format, path: Path) -> None:
    pattern = f"testsrc2=size={source.width}x{source.height}:rate={source.frames_per_s}:duration={CLIP_S}"
    with faults(path.parent):
        handle, temporary = tempfile.mkstemp(suffix=path.suffix, prefix=".", dir=path.parent)
        os.close(handle)
        try:
            video = ffmpeg.input(pattern, format="lavfi").output(
                temporary,
                vcodec="libx264",
                preset="superfast",
                pix_fmt="yuv420p",
                threads=1,
                video_bitrate=source.bits_per_s,
            )
            _output(_compiled(program, video), limit_s=_CLIP_LIMIT_S)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _compiled(program: str, stream: ffmpeg.Stream) -> list[str]:
    quiet = stream.global_args("-nostdin", "-loglevel", "error")
    command: list[str] = ffmpeg.compile(quiet, cmd=program, overwrite_output=True)
    return command


def _output(command: list[str], limit_s: float = 30.0) -> str:
    """What a command prints. Raises EnvironmentFault if it fails."""
    try:
        done = subprocess.run(  # noqa: S603  # ours, without a shell
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFault(f"{command[0]} did not end within {limit_s:g} s; the machine is overloaded") from error
    except OSError as error:
        raise EnvironmentFault(f"{command[0]} cannot be started ({error.strerror}); install it again") from error
    if done.returncode:
        said = done.stderr.strip()[-300:]
        raise EnvironmentFault(f"{command[0]} ended with status {done.returncode}: {said}; install a complete ffmpeg")
    return done.stdout
