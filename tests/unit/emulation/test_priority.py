"""Precedence: what is answered is what the kernel says, and children do not inherit it."""

import json
import os
import subprocess
import sys

SCRIPT = """
import json, os
from edgebed.emulation.priority import take_priority
got = take_priority()
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, json.dumps([os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)]).encode())
    os._exit(0)
os.wait()
mine = [os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, os.getpriority(os.PRIO_PROCESS, 0)]
print(json.dumps([got, mine, json.loads(os.read(read, 1000))]))
"""


def test_the_answer_is_what_the_kernel_says():
    """In a process of its own: it is not given back."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, env=environment)
    got, (policy, nice), child = json.loads(done.stdout)
    assert got == {True: "realtime", False: "nice" if nice < 0 else "usual"}[policy == os.SCHED_RR]
    if got == "realtime":
        assert child == [os.SCHED_OTHER, nice]


TURNS = """
import json, os
from edgebed.emulation.priority import Precedence
precedence, seen = Precedence(), []
def look():
    seen.append(os.sched_getparam(0).sched_priority)
got = precedence.take()
look()
precedence.at_once("one", wanted=True)
precedence.at_once("other", wanted=True)
look()
precedence.at_once("one", wanted=False)
look()
precedence.at_once("other", wanted=False)
look()
print(json.dumps([got, seen]))
"""


def test_what_is_at_once_goes_first_while_there_is_a_reason():
    """As the kernel has it; where real-time scheduling is not permitted nothing changes, and nothing fails."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", TURNS], check=True, capture_output=True, env=environment)
    got, seen = json.loads(done.stdout)
    assert seen == ([1, 2, 2, 1] if got == "realtime" else [0] * 4)
