"""A server: FastAPI and the hot path on one port.

    routes = HotRoutes(unary={"/v1/probe": probe}, uploads={"/v1/tasks": TaskReceiver})
    server = serve(app, routes, ("127.0.0.1", 8081), token=None)
    await server.start(); ...; await server.stop(drain_s=2.0)

uvicorn parses ordinary requests and runs the application; the hot path never leaves the connection's protocol (see `hot`).
Starting and stopping is our own, because a server here lives in a process that has other work, and stops when that says so.
"""

import asyncio
import contextlib
import errno
import socket
import time
from contextlib import AsyncExitStack

import uvicorn
from fastapi import FastAPI
from uvicorn.server import ServerState

from edgebed.wire.fallback import Fallback
from edgebed.wire.hot import HotProtocol
from edgebed.wire.routes import HotRoutes, Limits, UploadReceiver
from edgebed.wire.shared import TICK_S, Shared

__all__ = ["HotRoutes", "Limits", "Server", "UploadReceiver", "bind", "serve"]

BACKLOG = 1024


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError that names the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            said = f"{host}:{port} is in use; stop what listens there, or choose another port"
        else:
            said = f"{host}:{port} cannot be listened on ({error.strerror}); choose another host or port"
        raise OSError(error.errno, said) from error
    return listener


def serve(
    app: FastAPI,
    routes: HotRoutes,
    where: socket.socket | tuple[str, int],
    *,
    token: str | None = None,
    limits: Limits | None = None,
    open_paths: frozenset[str] = frozenset(),
) -> "Server":
    """A server that is not started. `where` is (host, port), or a socket that listens; `open_paths` need no token."""
    return Server(app, routes, where, token, limits or Limits(), open_paths)


class Server:
    """One port."""

    def __init__(
        self,
        app: FastAPI,
        routes: HotRoutes,
        where: socket.socket | tuple[str, int],
        token: str | None,
        limits: Limits,
        open_paths: frozenset[str],
    ) -> None:
        self._shared = Shared(routes, token, limits)
        self._app, self._where = app, where
        self._config = uvicorn.Config(
            Fallback(app, self._shared, open_paths),
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )
        self._state = ServerState()
        self._open = AsyncExitStack()
        self._listener: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.host, self.port = "", 0

    @property
    def address(self) -> str:
        """http://host:port, once started."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listens. Raises OSError where the port cannot be had, and what the application's lifespan raises."""
        loop = asyncio.get_running_loop()
        listener = self._where if isinstance(self._where, socket.socket) else bind(*self._where)
        try:
            self._config.load()
            state = await self._open.enter_async_context(self._app.router.lifespan_context(self._app))
            self._shared.attach(self._config, self._state, dict(state or {}))
            self._tick(loop)
            self._listener = await loop.create_server(lambda: HotProtocol(self._shared), sock=listener, backlog=BACKLOG)
        except BaseException:
            listener.close()
            raise
        self.host, self.port = listener.getsockname()[:2]

    async def stop(self, drain_s: float = 2.0) -> None:
        """Takes no more requests, gives those in progress so many seconds, cuts the rest off."""
        shared = self._shared
        shared.stopping = True
        if self._listener is not None:
            self._listener.close()
            for connection in list(shared.connections):
                connection.shutdown()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain_s):
                    while shared.connections or shared.tasks or self._state.tasks:
                        await asyncio.sleep(0.01)
            for connection in list(shared.connections):
                connection.abort()
            rest = [*shared.tasks, *self._state.tasks]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await self._listener.wait_closed()
            self._listener = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._open.aclose()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._shared.tick(loop.time(), time.time())
        self._timer = loop.call_later(TICK_S, self._tick, loop)
