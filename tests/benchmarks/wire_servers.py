"""`python -m tests.benchmarks.wire_servers ours|fastapi|sockets`: a server in a process of its own, for bench_wire.

It prints its port, and serves until its standard input is closed.
"""

import asyncio
import socket
import struct
import sys
import threading

import uvicorn
import uvloop
from fastapi import FastAPI, Request, Response

from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.messages import parse
from edgebed.wire.server import HotRoutes, bind, serve

HEAD = struct.Struct("!Q")


def answer(message: pb.Arrivals) -> bytes:
    """What all message servers say."""
    return pb.ProbeAnswer(waiting=len(message.tasks), available=True).SerializeToString()


class Receiver:
    """Counts."""

    def __init__(self, head: bytes, size: int) -> None:
        self.missing = size

    def received(self, count: int) -> None:
        self.missing -= count

    def complete(self) -> bytes:
        assert self.missing == 0
        return b""

    def lost(self) -> None:
        raise AssertionError("no transfer is cut here")


async def ours(listener: socket.socket) -> None:
    """The hot path."""
    routes = HotRoutes(uploads={"/v1/tasks": Receiver})
    routes.unary["/v1/arrivals"] = lambda body, kind: answer(parse(pb.Arrivals, body, kind))
    server = serve(FastAPI(), routes, listener)
    await server.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop()


async def fastapi(listener: socket.socket) -> None:
    """The same message as FastAPI would take it, without validation, and with uvicorn's fastest parts."""
    app = FastAPI()

    @app.post("/v1/arrivals")
    async def arrivals(request: Request) -> Response:
        return Response(answer(pb.Arrivals.FromString(await request.body())), media_type="application/x-protobuf")

    config = uvicorn.Config(app, log_level="error", access_log=False, http="httptools", timeout_keep_alive=60)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.should_exit = True
    await serving


def sockets(listener: socket.socket) -> None:
    """A length, so many bytes, one byte back; as fast as blocking sockets do it."""
    listener.setblocking(True)

    def end() -> None:
        sys.stdin.read()
        listener.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=end, daemon=True).start()
    buffer = memoryview(bytearray(128 * 1024))  # the fastest size, as in ours
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while head := connection.recv(HEAD.size, socket.MSG_WAITALL):
                (missing,) = HEAD.unpack(head)
                while missing:
                    count = connection.recv_into(buffer, min(missing, len(buffer)))
                    if not count:
                        return
                    missing -= count
                connection.sendall(b"\n")


def main(kind: str) -> None:
    """Serve."""
    listener = bind("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    if kind == "sockets":
        sockets(listener)
    else:
        uvloop.run(ours(listener) if kind == "ours" else fastapi(listener))


if __name__ == "__main__":
    main(sys.argv[1])
