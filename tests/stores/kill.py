"""Crashes at every instant that matters: SIGKILL at the n-th thing that a function does to a file or tells a server.

    count = killed_at_every_step(act, folder)      # act(folder/"1", arm), act(folder/"2", arm), ...

`act` prepares what it needs, calls `arm()`, and does what is to be interrupted. In folder "1" it was killed before it first
touched a file, or spoke, after that, and in the last folder it was through.
"""

import importlib
import itertools
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

FILES = {"open", "os.mkdir", "os.rename", "os.remove", "os.listdir", "fcntl.flock"}
REQUESTS = {"http.client.connect", "http.client.send"}
EVENTS = frozenset(FILES | REQUESTS)


def killed_at_every_step(act, folder):
    """How many folders there are, named from "1"."""
    command = [sys.executable, "-m", "tests.stores.kill", f"{act.__module__}:{act.__name__}", str(folder)]
    done = subprocess.run(command, check=False, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def environment():
    """With which another Python finds what this one finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def arm(count):
    """From now on, the count-th thing done to a file or said to a server is the last."""
    left = count

    def hook(event, _):
        nonlocal left
        if event in EVENTS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main(where, folder):
    module, _, name = where.partition(":")
    act = getattr(importlib.import_module(module), name)
    for count in itertools.count(1):
        child = os.fork()  # a program is imported once, and dies many times
        if child == 0:
            try:
                act(Path(folder) / str(count), lambda count=count: arm(count))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            print(count)
            return 0
        if code != -signal.SIGKILL:
            return 1
    raise AssertionError("counts do not end")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
