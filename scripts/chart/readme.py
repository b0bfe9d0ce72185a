"""README.md of the chart: how it is used, and a table of its values."""

import json
from collections.abc import Iterable, Iterator

from scripts.chart.values import Value, read

HEAD = """# The chart edgebed

<!-- made by `python -m scripts.chart`; change values.yaml, or scripts/chart/readme.py, instead -->

Installs a testbed: the controller, which makes pods for every `Experiment` of its namespace, and the servers around it.

```console
$ helm install edgebed helm/edgebed --namespace edgebed --create-namespace
$ kubectl --namespace edgebed apply -f deploy/experiments/testbed.yaml
$ kubectl --namespace edgebed get experiments -w
```

Needs Kubernetes 1.27 or later, Helm 3.13 or later, and a default storage class. One release for a namespace: its controller
looks after all experiments there. [docs/kubernetes.md](../../docs/kubernetes.md) tells what becomes of an experiment.

## Shapes

| what | values |
|---|---|
| everything: MySQL, HDFS, Nacos, Prometheus, Grafana | the defaults |
| the smallest: SQLite, a volume, the controller's own coordination | `-f helm/edgebed/values-minimal.yaml` |
| servers of yours | `mysql.external`, `hdfs.external`, `nacos.external`, `prometheus.external`, `grafana.external`, each by itself |
| the cluster's own Prometheus operator | `monitoring.enabled`, with `prometheus.enabled=false` |

`ci/` has a file for each, which the tests render. A server with `external` is not installed; one with `enabled: false` and no
`external` is done without, where that is possible: SQLite for MySQL, a volume for HDFS, the controller itself for Nacos.

## What stays

| what you do | what happens |
|---|---|
| `helm upgrade` | the controller is started again and goes on in the middle of a run. A run at work keeps its pods; the next one gets what the new values say. Passwords that were made stay |
| `helm rollback` | the same, with the values of before. The kind `Experiment` becomes that of the release as well |
| `helm uninstall` | experiments, volumes and passwords stay, and so does the kind `Experiment`; pods of experiments stay too, so delete experiments first |
| `helm install` again, by the same name in the same namespace | goes on with the data of before |
| `kubectl delete pvc,secret -l app.kubernetes.io/instance=edgebed` | deletes all data; with `keepData: false` `helm uninstall` does |
| `kubectl delete crd experiments.edgebed.dev` | deletes all experiments of the cluster |

## Security

All pods pass the restricted Pod Security Standard: no root, no capabilities, read-only root file systems. So the namespace
may enforce it: `kubectl label namespace edgebed pod-security.kubernetes.io/enforce=restricted`. Only controller and Prometheus
have an account's token, with rights in their namespace alone. Network policies let servers be reached by those that use them;
`kubectl port-forward` goes past them. What services say to each other, and the token with it, is not encrypted.

## Values

"""


def written() -> str:
    """The file's content."""
    values = read()
    single = [value for value in values if not value.parts]
    sections = [value for value in values if value.parts]
    text = HEAD + _table(single)
    for section in sections:
        text += f"\n### {section.name}\n\n{section.meaning}\n\n{_table(_leaves(section))}"
    return text


def _leaves(value: Value) -> Iterator[Value]:
    for part in value.parts:
        if part.parts:
            yield from _leaves(part)
        else:
            yield part


def _table(values: Iterable[Value]) -> str:
    lines = ["| value | default | meaning |", "|---|---|---|"]
    lines += [f"| `{value.name}` | {_shown(value)} | {_meaning(value)} |" for value in values]
    return "\n".join(lines) + "\n"


def _shown(value: Value) -> str:
    default = _given(value.default)
    if default in ("", None, [], {}):
        return "none"
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _given(default: object) -> object:
    """Without what is empty."""
    return {key: part for key, part in default.items() if part != ""} if isinstance(default, dict) else default


def _meaning(value: Value) -> str:
    choices = value.schema.get("enum", ())
    added = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
    return (value.meaning + added).strip().replace("|", "\\|")
