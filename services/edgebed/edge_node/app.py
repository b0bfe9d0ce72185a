"""The edge node over HTTP: a control API for people and the controller, and the hot path for other nodes.

PUT  /v1/configuration, /v1/scheduler        acknowledged with their version once in use
POST /v1/episodes, /v1/episodes/finish       begin and end; GET /v1/episodes/current
GET  /v1/state, /metrics, /healthz
POST /v1/arrivals, /v1/probe, /v1/announce   hot: protobuf (or JSON) bodies
POST /v1/tasks                               hot: a task header, then the task's bytes
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import FastAPI, Response
from google.protobuf.json_format import MessageToDict

from edgebed.edge_node.configuration import Configuration, EpisodeEnd, EpisodeStart, Model, SchedulerChoice
from edgebed.edge_node.episode import LiveTask, NodeEpisode, Refused, payload_bytes
from edgebed.edge_node.metrics import NodeCollector
from edgebed.edge_node.service import EdgeNode
from edgebed.emulation.links import NEAR_S
from edgebed.experiment.errors import EnvironmentFault, UserError
from edgebed.metrics import CONTENT_TYPE, page
from edgebed.stores.artefacts import ArtefactError, ArtefactStore
from edgebed.stores.calls import Calls
from edgebed.systems.cooperative import models
from edgebed.systems.cooperative.errors import ModelError
from edgebed.wire.description import TEXT, HotPath, describe, problems
from edgebed.wire.generated import testbed_pb2 as pb
from edgebed.wire.messages import dump, parse
from edgebed.wire.problems import Problem, install_problem_handlers
from edgebed.wire.server import HotRoutes


@dataclass
class Seat:
    """Where the node of a process takes its place.

    Making a FastAPI application costs a process ten megabytes and a quarter of a second. So a parent makes it once, and
    each of its forked children seats its own node, which needs the child's event loop.
    """

    taken: EdgeNode | None = None
    artefacts: ArtefactStore | None = None
    """Where models come from."""
    state: Callable[[], dict[str, Any]] = dict
    """What the node's process says of itself beside."""
    calls: Calls = field(default_factory=lambda: Calls("edge-node"))
    """To that store."""

    @property
    def node(self) -> EdgeNode:
        """The node; there is one before the first request."""
        assert self.taken is not None  # seated before the server starts
        return self.taken


def create_app(seat: Seat) -> FastAPI:
    """The control API of the node that is, or will be, seated."""
    app = FastAPI(title="edgebed edge node", version="1")
    install_problem_handlers(app)
    collector = NodeCollector(seat)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response, responses=TEXT)
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(await page(collector), media_type=CONTENT_TYPE)

    @app.put("/v1/configuration", responses=problems(409, 422, 503))
    async def configure(configuration: Configuration) -> dict[str, int]:
        """Put a configuration in use; answers its version."""
        with refusals():
            await seat.node.configure(configuration)
        return {"version": configuration.version}

    @app.put("/v1/scheduler", responses=problems(409, 422, 503))
    async def schedule(choice: SchedulerChoice) -> dict[str, int]:
        """Decide in another way from the next task on; answers the version once it is in use."""
        with refusals():
            model = choice.model
            await seat.node.order(choice, None if model is None else partial(fetch_model, seat.artefacts, model))
        return {"version": choice.version}

    @app.post("/v1/episodes", responses=problems(409, 422))
    async def begin(start: EpisodeStart) -> dict[str, int]:
        """Begin an episode at its instant."""
        with refusals():
            seat.node.begin(start)
        return {"episode": start.episode}

    @app.get("/v1/episodes/current")
    async def current() -> dict[str, Any]:
        """How far the episode is."""
        return seat.node.progress()

    @app.post("/v1/episodes/finish", responses=problems(409, 422))
    async def finish(end: EpisodeEnd) -> dict[str, Any]:
        """End an episode; answers what was measured, once its records are in the log."""
        with refusals():
            return await seat.node.finish(end)

    @app.get("/v1/state")
    async def state() -> dict[str, Any]:
        """Queues, scheduler, and what is in use of the configuration, for people."""
        found: dict[str, Any] = MessageToDict(seat.node.state(), always_print_fields_with_no_presence=True)
        return {**found, "progress": seat.node.progress(), **seat.state()}

    describe(
        app,
        HotPath("/v1/arrivals", "Tasks of this node's users: all of them arrive, or none", pb.Arrivals),
        HotPath("/v1/probe", "What a node asks another before it decides", pb.Probe, pb.ProbeAnswer),
        HotPath("/v1/announce", "How many tasks wait elsewhere for the link to this node", pb.Announcement),
        HotPath("/v1/tasks", "A task from another node, with its bytes", pb.TaskHeader, payload=True),
    )
    return app


