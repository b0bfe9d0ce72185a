"""Where people see and change what services can be told while they run: all keys, who has which version, and publishing.

GET /v1/configuration          every key with its text, and which services have which version of it in use
GET /v1/state                  what the controller itself has in use

Publishing one is a route of the registry (`registry`), which asks `check` first. What is published is kept on the disk, so a
controller with its own coordination that is started again publishes the same; where nothing is known, the defaults.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from edgebed.controller.registry import coordination_refusals
from edgebed.controller.remote import Caller, RemoteError
from edgebed.experiment.errors import Problem, UserError, did_you_mean, shown
from edgebed.live.documents import DOCUMENTS, Policies, read
from edgebed.live.in_use import Cache
from edgebed.settings import SERVICES
from edgebed.stores.coordination import Coordinator, Entry, Instance
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.registry import check_names, policy_names
from edgebed.wire.description import problems

ANSWER_S = 1.0
"""How long a service may take to say what it has in use."""
THREADS = 16


def check(key: str, text: str) -> None:
    """Refuses what no service could use under a key. Raises UserError with everything that is wrong."""
    found = read(key, text)
    if isinstance(found, Policies):
        check_policies(found)


def check_policies(policies: Policies) -> None:
    """Refuses parameters that no installed policy has. Raises UserError."""
    wrong = []
    names = policy_names()
    for kind, parameters in policies.defaults.items():
        if kind not in names:
            wrong.append(Problem(f"defaults.{kind}", "is not an installed policy", did_you_mean(kind, names)))
            continue
        try:
            check_names(kind, parameters)
        except ModelError as error:
            wrong.append(Problem(f"defaults.{kind}", f"{error.field}: {shown(error.value)}", error.remedy))
    if wrong:
        raise UserError(wrong, "policies")


class Desk:
    """The published texts of this controller. Safe to use from several threads."""

    def __init__(self, coordinator: Coordinator, caller: Caller, cache: Path) -> None:
        self._coordinator, self._caller, self._cache = coordinator, caller, Cache(cache)
        self._watched: set[str] = set()

    def open(self, coordinator: Coordinator) -> None:
        """Publishes what was last in use, or the defaults, where nothing is; keeps what is published from now on.

        Raises EnvironmentFault while the coordination is away; to be repeated then.
        """
        for key in DOCUMENTS:
            if coordinator.get(key) is None:
                coordinator.publish(key, self._cache.text(key))
            if key not in self._watched:
                coordinator.watch(key, self._keep)
                self._watched.add(key)

    def overview(self) -> dict[str, Any]:
        """Every key with its text, and who has it in use. Raises EnvironmentFault while the coordination is away."""
        entries = {key: self._coordinator.get(key) for key in DOCUMENTS}
        there = [instance for service in SERVICES for instance in self._coordinator.instances(service)]
        with ThreadPoolExecutor(THREADS) as pool:
            asked = list(zip(there, pool.map(self._state, there), strict=True))
        keys = {
            key: {
                "version": 0 if entry is None else entry.version,
                "text": None if entry is None else entry.text,
                "inUse": [
                    {"service": i.service, "name": i.name, **_short(state["configuration"][key])}
                    for i, state in asked
                    if key in state.get("configuration", {})
                ],
            }
            for key, entry in entries.items()
        }
        away = [
            {"service": i.service, "name": i.name, "reason": state["away"]} for i, state in asked if "away" in state
        ]
        return {"keys": keys, "away": away}

    def _state(self, instance: Instance) -> dict[str, Any]:
        remote = self._caller.to(f"{instance.service} {instance.name}", instance.address)
        try:
            found = remote.get("/v1/state", timeout_s=ANSWER_S)
        except RemoteError as error:
            return {"away": str(error)}
        return found if isinstance(found, dict) else {"away": f"{remote} answers something odd"}

    def _keep(self, entry: Entry) -> None:
        try:
            check(entry.key, entry.text)
        except UserError:
            return  # who uses it says so
        if self._cache.lacks(entry.key, entry.text, entry.version):
            self._cache.keep(entry.key, entry.text, entry.version)


def _short(one: dict[str, Any]) -> dict[str, Any]:
    return {name: one.get(name) for name in ("version", "refused", "fromCache")}


def configuration_routes(desk: Desk, state: Callable[[], dict[str, Any]]) -> APIRouter:
    """The routes over a desk; `state` is what this process says of itself."""
    routes = APIRouter(tags=["configuration"])

    @routes.get("/v1/configuration", responses=problems(503))
    def overview() -> dict[str, Any]:
        """Every key with its text, and which services have which version of it in use."""
        with coordination_refusals():
            return desk.overview()

    @routes.get("/v1/state")
    async def whole() -> dict[str, Any]:
        """What is in use of the configuration, for people."""
        return state()

    return routes
