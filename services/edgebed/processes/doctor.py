"""What a run will need, looked at before it starts: every store that is configured, and this machine.

    for finding in examine(settings_of_run(os.environ, file)): ...

Each store proves itself by a round trip: something is written, read back and removed. So a server that answers but cannot be
written, or a datanode whose name nobody knows, is found here and not an hour into an experiment.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgebed.emulation.awake import processors, to_keep_awake, virtual
from edgebed.experiment.errors import EdgebedError, EnvironmentFault
from edgebed.settings import EMBEDDED, Awake, Settings, read_settings
from edgebed.stores.artefacts import open_artefacts
from edgebed.stores.coordination import open_coordinator
from edgebed.stores.task_log import TaskLogStore

Verdict = Literal["well", "poor", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    verdict: Verdict
    """well; poor: a run works, but measures worse or lacks something; broken: a run would fail."""
    said: str
    """What was found; where something is wrong, with the remedy."""


def examine(given: Mapping[str, str]) -> Iterator[Finding]:
    """Looks at the stores, at the same time, and at the machine. Raises SettingsError for settings that are wrong."""
    yield from examine_stores(given)
    yield _precedence()
    yield _awake(read_settings("edge-node", given).keep_awake)
    yield _cores()
    yield _ffmpeg()


def examine_stores(given: Mapping[str, str]) -> list[Finding]:
    """Task log, artefacts and coordination. Raises SettingsError for settings that are wrong."""
    settings = read_settings("controller", given)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as threads:
        home = Path(folder)
        stores: dict[str, Callable[[], str]] = {
            "task log": lambda: _task_log(settings, given, home),
            "artefacts": lambda: _artefacts(settings, given, home),
            "coordination": lambda: _coordination(settings, home),
        }
        asked = [threads.submit(_looked_at, what, look) for what, look in stores.items()]
        return [finding.result() for finding in asked]


def check_stores(given: Mapping[str, str]) -> None:
    """Raises EnvironmentFault with all that is wrong with the stores, where any is a server."""
    if set(given) & {"EDGEBED_TASK_LOG", "EDGEBED_ARTEFACTS", "EDGEBED_COORDINATION"}:
        broken = [finding.said for finding in examine_stores(given) if finding.verdict == "broken"]
        if broken:
            raise EnvironmentFault("\n".join(broken))


def _looked_at(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, "well", look())
    except EdgebedError as error:
        return Finding(what, "broken", str(error))


def _task_log(settings: Settings, given: Mapping[str, str], home: Path) -> str:
    url = settings.task_log if "EDGEBED_TASK_LOG" in given else f"sqlite:///{home / 'tasks.db'}"
    store = TaskLogStore(url, password=settings.task_log_password)
    try:
        return f"{store.where}: {store.probe()}" if "EDGEBED_TASK_LOG" in given else store.probe()
    finally:
        store.close()


def _artefacts(settings: Settings, given: Mapping[str, str], home: Path) -> str:
    if "EDGEBED_ARTEFACTS" in given:
        return open_artefacts(settings.artefacts).probe()
    return open_artefacts(f"file:{home / 'artefacts'}").probe()


def _coordination(settings: Settings, home: Path) -> str:
    if settings.coordination == EMBEDDED:
        return "the controller's own"
    coordinator = open_coordinator(
        settings.coordination, settings.coordination_user, settings.coordination_password, home / "nacos"
    )
    try:
        return coordinator.probe()
    finally:
        coordinator.close()


def _precedence() -> Finding:
    """Asked of a child, for this process is to stay as it is."""
    question = "from edgebed.emulation.priority import take_priority; print(take_priority())"
    command = [sys.executable, "-c", question]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # ourselves
    got = done.stdout.strip()
    if got == "realtime":
        return Finding("precedence", "well", "nodes may go before other processes (real-time scheduling)")
    remedy = "run as root, give CAP_SYS_NICE, or raise RLIMIT_RTPRIO; else keep the machine idle"
    what = "only with a better nice value" if got == "nice" else "not at all"
    return Finding("precedence", "poor", f"nodes go before other processes {what}, so links are less exact; {remedy}")


def _awake(choice: Awake) -> Finding:
    kept = to_keep_awake(choice)
    if kept:
        return Finding("awake", "well", "processors are kept from sleeping while a run lasts (EDGEBED_KEEP_AWAKE)")
    if not virtual():
        return Finding("awake", "well", "no virtual machine: processors wake up in time by themselves")
    remedy = "set EDGEBED_KEEP_AWAKE to auto" if processors() else "only Linux can keep them awake"
    return Finding("awake", "poor", f"on a virtual machine sleeping processors wake up late; {remedy}")


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2:
        return Finding("cores", "poor", "1: nodes and learning take turns; give the machine two or more")
    return Finding("cores", "well", f"{cores}")


def _ffmpeg() -> Finding:
    program = shutil.which("ffmpeg")
    if program is None:
        return Finding("ffmpeg", "poor", "not there; install it for experiments with the application ffmpeg")
    return Finding("ffmpeg", "well", program)
