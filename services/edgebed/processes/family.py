"""All services of one run: started from one zygote, watched, and ended together.

    with Family(folder) as family:
        node = family.start("node-0", "edge-node", {...})     # -> Service(address, pid)
        family.check()                                        # raises when one ended by itself

Leaving the block ends them: first politely, then for good. A parent that is killed takes them along (`zygote`).
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from edgebed.experiment.errors import EnvironmentFault

START_LIMIT_S = 60.0
STOP_LIMIT_S = 5.0


@dataclass(frozen=True)
class Service:
    """One that runs."""

    name: str
    pid: int
    address: str


class Family:
    """The services of one run."""

    def __init__(
        self, folder: Path, *, awake: Sequence[int] = (), ended: Callable[[str, int], None] | None = None
    ) -> None:
        """What services print goes to `folder/services.log`; `ended(name, status)` is called from another thread.

        `awake`: the processors that do not sleep while the family lives (`emulation.awake`).
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.log_path = folder / "services.log"
        self._awake = list(awake)
        self._ended = ended
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._running: dict[str, Service] = {}
        self._gone: dict[str, int] = {}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._log: IO[str] | None = None

    def __enter__(self) -> Self:
        self._log = self.log_path.open("a", encoding="utf-8")
        # Not in our process group: Ctrl-C is handled here, in order, and not by everybody at once.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgebed.processes.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._listener = threading.Thread(target=self._listen, daemon=True, name="family")
        self._listener.start()
        self._answer("ready", None)
        if self._awake:
            self._send({"awake": self._awake})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        for name in list(self._running):
            self.signal(name, signal.SIGTERM)
        until = time.monotonic() + STOP_LIMIT_S
        while self._running and time.monotonic() < until and process.poll() is None:
            time.sleep(0.01)
        if process.stdin is not None and not process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()  # the zygote kills who is left, and ends
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._listener is not None:
            self._listener.join(STOP_LIMIT_S)
        if process.stdout is not None:
            process.stdout.close()
        if self._log is not None:
            self._log.close()

    def start(self, name: str, service: str, environment: Mapping[str, str], port: int = 0) -> Service:
        """Forks a service; it listens from the first moment. Raises EnvironmentFault, for a port in use for example."""
        self._send({"start": name, "service": service, "environment": dict(environment), "port": port})
        answer = self._answer("started", name)
        found = Service(name, int(answer["pid"]), str(answer["address"]))
        with self._lock:
            if name not in self._gone:
                self._running[name] = found
        return found

    def signal(self, name: str, number: int) -> None:
        """Sends a signal to a service, if it still runs."""
        self._send({"signal": name, "number": int(number)})

    @property
    def running(self) -> dict[str, Service]:
        """By name."""
        with self._lock:
            return dict(self._running)

    @property
    def gone(self) -> dict[str, int]:
        """Exit status of those that ended, by name; negative for a signal."""
        with self._lock:
            return dict(self._gone)

    def _send(self, command: dict[str, Any]) -> None:
        process = self._process
        assert process is not None  # entered
        assert process.stdin is not None  # a pipe
        try:
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise EnvironmentFault(self._ended_early()) from error

    def _answer(self, key: str, name: str | None) -> dict[str, Any]:
        until = time.monotonic() + START_LIMIT_S
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise EnvironmentFault(
                    f"a service did not start within {START_LIMIT_S:g} s; see {self.log_path}"
                ) from None
            if "refused" in answer:
                raise EnvironmentFault(
                    f"{answer['refused']}: {answer['reason']}; choose another port, or free this one"
                )
            if "over" in answer:
                raise EnvironmentFault(self._ended_early())
            if key in answer and (name is None or answer[key] == name):
                return answer

    def _listen(self) -> None:
        process = self._process
        assert process is not None  # started
        assert process.stdout is not None  # a pipe
        for line in process.stdout:
            answer = json.loads(line)
            if "ended" in answer:
                name, status = answer["ended"], int(answer["status"])
                with self._lock:
                    current = self._running.get(name)
                    if current is None or current.pid == answer["pid"]:
                        self._running.pop(name, None)
                        self._gone[name] = status
                if self._ended is not None:
                    self._ended(name, status)
            else:
                if "started" in answer:
                    with self._lock:
                        self._gone.pop(answer["started"], None)
                self._answers.put(answer)
        self._answers.put({"over": True})

    def _ended_early(self) -> str:
        tail = self.log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        return f"the services ended by themselves; {self.log_path} ends with: {' / '.join(tail) or 'nothing'}"
