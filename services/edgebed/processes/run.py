"""An experiment on processes of this machine: the services are started, the controller is given the experiment, and watched.

    results = run_on_processes(experiment, Path("runs/testbed"), show=print)

Everything is below the run's folder: `testbed/` holds the task log, artefacts, spooled records and what the services
printed. So the same command goes on where an interrupted run stopped. A controller, generator or trainer that dies is started
again and goes on; a node is, where the specification says `onNodeLoss: continue`.
"""

import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from edgebed.emulation.applications import check_profiles, find_application
from edgebed.emulation.awake import to_keep_awake
from edgebed.experiment.errors import EnvironmentFault, Problem, UserError
from edgebed.experiment.folder import RunFolder, open_run_folder
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.results import RESULTS, read_results
from edgebed.experiment.specification import Experiment
from edgebed.experiment.sweep import expand
from edgebed.experiment.validation import check_backend
from edgebed.processes.doctor import check_stores
from edgebed.processes.family import Family
from edgebed.runner.units import VERSIONS
from edgebed.settings import EMBEDDED, read_settings, reads

POLL_S = 0.5
RESTARTS = 3
"""How often a service that died is started again."""
AWAY_LIMIT_S = 30.0
"""How long the controller may not answer."""

Show = Callable[[dict[str, Any]], None]
"""Told the experiment's state, as the controller's API has it, about twice a second."""


def run_on_processes(
    experiment: Experiment, output: Path, show: Show, *, port: int = 0, settings: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The content of `results.json`; `port` is the controller's, 0 for any that is free.

    `settings` names servers to use in place of the embedded stores (`settings.settings_of_run`).

    Raises UserError for what cannot be run as asked, EnvironmentFault for what failed around it, a lost node for example.
    """
    check_backend(experiment)
    find_application(experiment.spec.workload.application.kind).check()  # a missing program, before anything starts
    for _, point in expand(experiment):
        check_profiles(point)
    check_stores(settings or {})
    folder = open_run_folder(output, experiment, VERSIONS)
    if (output / RESULTS).exists():
        return read_results(output)
    home = folder.path.resolve()
    place = home / "testbed"
    awake = to_keep_awake(read_settings("edge-node", settings or {}).keep_awake)
    with Family(place, awake=awake) as family:
        told = {**(settings or {}), "EDGEBED_KEEP_AWAKE": "on" if awake else "off"}
        services = _Services(family, folder, place, told)
        services.start(port)
        services.watch(show)
    return read_results(output)


class _Services:
    """The services of one run."""

    def __init__(self, family: Family, folder: RunFolder, place: Path, settings: Mapping[str, str]) -> None:
        self._family, self._folder, self._place, self._settings = family, folder, place, settings
        self._restarts: Counter[str] = Counter()
        self._kinds: dict[str, tuple[str, dict[str, str]]] = {}
        self._address = ""

    def start(self, port: int) -> None:
        """Controller first: it is where the others register, and whose port may be in use."""
        spec = self._folder.experiment.spec
        home = {
            "EDGEBED_ARTEFACTS": f"file:{self._place / 'artefacts'}",
            "EDGEBED_SPOOL": str(self._place / "spool"),
            "EDGEBED_CACHE": str(self._place / "cache"),
            "EDGEBED_TASK_LOG": f"sqlite:///{self._place / 'tasks.db'}",
            **self._settings,
        }
        if home.get("EDGEBED_COORDINATION", EMBEDDED) != EMBEDDED:  # where others may have services, too
            home["EDGEBED_TESTBED"] = f"{_word(self._folder.path.resolve().name)}-{secrets.token_hex(3)}"
        runs = {"EDGEBED_RUNS": str(self._folder.path.resolve().parent)}
        self._address = self._start("controller", "controller", {**home, **runs}, port)
        registered = {**home, "EDGEBED_CONTROLLER": self._address}
        for k in range(max(nodes_of(point) for _, point in expand(self._folder.experiment))):
            name = f"node-{k:03d}"
            self._start(name, "edge-node", {**registered, "EDGEBED_NODE": name})
        self._start("task-generator", "task-generator", registered)
        if any(method.learned for method in spec.methods):
            self._start("trainer", "trainer", {**registered, "EDGEBED_RUNS": str(self._place / "trainer")})

    def watch(self, show: Show) -> None:
        """Until the experiment is over. Raises EnvironmentFault with the reason when it failed."""
        name = self._folder.path.resolve().name
        headers = {"Content-Type": "application/json"}
        with httpx.Client(base_url=self._address, timeout=10, trust_env=False, headers=headers) as client:
            posted = False
            answered = time.monotonic()
            while True:
                self._mind_the_dead()
                try:
                    if not posted:
                        self._post(client, name)
                        posted = True
                    state = client.get(f"/v1/experiments/{name}").json()
                    answered = time.monotonic()
                except httpx.HTTPError as error:
                    if time.monotonic() - answered > AWAY_LIMIT_S:
                        said = f"the controller does not answer ({error}); {self._family.log_path} may say why"
                        raise EnvironmentFault(f"{said}. Give the same command again to go on") from error
                    time.sleep(POLL_S)
                    continue
                show(state)
                if state["state"] == "finished":
                    return
                if state["state"] in ("failed", "stopped"):
                    raise EnvironmentFault(f"{name}: {state['reason'] or 'was stopped'}")
                time.sleep(POLL_S)

    def _post(self, client: httpx.Client, name: str) -> None:
        document = self._folder.experiment.to_document()
        answer = client.post("/v1/experiments", json=document, params={"folder": name})
        if answer.status_code >= 400:
            detail = answer.json().get("detail", answer.text)
            if answer.status_code == 422:
                raise UserError(Problem("", detail, ""))
            raise EnvironmentFault(f"the controller refused the experiment: {detail}")

    def _mind_the_dead(self) -> None:
        """Starts again who died, or says that it is over."""
        for name, status in self._family.gone.items():
            service, environment = self._kinds[name]
            if service == "edge-node" and self._folder.experiment.spec.on_node_loss != "continue":
                continue  # the controller notices, and says what became of the experiment
            if self._restarts[name] >= RESTARTS:
                raise EnvironmentFault(
                    f"{name} ended {RESTARTS + 1} times, at last with status {status}; {self._family.log_path} may say "
                    "why. What was played is kept: give the same command again to go on"
                )
            self._restarts[name] += 1
            self._family.start(name, service, environment)

    def _start(self, name: str, service: str, environment: dict[str, str], port: int = 0) -> str:
        own = {
            name: value for name, value in environment.items() if reads(service, name)
        }  # no password where none is needed
        self._kinds[name] = (service, own)
        return self._family.start(name, service, own, port).address


def _word(name: str) -> str:
    """A name of letters, digits and -, at most 50."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[:50].strip("-") or "run"


def nodes_of(experiment: Experiment) -> int:
    """How many nodes the largest network of an experiment has."""
    return max(network.nodes for network in read_inputs(experiment).networks)
