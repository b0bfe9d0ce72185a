"""The preloaded parent: imports what every service needs once, then forks the services on command.

    python -m edgebed.processes.zygote          (started by `family.Family`; commands on standard input)

Commands and answers are JSON lines. `{"start": name, "service": ..., "environment": {...}, "port": 0}` binds a listening
socket, forks, and is answered with `{"started": name, "pid": ..., "address": ...}`, or with `{"refused": name, "reason":
...}`. `{"awake": [0, 1]}` keeps these processors awake from now on. A child that ended is told as `{"ended": name, "status":
...}`. A name that is started again gets the socket that it had, so that requests wait for it meanwhile.

Nobody survives: when standard input ends, because the parent closed it or was killed, the zygote kills every child with
its process group; when the zygote is killed, the kernel ends its children (PR_SET_PDEATHSIG), and a pipe whose other end
only the zygote holds tells the same where the kernel does not.
"""

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
from typing import Any, NoReturn

from edgebed.emulation.awake import keep_awake

_PR_SET_PDEATHSIG = 1


class Zygote:
    """Forks services and reaps them. Single-threaded, so that forking is safe."""

    def __init__(self) -> None:
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(variable, "1")  # read when numpy is imported: a thread here would not survive a fork
        from edgebed.edge_node.main import prepare
        from edgebed.processes.services import run_service

        self._run_service = run_service
        self._children: dict[int, str] = {}
        self._idlers: set[int] = set()
        self._sockets: dict[str, socket.socket] = {}
        self._prepared = prepare()
        self._lifeline, self._held = os.pipe()

    def run(self) -> None:
        """Obeys until standard input ends, then kills all children."""
        wake, wakened = os.pipe()
        os.set_blocking(wakened, False)
        signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
        gc.collect()
        gc.freeze()  # what is here now is never touched by a child's collector, so its pages stay shared
        self._say({"ready": os.getpid()})
        pending = b""
        while True:
            ready, _, _ = select.select([0, wake], [], [])
            if wake in ready:
                os.read(wake, 4096)
                self._reap()
            if 0 in ready:
                data = os.read(0, 65536)
                if not data:
                    break
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
        self.kill_all()

    def kill_all(self) -> None:
        """Every child, with what it started."""
        for pid in (*self._children, *self._idlers):
            for kill in (os.killpg, os.kill):  # its group does not exist before it has made it
                try:
                    kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def _obey(self, command: dict[str, Any]) -> None:
        if "start" in command:
            self._start(command["start"], command["service"], command["environment"], command.get("port", 0))
        elif "awake" in command:
            for processor in command["awake"]:
                self._keep_awake(processor)
        elif "signal" in command:
            for pid, name in self._children.items():
                if name == command["signal"]:
                    os.kill(pid, command["number"])

    def _start(self, name: str, service: str, environment: dict[str, str], port: int) -> None:
        sock = self._sockets.get(name)
        if sock is None:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((environment.get("EDGEBED_HOST", "127.0.0.1"), port))
            except OSError as error:
                sock.close()
                self._say({"refused": name, "reason": f"port {port} cannot be used ({error.strerror})"})
                return
            sock.listen(512)
            self._sockets[name] = sock
        host, port = sock.getsockname()[:2]
        address = f"http://{host}:{port}"
        sys.stdout.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._child(name, service, {**environment, "EDGEBED_ADVERTISE": address}, sock, parent)
        self._children[pid] = name
        self._say({"started": name, "pid": pid, "address": address})

    def _keep_awake(self, processor: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                os.close(self._held)
                keep_awake(processor, parent)
            finally:
                os._exit(0)
        self._idlers.add(pid)

    def _child(
        self, name: str, service: str, environment: dict[str, str], sock: socket.socket, parent: int
    ) -> NoReturn:
        status = 1
        try:
            os.setsid()
            if sys.platform == "linux":
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            os.close(self._held)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(2, 1)  # standard output is the zygote's voice
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            for other, held in self._sockets.items():
                if other != name:
                    held.close()
            threading.Thread(target=_leave_with, args=(self._lifeline,), daemon=True).start()
            for variable in [key for key in os.environ if key.startswith("EDGEBED_")]:
                del os.environ[variable]
            os.environ.update(environment)
            status = self._run_service(service, environment, sock, self._prepared)
        except BaseException:  # whatever it is, a child must not return into the zygote's loop
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        while self._children or self._idlers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._idlers.discard(pid)
            name = self._children.pop(pid, None)
            if name is not None:
                self._say({"ended": name, "pid": pid, "status": os.waitstatus_to_exitcode(status)})

    @staticmethod
    def _say(answer: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _leave_with(lifeline: int) -> None:
    """Ends this process and its group when the zygote's end of the pipe closes."""
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    Zygote().run()
