"""An experiment's document as it comes over HTTP: JSON or YAML, and what is wrong with it field by field.

    document = read_document(body, "application/yaml")
    with refusals(document):                    # a 422 with `problems`, each with its line of the YAML
        experiments.submit(document.content)

A body says what it is. Anything else is refused, also because a web page of somebody else may send plain text and forms to
any address without asking, but not these types.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgebed.experiment import yaml_lines
from edgebed.experiment.errors import Problem as Wrong
from edgebed.experiment.errors import UserError, shown
from edgebed.experiment.validation import validate
from edgebed.experiment.yaml_lines import Reading, dotted
from edgebed.systems.registry import policy_names
from edgebed.wire.problems import Problem

JSON = "application/json"
YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
"""The registered type first, then those from before it was registered."""


@dataclass(frozen=True)
class Document:
    """What was sent."""

    content: Mapping[str, Any]
    reading: Reading
    """The lines of its values; none of JSON."""


def read_document(body: bytes, content_type: str | None) -> Document:
    """The document of a body. Raises Problem 415 for another type, 422 for what is not an experiment's document at all."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != JSON and kind not in YAML:
        detail = f"the body's content type is {shown(kind) if kind else 'not given'}; send {JSON} or {YAML[0]}"
        raise Problem(415, "Not JSON or YAML", detail)
    try:
        text = body.decode("utf-8-sig")
        reading = Reading(json.loads(text)) if kind == JSON else yaml_lines.read(text)
    except UnicodeDecodeError as error:
        raise refused(UserError(Wrong("", "is not text", "send it as UTF-8"))) from error
    except json.JSONDecodeError as error:
        wrong = Wrong("", f"is not JSON: {error.msg}", "check quotes, commas and brackets", error.lineno)
        raise refused(UserError(wrong)) from error
    except RecursionError as error:
        raise refused(UserError(Wrong("", "is nested too deeply", "send an experiment"))) from error
    except UserError as error:
        raise refused(error) from error
    content = reading.value
    if not isinstance(content, Mapping):
        wrong = Wrong("", f"{shown(content)} is not an experiment", "send apiVersion, kind, metadata and spec")
        raise refused(UserError(wrong))
    if kind != JSON:
        # What YAML itself is wrong about, together with what the specification says of the rest.
        with _answered(reading):
            validate(content, reading=reading, policies=policy_names())
    return Document(content, reading)


@contextlib.contextmanager
def refusals(document: Document) -> Iterator[None]:
    """Answers a UserError about the document with a problem that names every field, with its line."""
    with _answered(document.reading):
        yield


@contextlib.contextmanager
def _answered(reading: Reading) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise refused(error, reading) from error


def refused(error: UserError, reading: Reading | None = None) -> Problem:
    """The 422 of what is wrong with a document."""
    wrong = [_located(problem, reading) for problem in error.problems]
    wrong.sort(key=lambda problem: problem.line or 0)
    more = [{"line": one.line, "path": one.path, "found": one.found, "remedy": one.remedy} for one in wrong]
    return Problem(422, "Not an experiment that can run", str(UserError(wrong, error.source)), more={"problems": more})


def _located(problem: Wrong, reading: Reading | None) -> Wrong:
    """With the line of its field, or of the nearest one around it."""
    if problem.line is not None or reading is None or not reading.lines or not problem.path:
        return problem
    lines = {dotted(path): line for path, line in reading.lines.items()}
    around = problem.path
    while around and around not in lines:
        around = around[: max(around.rfind("."), around.rfind("["), 0)]
    return replace(problem, line=lines.get(around))
