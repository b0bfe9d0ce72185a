"""The page's files over HTTP, and what browsers may do with them.

A name of an experiment, a reason and a report's text are what users wrote. The page puts them in as text only: its policy
makes the browser refuse to parse any string as HTML (`require-trusted-types-for`), to run inline scripts and handlers, and to
load or send anything elsewhere. The viewer has to parse reports, which are HTML with styles of their own; it may do that, and
still runs no script but its own.
"""

import gzip
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

INDEX = "index.html"
FILES: Mapping[str, str] = {
    INDEX: "text/html; charset=utf-8",
    "view.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "api.js": "text/javascript; charset=utf-8",
    "detail.js": "text/javascript; charset=utf-8",
    "list.js": "text/javascript; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "parts.js": "text/javascript; charset=utf-8",
    "submit.js": "text/javascript; charset=utf-8",
    "view.js": "text/javascript; charset=utf-8",
}
"""With their content types."""
OPEN_PATHS = frozenset({"/", *(f"/page/{name}" for name in FILES if name != INDEX)})
"""Paths that need no token: they say nothing about the testbed."""

_EVERYWHERE = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; "
)
POLICIES: Mapping[str, str] = {
    INDEX: _EVERYWHERE + "style-src 'self'; img-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'",
    "view.html": _EVERYWHERE + "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:",
}
"""Content-Security-Policy of each document."""


def page_routes() -> APIRouter:
    """The routes; they are none of the API's, so its description is silent about them."""
    routes = APIRouter(include_in_schema=False)
    for name in FILES:
        path = "/" if name == INDEX else f"/page/{name}"
        routes.add_api_route(path, _file(name), methods=["GET"], response_class=Response)
    return routes


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    content = resources.files(__package__).joinpath(name).read_bytes()
    short = gzip.compress(content, mtime=0)  # a third, which counts behind `kubectl port-forward`
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICIES.get(name, "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }

    async def answer(request: Request) -> Response:
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(content, media_type=FILES[name], headers=headers)
        return Response(short, media_type=FILES[name], headers={**headers, "Content-Encoding": "gzip"})

    return answer
