"""values.schema.json: Helm refuses values that it does not allow, with their path, before anything is rendered."""

import json
from typing import Any

from scripts.chart.values import Value, read

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "object", "additionalProperties": _TEXT}
_OBJECTS: Json = {"type": "array", "items": {"type": "object"}}
_NAMES: Json = {"type": "array", "items": {"type": "string", "minLength": 1}}
_QUANTITY: Json = {"type": ["string", "number"], "pattern": "^[0-9]+(\\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"}
_AMOUNTS: Json = {"type": "object", "additionalProperties": _QUANTITY}
_CLAIM: Json = {
    "size": _QUANTITY,
    "storageClass": _TEXT,
    "accessMode": {"enum": ["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]},
    "existingClaim": _TEXT,
}


def _closed(properties: Json) -> Json:
    return {"type": "object", "additionalProperties": False, "properties": properties}


SHAPES: dict[str, Json] = {
    "image": _closed(
        {
            "registry": {"type": "string", "pattern": "^[^ /]*$"},
            "repository": {"type": "string", "pattern": "^[^ :@]*$"},
            "tag": {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]*$|^$"},
            "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
        }
    ),
    "resources": _closed({"requests": _AMOUNTS, "limits": _AMOUNTS}),
    "persistence": _closed({"enabled": {"type": "boolean"}, **_CLAIM}),
    "claim": _closed(_CLAIM),
    "texts": _TEXTS,
    "objects": _OBJECTS,
    "names": _NAMES,
}
"""What is the same wherever it occurs."""

NAMED = {
    **{name: name for name in ("image", "resources", "persistence", "claim")},
    **dict.fromkeys(("labels", "annotations", "podAnnotations", "dashboardLabels", "nodeSelector", "env"), "texts"),
    **dict.fromkeys(("tolerations", "from", "metricsFrom"), "objects"),
    **dict.fromkeys(("pullSecrets", "arguments"), "names"),
}
"""Which keys have which shape: a key has one meaning wherever it stands."""

_TYPES = {str: "string", bool: "boolean", int: "integer", dict: "object", list: "array"}


def document() -> Json:
    """The schema of values.yaml."""
    properties = {value.path[0]: _schema(value) for value in read()}
    properties["global"] = {"type": "object", "description": "What charts around this one share; not read."}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart edgebed",
        "$comment": "Made by `python -m scripts.chart`; change values.yaml instead.",
        **_closed(properties),
        "definitions": SHAPES,
    }


def written() -> str:
    """The file's content."""
    return json.dumps(document(), indent=2) + "\n"


def _schema(value: Value) -> Json:
    about = {"description": value.meaning} if value.meaning else {}
    if value.parts:
        return {**about, **_closed({part.path[-1]: _schema(part) for part in value.parts})}
    shape = NAMED.get(value.path[-1])
    if shape is not None:
        return {**about, "allOf": [{"$ref": f"#/definitions/{shape}"}]}
    kind = {} if value.default is None else {"type": _TYPES[type(value.default)]}
    return {**about, **kind, **value.schema}
