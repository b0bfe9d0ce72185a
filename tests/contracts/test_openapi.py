"""Whatever a client sends, every service answers as its OpenAPI says, and refuses with a problem body.

Requests are made from the documents that the services serve, allowed ones and spoilt ones, and go to real servers.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.contracts.services import EPISODE, RUN, Service, Services

EXAMPLES = 10
"""Per operation and kind of request."""
ENDLESS = {"/v1/events"}
"""Streams; a test of the controller's reads them."""
HOT = {
    "edge-node": {"/v1/arrivals", "/v1/probe", "/v1/announce", "/v1/tasks"},
    "controller": {"/v1/records", "/v1/heartbeats"},
    "task-generator": {"/v1/episodes"},
    "trainer": set(),
}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    made = Services(tmp_path_factory.mktemp("services"))
    yield made
    made.close()


def operations(service: Service) -> list[tuple[str, str]]:
    """(method, path) of each that ends."""
    return [(m.upper(), path) for path, one in service.document["paths"].items() for m in one if path not in ENDLESS]


def at_home(body: Any) -> Any:
    """The same for the episode that plays."""
    if isinstance(body, dict):
        named = {"run": RUN, "episode": EPISODE} if "run" in body else {}
        return {**{key: at_home(value) for key, value in body.items()}, **named}
    return [at_home(one) for one in body] if isinstance(body, list) else body


def try_out(service: Service, method: str, path: str, mode: GenerationMode, session: requests.Session) -> int:
    """Tries one operation; returns how many requests were made."""
    schema = schemathesis.openapi.from_dict(service.document)
    tried = 0

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=schema[path][method].as_strategy(mode), here=st.booleans())
    def one(case: schemathesis.Case[Any], here: bool) -> None:
        nonlocal tried
        tried += 1
        if here:
            case.body = at_home(case.body)
        if "waitSeconds" in (case.query or {}):
            case.query["waitSeconds"] = 0  # to wait is what it is for
        body: Any = case.body
        if isinstance(body, dict) and isinstance(body.get("waitSeconds"), (int, float)):
            body["waitSeconds"] = min(body["waitSeconds"], 0)
        answer = case.call(base_url=service.address, session=session, timeout=20)
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400:
            problem = json.loads(answer.content)
            assert problem["status"] == answer.status_code
            assert problem["title"]
            assert isinstance(problem.get("detail", ""), str)

    with contextlib.suppress(Unsatisfiable):  # a path without parameters has nothing to spoil
        one()
    return tried


@pytest.mark.parametrize("name", ["edge-node", "edge-node-unconfigured", "controller", "task-generator", "trainer"])
def test_a_service_answers_as_its_openapi_says(services, name):
    service = services.all[name]
    assert service.document["paths"].keys() >= HOT[name.removesuffix("-unconfigured")]
    assert "HTTPValidationError" not in service.document["components"]["schemas"]
    with requests.Session() as session:
        for method, path in operations(service):
            services.play()
            tried = [try_out(service, method, path, mode, session) for mode in GenerationMode]
            assert tried[0] > 0, (method, path)
        assert session.get(f"{service.address}/healthz", timeout=5).json() == {"status": "ok"}


@pytest.mark.parametrize("name", list(HOT))
def test_a_path_that_is_not_there_and_a_wrong_method_are_problems(services, name):
    service = services.all[name]
    wrong = [("GET", "/v1/nothing"), ("PATCH", "/healthz"), *(("GET", path) for path in HOT[name] - {"/v1/episodes"})]
    for method, path in wrong:
        answer = requests.request(method, f"{service.address}{path}", timeout=5)
        assert answer.status_code == (404 if path == "/v1/nothing" else 405)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


@pytest.mark.parametrize("name", list(HOT))
def test_every_operation_is_described_for_people(services, name):
    service = services.all[name]
    for method, path in operations(service):
        operation = service.document["paths"][path][method.lower()]
        assert operation.get("description"), (method, path)
        assert "401" in operation["responses"], (method, path)
        for status, said in operation["responses"].items():
            if int(status) >= 400:
                assert list(said["content"]) == ["application/problem+json"], (method, path, status)