def hot_routes(node: EdgeNode) -> HotRoutes:
    """The hot path of a node."""
    routes = HotRoutes()

    def arrivals(body: bytes, content_type: str | None) -> bytes:
        with refusals():
            node.arrive(parse(pb.Arrivals, body, content_type))
        return b""

    def probe(body: bytes, content_type: str | None) -> bytes:
        with refusals():
            return dump(node.answer(parse(pb.Probe, body, content_type)), content_type)

    def announce(body: bytes, content_type: str | None) -> bytes:
        with refusals():
            node.hear(parse(pb.Announcement, body, content_type))
        return b""

    routes.unary |= {"/v1/arrivals": arrivals, "/v1/probe": probe, "/v1/announce": announce}
    routes.uploads["/v1/tasks"] = lambda head, size: TaskReceiver(node, head, size)
    return routes


class TaskReceiver:
    """One transfer from another node. Its bytes are counted and let go: what a task carries does not matter here."""

    def __init__(self, node: EdgeNode, head: bytes, size: int) -> None:
        header = parse(pb.TaskHeader, head, None)
        with refusals():
            self._episode, self._task = self._accept(node, header, size)
        self._node, self._left = node, size
        self._last_bytes = NEAR_S * self._episode.rate_from(self._task.source) / 8

    @staticmethod
    def _accept(node: EdgeNode, header: pb.TaskHeader, size: int) -> tuple[NodeEpisode, LiveTask]:
        if not math.isfinite(header.size_bits) or size != payload_bytes(header.size_bits):
            raise ModelError("size_bits", header.size_bits, f"the payload that follows has {size} bytes")
        return node.expect(header)

    def received(self, count: int) -> None:
        """So many bytes more."""
        self._node.measured.received_bytes += count
        self._left -= count
        if self._left <= self._last_bytes:
            self._node.clock.precedence.at_once(self, wanted=True)

    def complete(self) -> bytes:
        """The last byte is there."""
        try:
            self._episode.receive(self._task)
        finally:
            self._node.clock.precedence.at_once(self, wanted=False)
        return b""

    def lost(self) -> None:
        """The transfer was cut."""
        self._node.clock.precedence.at_once(self, wanted=False)
        self._episode.lose(self._task)


class refusals:  # noqa: N801  # a context manager reads like a word
    """Errors of the node as problems for the client."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Refused):
            raise Problem(409, "Refused in this state", str(error)) from error
        if isinstance(error, (ModelError, UserError)):
            raise Problem(422, "Not allowed", str(error)) from error
        if isinstance(error, EnvironmentFault):
            raise Problem(503, "Something that this node needs is missing", str(error)) from error


def fetch_model(artefacts: ArtefactStore | None, model: Model) -> models.Model:
    """The weights of a model, refused unless they are exactly what was announced.

    Raises Refused and ModelError for good, EnvironmentFault while the store is away. May take seconds.
    """
    if artefacts is None:
        raise Refused("this node has no artefact store; set EDGEBED_ARTEFACTS")
    try:
        content = artefacts.open(model.name).read(model.file)
    except ArtefactError as error:  # not there, or damaged
        raise ModelError("model", model.name, str(error)) from error
    found = hashlib.sha256(content).hexdigest()
    if found != model.sha256:
        raise ModelError("model.sha256", found, f"the announced model has {model.sha256}; publish it again")
    actor = models.read_model(content)
    if model.observation is not None and actor.observation.digest != model.observation:
        remedy = "the model was trained to see something else; train one for this experiment"
        raise ModelError("model.observation", actor.observation.digest, remedy)
    return actor
