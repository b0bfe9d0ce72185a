"""The process that works for a node: burns processor time, or runs a program. Started by `worker.Worker` as a script.

Orders come as JSON lines on standard input, answers leave as JSON lines on standard output.

    {"number": 7, "burn": 0.25}           -> {"number": 7, "ended": CLOCK_MONOTONIC, "cpu": seconds, "fault": null}
    {"number": 8, "run": ["ffmpeg", ...]} -> the same; `fault` says why when its exit status is not 0
    {"number": 9, "stop": true}           -> nothing

Any order stops what was being done, which is then not answered. When standard input ends the node is gone: the program is
killed, and this process ends.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

SLICE_S = 0.002
"""How often to look for orders while burning."""
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Obeys until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the node's to handle, which ends this process in order
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    inbox = Inbox()
    answer({"ready": True})
    for order in inbox:
        if "burn" in order:
            burn(inbox, order["number"], order["burn"])
        elif "run" in order:
            run(inbox, order["number"], order["run"])


class Inbox:
    """Orders, one after the other; ends with standard input."""

    def __init__(self) -> None:
        self._data = b""
        self._over = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            while b"\n" not in self._data and not self._over:
                self._read()
            if self._over:  # who gave the rest is gone
                return
            line, _, self._data = self._data.partition(b"\n")
            yield json.loads(line)

    def waits(self, timeout_s: float = 0, other: int | None = None) -> bool:
        """Whether there is an order, or the end; looks for so long, or until `other` is readable."""
        if b"\n" in self._data or self._over:
            return True
        ready, _, _ = select.select([0] if other is None else [0, other], [], [], timeout_s)
        return 0 in ready

    def _read(self) -> None:
        data = os.read(0, 65536)
        self._data += data
        self._over = not data


def burn(inbox: Inbox, number: int, seconds: float) -> None:
    """Uses so much processor time."""
    begin = time.process_time()
    until = begin + seconds
    while (now := time.process_time()) < until:
        if inbox.waits():
            return
        pause = min(until, now + SLICE_S)
        while time.process_time() < pause:
            pass
    finish(number, now - begin)


def run(inbox: Inbox, number: int, command: list[str]) -> None:
    """Runs a program to its end."""
    try:
        process = subprocess.Popen(  # noqa: S603  # the node says what to run
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # this process has one thread
        )
    except OSError as error:
        finish(
            number, 0.0, f"{command[0]} cannot be started ({error.strerror}); install it, or use another application"
        )
        return
    assert process.stderr is not None  # a pipe
    said = b""
    while not inbox.waits(1.0, process.stderr.fileno()):
        ready, _, _ = select.select([process.stderr], [], [], 0)
        if ready:
            data = os.read(process.stderr.fileno(), 65536)
            if not data:
                break
            said = (said + data)[-500:]
    else:
        process.kill()
        process.wait()
        process.stderr.close()
        return
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    fault = None
    if process.returncode:
        fault = f"{command[0]} ended with status {process.returncode}: {said.decode(errors='replace').strip()}"
    finish(number, usage.ru_utime + usage.ru_stime, fault)


def _die_with_parent() -> None:
    """In the program, before it is loaded: when this process is killed, so is the program."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def finish(number: int, cpu_s: float, fault: str | None = None) -> None:
    """Answers an order."""
    answer({"number": number, "ended": time.monotonic(), "cpu": cpu_s, "fault": fault})


def answer(message: dict[str, Any]) -> None:
    """One line on standard output."""
    try:
        os.write(1, json.dumps(message).encode() + b"\n")
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
