"""The application ffmpeg, with the real program. Clips are short and small, so that converting them takes a moment."""

import asyncio
import json
import shutil
import subprocess

import pytest
import uvloop

from edgebed.emulation.applications import Work, build_application, find_application
from edgebed.emulation.applications.calibration import FILE, calibrate
from edgebed.emulation.applications.videos import (
    CONVERSIONS,
    FORMATS,
    clip_path,
    convert_command,
    find_ffmpeg,
    make_clips,
)
from edgebed.emulation.clock import Clock
from edgebed.experiment.errors import EnvironmentFault
from edgebed.systems.cooperative.errors import ModelError

LIMIT_S = 60


@pytest.fixture(scope="module")
def ffmpeg():
    return find_ffmpeg()


@pytest.fixture(scope="module")
def small(ffmpeg, tmp_path_factory):
    """A small clip."""
    path = tmp_path_factory.mktemp("small") / "clip.mp4"
    subprocess.run(
        [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=128x72:rate=10:duration=1", str(path)],
        check=True,
    )
    return path


@pytest.fixture
def folder(small, tmp_path):
    """A cache with a clip for every format."""
    for source in FORMATS:
        shutil.copy(small, clip_path(tmp_path, source))
    return tmp_path


async def executed(folder, profile):
    clock = Clock()
    made = build_application("ffmpeg", clock, {"cache": str(folder)})
    await made.prepare()
    end = asyncio.get_running_loop().create_future()
    made.broken = end.set_exception
    try:
        begins = clock.now()
        made.start(Work(1e9, 8e6, profile), 1.0, begins, end.set_result)
        return await asyncio.wait_for(end, LIMIT_S) - begins, clock.now() - begins
    finally:
        await made.close()
        clock.close()


def test_a_task_converts_and_tells_the_measured_end(folder):
    took, waited = uvloop.run(executed(folder, len(CONVERSIONS)))
    assert 0 < took <= waited


@pytest.mark.parametrize("profile", [0, -1, len(CONVERSIONS) + 1])
def test_a_profile_that_there_is_not_is_refused(folder, profile):
    with pytest.raises(ModelError, match=f"profiles 1 to {len(CONVERSIONS)}"):
        uvloop.run(executed(folder, profile))


def test_a_broken_clip_is_told_with_the_words_of_ffmpeg(folder):
    """A task that cannot be executed is no task that failed by its luck."""
    clip_path(folder, CONVERSIONS[0].source).write_bytes(b"not a video")
    with pytest.raises(EnvironmentFault, match="Invalid data"):
        uvloop.run(executed(folder, 1))


def test_a_missing_ffmpeg_is_told_before_anything_starts(monkeypatch, tmp_path):
    """With what to install; no folder has been made and no worker started."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="install it"):
        find_application("ffmpeg").check()
    with pytest.raises(EnvironmentFault, match="install it"):
        uvloop.run(executed(tmp_path / "cache", 1))
    assert not (tmp_path / "cache").exists()


def test_an_ffmpeg_without_the_encoder_is_refused(monkeypatch, tmp_path):
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho Encoders: none\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="libx264"):
        find_application("ffmpeg").check()


def test_a_clip_is_made_once_and_is_what_its_format_says(ffmpeg, tmp_path):
    """The smallest of them; nothing else stays in the folder."""
    source = FORMATS[-1]
    make_clips(ffmpeg, tmp_path, [source])
    path = clip_path(tmp_path, source)
    shown = subprocess.run([ffmpeg, "-i", str(path)], check=False, capture_output=True, text=True).stderr
    assert f"{source.width}x{source.height}" in shown
    assert f"{source.frames_per_s} fps" in shown
    assert "Duration: 00:00:10" in shown
    made = path.stat().st_mtime_ns
    make_clips(ffmpeg, tmp_path, [source])
    assert path.stat().st_mtime_ns == made
    assert list(tmp_path.iterdir()) == [path]


def test_a_clip_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(EnvironmentFault, match="status 1"):
        make_clips(shutil.which("false"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_conversion_uses_one_thread(tmp_path):
    """Decoding, filtering and encoding: a task is the work of one core."""
    assert len(CONVERSIONS) == len(set(CONVERSIONS))
    for conversion in CONVERSIONS:
        command = convert_command("ffmpeg", tmp_path, conversion)
        assert [command[k + 1] for k, word in enumerate(command) if word == "-threads"] == ["1", "1"]
        assert command[command.index("-filter_complex_threads") + 1] == "1"
        assert 2 <= conversion.seconds <= 10


def test_costs_are_measured_once_and_again_when_something_changed(ffmpeg, folder):
    """What is measured depends on clips, commands, program and processor; a file that cannot be read is made anew."""
    last = len(CONVERSIONS)
    names = [conversion.name for conversion in CONVERSIONS]
    told: list[str] = []
    first = calibrate(ffmpeg, folder, [last], told.append)
    more = calibrate(ffmpeg, folder, [last, last - 1], told.append)
    assert told == [names[-1], names[-2], names[-1]]
    assert [(cost.profile, cost.name) for cost in more.profiles] == [(last - 1, names[-2]), (last, names[-1])]
    assert all(cost.cpu_s > 0 and cost.input_bytes > 0 for cost in more.profiles)
    assert more.profiles[1:] == first.profiles
    assert calibrate(ffmpeg, folder, [last]) == first

    document = json.loads((folder / FILE).read_text())
    assert [row["name"] for row in document["profiles"]] == names[-2:]
    document["profiles"][1]["cpuSeconds"] = 1e6
    (folder / FILE).write_text(json.dumps(document))
    assert calibrate(ffmpeg, folder, [last]).profiles[0].cpu_s == 1e6
    document["manifest"]["processor"] = "another"
    for content in (json.dumps(document), "{", "[]", ""):
        (folder / FILE).write_text(content)
        assert calibrate(ffmpeg, folder, [last]).profiles[0].cpu_s < 1e6


def test_a_calibration_that_breaks_off_keeps_what_it_has(ffmpeg, folder):
    """The clip of the other conversion is damaged."""
    last = len(CONVERSIONS)
    clip_path(folder, CONVERSIONS[-1].source).write_bytes(b"not a video")
    with pytest.raises(EnvironmentFault, match="Invalid data"):
        calibrate(ffmpeg, folder, [1, last])
    document = json.loads((folder / FILE).read_text())
    assert [row["profile"] for row in document["profiles"]] == [1]
