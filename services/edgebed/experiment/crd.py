"""The CustomResourceDefinition of Experiment, made from the specification: `python -m edgebed.experiment.crd [FILE]`.

What the API server checks is what the specification says, as far as a structural schema and CEL can say it. What they cannot
(whether a policy is installed, whether a distribution's lower end comes first, whether a swept value is allowed where it
goes or given twice, whether a file exists) the operator finds with the specification itself, and says so in the status.

Fields that the specification does not know are refused by `kubectl` (its default is `--validate=strict`) and by every client
that asks for `fieldValidation=Strict`; for any other client the API server takes them out, as it does in every resource.

The rules in CEL look at fields without a type through `dyn(self)`, and name the field by `fieldPath`, which Kubernetes knows
since 1.28. The proof of both is tests/contracts/test_crd.py, on a real API server.
"""

import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from edgebed.experiment.methods import Offline
from edgebed.experiment.parts import RulesChoice
from edgebed.experiment.reference import member_docs
from edgebed.experiment.specification import API_VERSION, Experiment
from edgebed.experiment.status import Status
from edgebed.experiment.structural import Converter, Form, Schema, present, rule
from edgebed.experiment.sweep import NOT_SWEPT

GROUP, _, VERSION = API_VERSION.partition("/")
KIND, PLURAL, SINGULAR, SHORT = "Experiment", "experiments", "experiment", "exp"
MUTABLE = ("suspend", "ttlSecondsAfterFinished")
"""Fields of spec that may change after the start."""

FORMS = (
    Form("NetworkFile", "has(self.file)", "the networks come from file"),
    Form(
        "MeasuredWorkload",
        "has(self.application) && "
        "(has(self.application.costs) || has(self.application.kind) && self.application.kind == 'ffmpeg')",
        "what a task is comes from application.costs",
    ),
    Form("WorkloadFile", "has(self.file)", "the tasks come from file"),
    Form("MeasuredApplication", "has(self.costs) || has(self.kind) && self.kind == 'ffmpeg'", ""),
)
UNDEFAULTED = frozenset(
    {("Offline", name) for name in ("learningRate", "temperature", "hidden")}
    | {("Online", name) for name in ("epochs", "entropy", "hidden")}
)
"""They depend on the algorithm, and the hidden layers on the actor that online learning begins with."""

_HEADER = "# Made by `python -m edgebed.experiment.crd`; change the specification instead.\n"


