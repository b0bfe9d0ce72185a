"""nacos-sdk-python in a thread of its own: what lives by a connection to Nacos, so registrations and pushed configuration.

A registration lives as long as the connection, so nobody beats, and who was killed is gone within a second. What the SDK
remembers is not asked: `nacos_http` asks the servers.

The SDK is tamed here, because it is made for a process of its own. It keeps logs and caches at home unless told otherwise;
adds a handler to two loggers with each client; logs contents of configurations, and tokens; calls `logging.error`, which
gives the root logger a handler; and takes five seconds to shut down. Its import takes one to three seconds and 50 to 65 MB,
so it is imported when it is needed. A client must be made after a fork: gRPC's threads would be missing in the child. Its
import alone starts none, and a parent that forks many may import it for them all: 15 MB are left to each then.

gRPC's own handlers of forks are switched off: with them, one child in five of a process that has a connection dies of a
segmentation fault (grpcio 1.85), because they take up threads that a fork does not copy.
"""

import asyncio
import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from edgebed.experiment.errors import EdgebedError, EnvironmentFault, Problem, UserError
from edgebed.stores.nacos_http import GROUP, NacosHttp, Registration
from edgebed.stores.nacos_lines import held

CALL_S = 5.0
"""Longest wait for an answer."""
CLOSE_S = 3.0
"""Longest wait for the SDK's end."""
LOG_BYTES = 1 << 20
"""Size of the SDK's log, of which one more is kept."""

_LOGGERS = ("naming", "config")
_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class NacosSdk:
    """A `Line`: a naming and a configuration client, each made when it is first used."""

    def __init__(
        self,
        servers: Sequence[str],
        namespace: str,
        user: str | None,
        password: str | None,
        folder: Path,
        http: NacosHttp,
    ) -> None:
        """`folder`, of this process alone, takes the SDK's log and caches. Waits for no server."""
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of its use of pydantic, which its users cannot mend
                import v2.nacos as sdk
        except ImportError as error:
            raise UserError(
                Problem(
                    "EDGEBED_COORDINATION",
                    "names Nacos, whose client is not installed",
                    "pip install 'edgebed[nacos]'",
                )
            ) from error
        self._sdk, self._namespace, self._http = sdk, namespace, http
        self._servers, self._user, self._password, self._folder = servers, user, password, folder
        self._services: dict[str, asyncio.Task[Any]] = {}
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_forgotten)
        self._thread = threading.Thread(target=self._run, name="nacos", daemon=True)
        self._thread.start()

    def hold(self, service: str, registrations: Sequence[Registration]) -> None:
        """As in `Line`."""
        self._do(self._hold(service, registrations))

    def stands(self, service: str, who: str, registrations: Mapping[str, Registration]) -> bool:
        """As in `Line`, by what the servers say; the SDK's memory is not asked."""
        return held(self._http, service, who) == registrations

    def publish(self, key: str, content: str, instead_of: str) -> bool:
        """As in `Line`."""
        return self._do(self._publish(key, content, instead_of))

    def listen(self, key: str, changed: Callable[[], None]) -> None:
        """As in `Line`; waits for no server."""
        asyncio.run_coroutine_threadsafe(self._listen(key, changed), self._loop)

    def close(self) -> None:
        """As in `Line`, with the thread."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(EnvironmentFault):
            self._do(self._shut(), CLOSE_S + 1)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        _taming.end()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Answer], limit_s: float = CALL_S) -> Answer:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(limit_s)
        except TimeoutError as error:
            future.cancel()
            raise EnvironmentFault(f"Nacos at {','.join(self._servers)} does not answer in time; start it") from error
        except EdgebedError:
            raise
        except Exception as error:  # NacosException, and what else its inside lets through
            reason = f"Nacos at {','.join(self._servers)}: its client failed ({error or type(error).__name__})"
            raise EnvironmentFault(f"{reason}; start Nacos, or mend EDGEBED_COORDINATION") from error

    async def _service(self, kind: str) -> Any:
        """The client for naming or config, made once; who asks does not end its making by giving up."""
        made = self._services.get(kind)
        if made is None or (made.done() and (made.cancelled() or made.exception() is not None)):
            made = self._services[kind] = self._loop.create_task(self._make(kind))
        return await asyncio.shield(made)

    async def _make(self, kind: str) -> Any:
        builder = self._sdk.ClientConfigBuilder().server_address(",".join(self._servers)).namespace_id(self._namespace)
        builder = builder.log_level(logging.WARNING).log_dir(str(self._folder / "log"))
        builder = builder.cache_dir(str(self._folder / "cache")).load_cache_at_start(False)
        if self._user is not None:
            builder = builder.username(self._user).password(self._password or "")
        _taming.tame(self._folder)
        try:
            if kind == "naming":
                return await self._sdk.NacosNamingService.create_naming_service(builder.build())
            return await self._sdk.NacosConfigService.create_config_service(builder.build())
        finally:
            _taming.tame(self._folder)  # it has added its own handler

    async def _hold(self, service: str, registrations: Sequence[Registration]) -> None:
        naming = await self._service("naming")
        if registrations:
            instances = [
                self._sdk.RegisterInstanceParam(
                    service_name=service, group_name=GROUP, ip=r.ip, port=r.port, metadata=dict(r.metadata)
                )
                for r in registrations
            ]
            await naming.batch_register_instances(
                self._sdk.BatchRegisterInstanceParam(service_name=service, group_name=GROUP, instances=instances)
            )
        else:  # any address does: a connection holds the instances of a service together
            await naming.deregister_instance(
                self._sdk.DeregisterInstanceParam(
                    service_name=service,
                    group_name=GROUP,
                    ip="127.0.0.1",
                    port=1,
                    ephemeral=True,
                )
            )

    async def _publish(self, key: str, content: str, instead_of: str) -> bool:
        config = await self._service("config")
        parameters = self._sdk.ConfigParam(data_id=key, group=GROUP, content=content, cas_md5=instead_of)
        try:
            return bool(await config.publish_config(parameters))
        except self._sdk.NacosException as error:
            if "Cas publish fail" in str(error):  # the code is the same as for any other fault
                return False
            raise

    async def _listen(self, key: str, changed: Callable[[], None]) -> None:
        async def told(*_: str) -> None:
            changed()

        config = await self._service("config")
        await config.add_listener(key, GROUP, told)
        await _wake(config)

    async def _shut(self) -> None:
        for kind, made in self._services.items():
            if not made.done() or made.cancelled() or made.exception():
                continue
            service = made.result()
            if kind == "config":
                await _wake(service)
            with contextlib.suppress(Exception, asyncio.CancelledError):  # an end that fails is an end
                await asyncio.wait_for(service.shutdown(), CLOSE_S / 2)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.wait(others, timeout=CLOSE_S / 2) if others else None
        await self._loop.shutdown_default_executor()


async def _wake(config: Any) -> None:
    """Its task for listeners looks every five seconds whether there is a new one, or an end, unless it is given an item."""
    await config.grpc_client_proxy.execute_config_listen_channel.put(None)


class _Discreet(logging.Filter):
    """Requests become their types, and what follows a content is left out: neither texts nor tokens are logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                argument if isinstance(argument, str | int | float) else type(argument).__name__
                for argument in record.args
            )
        message = record.getMessage()
        record.msg, record.args = message.split("content:")[0].split("AccessToken")[0][:500], ()
        return record.levelno >= logging.WARNING


