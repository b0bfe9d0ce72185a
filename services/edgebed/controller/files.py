"""The files of a run that are meant for people, over HTTP: the report, figures, results, the experiment as run.

GET /v1/experiments/{name}/report          report.html
GET /v1/experiments/{name}/files           which files there are
GET /v1/experiments/{name}/files/{path}    one of them

A path is not followed: it is looked up among the files that the run leaves for people (`publication`), so nothing else of
the folder, and nothing outside of it, has a name here. A file may hold what a user wrote, and whoever opens it in a browser
has it beside the control API, so every answer forbids scripts, forms and everything that is loaded, and has an origin of its
own (`sandbox`). Styles within a file are allowed, because the report and its figures are drawn with them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath
from starlette.responses import FileResponse

from edgebed.controller.experiments import Experiments
from edgebed.controller.publication import REPORT, files_for_people
from edgebed.wire.description import problems
from edgebed.wire.problems import Problem

TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
}
"""By the end of a name; every other file is bytes to be saved."""
OTHER = "application/octet-stream"
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Name = Annotated[str, InPath(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=100)]
Inside = Annotated[str, InPath(description="of the file, as the list of files has it", max_length=1000)]

_ANY_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file",
        "content": {
            kind.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
            for kind in (*TYPES.values(), OTHER)
        },
    }
}
_PAGE: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}


def file_routes(experiments: Experiments) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["files"])

    def folder_of(name: str) -> Path:
        found = experiments.folder(name)
        if found is None:
            raise Problem(404, "No such experiment", f"{name!r} is not known here; GET /v1/experiments lists all")
        return found

    @routes.get("/v1/experiments/{name}/files", responses=problems(404))
    def listed(name: Name) -> dict[str, Any]:
        """The files that an experiment has for people, with their sizes in bytes."""
        there = files_for_people(folder_of(name))
        return {
            "files": [
                {"name": file, "type": kind_of(file), "bytes": path.stat().st_size} for file, path in there.items()
            ]
        }

    @routes.get(
        "/v1/experiments/{name}/files/{path:path}",
        response_class=FileResponse,
        responses={**_ANY_FILE, **problems(404)},
    )
    def one(name: Name, path: Inside) -> FileResponse:
        """One of the files."""
        found = files_for_people(folder_of(name)).get(path)
        if found is None:
            raise Problem(404, "No such file", f"{name} has no {path!r}; GET /v1/experiments/{name}/files lists them")
        return FileResponse(found, media_type=kind_of(path), headers=HEADERS)

    @routes.get("/v1/experiments/{name}/report", response_class=FileResponse, responses={**_PAGE, **problems(404)})
    def report(name: Name) -> FileResponse:
        """The report of a finished experiment."""
        found = files_for_people(folder_of(name)).get(REPORT)
        if found is None:
            raise Problem(404, "No report yet", f"{name} writes its report when it has finished")
        return FileResponse(found, media_type=TYPES[".html"], headers=HEADERS)

    return routes


def kind_of(file: str) -> str:
    """The content type of a file by its name."""
    return TYPES.get(Path(file).suffix, OTHER)
