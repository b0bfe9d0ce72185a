"""How a service says no: problem details after RFC 9457, the same from the hot path and from FastAPI.

    {"type": "about:blank", "title": "Not allowed", "status": 422, "detail": "size_bits 0 is not allowed; give ..."}

A handler raises `Problem`; `install_problem_handlers(app)` makes FastAPI say everything else in the same form: a request
that does not validate, an unknown path, a wrong method. An error that nobody expected is logged and answered with 500; its
text stays in the log, because it may name what is none of the client's business.
"""

import http
import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

PROBLEM_JSON = "application/problem+json"
CONTENT_TYPE = b"content-type: application/problem+json\r\n"

_log = logging.getLogger(__name__)


class Problem(Exception):
    """The request is refused with a status of 4xx or 5xx and a reason for people."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """`title` is the same for all of its kind; `detail` names the field, the value, and what would be right.

        `more` are members beyond those of the standard, for programs.
        """
        super().__init__(f"{status} {title}: {detail}" if detail else f"{status} {title}")
        self.status, self.title, self.detail, self.headers = status, title, detail, dict(headers or {})
        self.more = dict(more or {})

    def document(self) -> dict[str, Any]:
        """The problem as RFC 9457 writes it."""
        found: dict[str, Any] = {"type": "about:blank", "title": self.title, "status": self.status}
        return {**found, **({"detail": self.detail} if self.detail else {}), **self.more}

    def body(self) -> bytes:
        """The same as JSON text."""
        return json.dumps(self.document()).encode()


def unexpected(error: BaseException, where: str) -> Problem:
    """Logs an error that nobody expected; returns what the client is told of it."""
    _log.error("%s failed unexpectedly", where, exc_info=error)
    return Problem(500, "Internal error", "this service failed to handle the request; its log says why")


def phrase(status: int) -> str:
    """`Not Found` for 404."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def install_problem_handlers(app: FastAPI) -> None:
    """Lets the app answer every error with a problem body."""

    async def problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return _response(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        detail = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors())
        return _response(Problem(422, "Not allowed", detail))

    async def http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        title = phrase(error.status_code)
        detail = "" if error.detail == title else str(error.detail)
        return _response(Problem(error.status_code, title, detail, error.headers))

    async def left(_: Request, __: Exception) -> Response:
        return _response(Problem(400, "Cut off", "the client left before the end of its request"))

    async def other(request: Request, error: Exception) -> Response:
        return _response(unexpected(error, f"{request.method} {request.url.path}"))

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(ClientDisconnect, left)
    app.add_exception_handler(Exception, other)


def _response(problem: Problem) -> Response:
    return Response(problem.body(), problem.status, problem.headers, media_type=PROBLEM_JSON)
