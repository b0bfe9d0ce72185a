"""Refusals have one form (RFC 9457), whoever says them."""

import json

import httpx

from edgebed.wire.problems import Problem
from tests.unit.wire.serving import run, serving


def test_a_problem_is_a_document():
    """With type, title, status and, if there is one, a detail."""
    problem = Problem(409, "Refused in this state", "episode 3 runs; finish it first")
    assert json.loads(problem.body()) == {
        "type": "about:blank",
        "title": "Refused in this state",
        "status": 409,
        "detail": "episode 3 runs; finish it first",
    }
    assert "detail" not in Problem(503, "Too busy").document()
    assert str(problem) == "409 Refused in this state: episode 3 runs; finish it first"


def test_fastapi_says_no_in_the_same_form():
    """What does not validate, what is not there, a wrong method, and a fault, which it does not explain."""

    async def test() -> None:
        async with serving() as (server, _), httpx.AsyncClient(base_url=server.address, trust_env=False) as client:
            for answer, status, said in (
                (await client.put("/v1/items", json={"name": 1}), 422, "body.name"),
                (await client.put("/v1/items", content=b"{"), 422, "body"),
                (await client.get("/nowhere"), 404, ""),
                (await client.delete("/v1/items"), 405, ""),
                (await client.get("/v1/fault"), 500, "log"),
            ):
                assert answer.status_code == status
                assert answer.headers["content-type"] == "application/problem+json"
                found = answer.json()
                assert found["status"] == status
                assert said in found.get("detail", "")
                assert "secret" not in answer.text
                assert (answer.headers.get("allow") is not None) == (status == 405)

    run(test())