class _Taming:
    """Of the SDK's loggers, which are the process's: their warnings go to one file, and nothing elsewhere."""

    def __init__(self) -> None:
        self._lock, self._discreet = threading.Lock(), _Discreet()
        self._file: RotatingFileHandler | None = None

    def tame(self, folder: Path) -> None:
        """Again after each client that was made, because it adds a handler; the last folder has the file."""
        from v2.nacos.transport import rpc_client

        with self._lock:
            (folder / "log").mkdir(parents=True, exist_ok=True)
            path = (folder / "log" / "nacos.log").absolute()
            if self._file is None or Path(self._file.baseFilename) != path:
                self.end()
                self._file = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", delay=True)
                self._file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
            for name in _LOGGERS:
                logger = logging.getLogger(name)
                for handler in [handler for handler in logger.handlers if handler is not self._file]:
                    logger.removeHandler(handler)
                    handler.close()
                logger.addHandler(self._file)
                logger.addFilter(self._discreet)
                logger.propagate = False
            # It says logging.error() there, which gives the root logger a handler.
            rpc_client.logging = SimpleNamespace(**{**vars(logging), "error": logging.getLogger(_LOGGERS[0]).error})

    def end(self) -> None:
        """Closes the file, which another client's warning opens again."""
        if self._file is not None:
            self._file.close()


_taming = _Taming()


def _forgotten(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """An error in a task of the SDK that nobody awaits: whoever calls it is told the same."""
    _log.debug("Nacos's client: %s (%s)", context.get("message"), type(context.get("exception")).__name__)