def custom_resource_definition() -> dict[str, Any]:
    """The definition as plain values."""
    columns = [
        {"name": name, "type": "string", "jsonPath": path}
        for name, path in (
            ("Phase", ".status.phase"),
            ("Progress", ".status.progress"),
            ("Method", ".status.method"),
            ("Success", ".status.successRate"),
        )
    ]
    columns.append({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
    names = {"kind": KIND, "listKind": f"{KIND}List", "plural": PLURAL, "singular": SINGULAR, "shortNames": [SHORT]}
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": schema()},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def schema() -> Schema:
    """The structural schema of an Experiment with its status."""
    document = Experiment.model_json_schema(by_alias=True)
    found = Converter(document["$defs"], FORMS, UNDEFAULTED).convert(document)
    status = Status.model_json_schema(by_alias=True)
    properties, spec = found["properties"], found["properties"]["spec"]
    properties["status"] = Converter(status["$defs"]).convert(status)
    # The API server knows these two, and says more about them than a list of one word would.
    for name in ("apiVersion", "kind"):
        properties[name] = {"type": "string"}
    properties["metadata"] = {"type": "object", "properties": {"name": properties["metadata"]["properties"]["name"]}}
    found["required"] = ["spec"]
    found["description"] = (
        "An experiment on task offloading among cooperative edge nodes: what is compared, and how far it is."
    )
    _keyed(spec["properties"]["methods"], "name")
    _keyed(properties["status"]["properties"]["methods"], "name")
    _keyed(properties["status"]["properties"]["conditions"], "type")
    _worded(spec["properties"]["rules"]["properties"])
    method = spec["properties"]["methods"]["items"]
    method["x-kubernetes-validations"] = _method_rules(method["properties"])
    sweep = spec["properties"]["sweep"]
    sweep["x-kubernetes-validations"] = _sweep_rules(spec["properties"])
    found["x-kubernetes-validations"] = _immutable(spec["properties"])
    return found


def _keyed(listing: Schema, key: str) -> None:
    """No two entries of the list have the same key; server-side apply merges them by it."""
    listing |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def _worded(rules: dict[str, Schema]) -> None:
    """Says of each rule's words what they mean."""
    for name, field in RulesChoice.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, StrEnum)
        words = [f"{word}: {text}" for word, text in zip(kind, member_docs(kind), strict=True)]
        rules[field.alias or name]["description"] = " ".join([field.description or kind.__doc__ or "", *words])


def _method_rules(fields: dict[str, Schema]) -> list[Schema]:
    """Of `Method`: a policy, or a way to learn one, with all that it takes."""
    policy, collect, offline, training, start, online = (
        present(name, fields[name]) for name in ("policy", "collect", "offline", "training", "start", "online")
    )
    beside = "not beside policy: give either policy, or how to learn one"
    return [
        rule(
            f"{policy} || {offline} || {training} || {online}",
            "give policy, or collect and offline, or training, or online",
            "policy",
            "FieldValueRequired",
        ),
        *(
            rule(f"!{policy} || !{present(name, fields[name])}", beside, name, "FieldValueForbidden")
            for name in ("collect", "offline", "training", "start", "online")
        ),
        rule(
            f"!{offline} || {collect}",
            "give it: offline needs {policy: ..., episodes: ...} to learn from",
            "collect",
            "FieldValueRequired",
        ),
        rule(
            f"!{collect} || {policy} || {offline}",
            "give offline too, or remove collect",
            "collect",
            "FieldValueForbidden",
        ),
        rule(
            f"!{training} || !{offline}",
            "not beside offline: an actor begins with one of them",
            "training",
            "FieldValueForbidden",
        ),
        rule(
            f"!{start} || !{offline} && !{training}",
            "not beside offline or training: an actor begins with one of them",
            "start",
            "FieldValueForbidden",
        ),
        *(
            rule(
                f"!{present(name, fields[name])} || !{online} || !has(self.online.hidden)"
                f" || self.online.hidden == {layers}",
                f"give {name}.hidden and online.hidden the same layers: it is one actor",
                "online.hidden",
            )
            for name, layers in (("offline", _offline_layers()), ("training", "self.training.hidden"))
        ),
    ]


def _offline_layers() -> str:
    """What `offline.hidden` is where it is not given: that depends on the algorithm, so the server knows no default."""
    usual, outcomes = Offline(algorithm="sac-cql", updates=1).hidden, Offline(algorithm="outcomes", updates=1).hidden
    return (
        "(has(self.offline.hidden) ? self.offline.hidden"
        f" : self.offline.algorithm == 'outcomes' ? {outcomes} : {usual})"
    )


def _sweep_rules(fields: dict[str, Schema]) -> list[Schema]:
    """Of `Sweep`: what is swept is a field of spec that may be."""
    known = list(_paths({name: inner for name, inner in fields.items() if name not in NOT_SWEPT}))
    remedy = "give the path of a field of network, workload, rules or mask, such as workload.sizeKB"
    return [rule(f"self.field in {known}", remedy, "field")]


def _paths(fields: Mapping[str, Schema], above: str = "") -> Iterator[str]:
    """The paths of all fields that are in no list."""
    for name, inner in fields.items():
        yield above + name
        yield from _paths(inner.get("properties", {}), f"{above}{name}.")


def _immutable(fields: dict[str, Schema]) -> list[Schema]:
    """After the start, `spec` stays as it is, but for MUTABLE."""
    started = "has(oldSelf.status) && has(oldSelf.status.startedAt)"
    message = "the experiment has started, so this stays as it is; delete it and apply again, or give the new one another name"
    rules = []
    for name in fields:
        if name in MUTABLE:
            continue
        now, before = f"self.spec.{name}", f"oldSelf.spec.{name}"
        same = f"has({now}) == has({before}) && (!has({now}) || {now} == {before})"
        if name == "methods":  # lists with keys are equal in any order
            same += f" && {now}.map(m, m.name) == {before}.map(m, m.name)"
        rules.append(rule(f"!({started}) || ({same})", message, f"spec.{name}", "FieldValueForbidden"))
    return rules


def manifest() -> str:
    """The definition as YAML, to be applied with `kubectl apply -f`."""
    return _HEADER + yaml.dump(
        custom_resource_definition(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120
    )


class _Dumper(yaml.SafeDumper):
    """Writes every value where it is used."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(manifest(), encoding="utf-8")
    else:
        print(manifest(), end="")
