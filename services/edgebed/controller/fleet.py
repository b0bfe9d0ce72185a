"""The nodes of one network: all asked at once, and who does not answer for long enough is lost.

A call is repeated while a node does not answer, so what is asked here must bear being asked twice. A node is lost once it
has not answered for `loss_s`. Being lost is not for ever: one that was started again is found, and told everything anew; one
that came back at another address is moved there first.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from edgebed.controller.remote import Remote, RemoteAway, RemoteRefused
from edgebed.live.documents import ControllerSettings
from edgebed.live.in_use import InUse

RETRY_S = 0.2
THREADS = 32

T = TypeVar("T")


class Fleet:
    """Nodes 0, 1, ... of a network."""

    def __init__(
        self, nodes: Sequence[Remote], settings: InUse[ControllerSettings] | None = None, loss_s: float | None = None
    ) -> None:
        """`loss_s` is given where it is not to be what the settings say."""
        self.nodes = tuple(nodes)
        self.settings, self._loss_s = settings or InUse(ControllerSettings), loss_s
        self.lost: dict[int, str] = {}
        """Why each lost node is taken for lost."""
        self._pool = ThreadPoolExecutor(min(THREADS, len(nodes)), thread_name_prefix="fleet")

    @property
    def loss_s(self) -> float:
        """How long a node may be silent before it is lost; longer than a busy machine makes it wait for its turn."""
        return self.settings.values.node_loss_seconds if self._loss_s is None else self._loss_s

    @property
    def there(self) -> list[int]:
        """Nodes that are not lost."""
        return [node for node in range(len(self.nodes)) if node not in self.lost]

    def still(self, nodes: Iterable[int]) -> list[int]:
        """Those of the nodes that are not lost."""
        return [node for node in nodes if node not in self.lost]

    def ask(self, call: Callable[[int, Remote], T], nodes: Iterable[int] | None = None) -> dict[int, T]:
        """The answers of the nodes (all that are not lost), at once; who does not answer is lost.

        Raises RemoteRefused for the first that refused, after all have answered.
        """
        wanted = self.there if nodes is None else list(nodes)
        futures = {node: self._pool.submit(self._patiently, node, call) for node in wanted}
        answers: dict[int, T] = {}
        refused: RemoteRefused | None = None
        for node, future in futures.items():
            try:
                answers[node] = future.result()
            except RemoteAway as error:
                self.lost[node] = str(error)
            except RemoteRefused as error:
                refused = refused or error
        if refused is not None:
            raise refused
        return answers

    def found(self) -> list[int]:
        """Lost nodes that answer again."""

        def healthy(node: int) -> bool:
            try:
                self.nodes[node].get("/healthz", timeout_s=0.5)
            except (RemoteAway, RemoteRefused):
                return False
            return True

        lost = list(self.lost)
        return [node for node, well in zip(lost, self._pool.map(healthy, lost), strict=True) if well]

    def move(self, node: int, remote: Remote) -> None:
        """The node is there from now on, and is not lost; who waits for its answer hears it from there."""
        self.nodes = (*self.nodes[:node], remote, *self.nodes[node + 1 :])
        self.lost.pop(node, None)

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _patiently(self, node: int, call: Callable[[int, Remote], T]) -> T:
        until = time.monotonic() + self.loss_s
        while True:
            try:
                return call(node, self.nodes[node])
            except RemoteAway:
                if time.monotonic() + RETRY_S >= until:
                    raise
                time.sleep(RETRY_S)
