"""What a service's metrics page must be: exactly what is declared, and so what docs/metrics.md says."""

from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from edgebed.metrics import Declared

OWN = {"histogram": {"le"}, "summary": {"quantile"}}
"""Labels that belong to a type."""


def shown(text: str, declared: Iterable[Declared]) -> dict[str, list[Sample]]:
    """The samples of each metric on a page, once everything on it is as declared, and everything declared is on it."""
    families = {family.name: family for family in text_string_to_metric_families(text)}
    wanted = {metric.name: metric for metric in declared}
    assert families.keys() == wanted.keys()
    for name, family in families.items():
        metric = wanted[name]
        assert (family.type, family.documentation) == (metric.kind, metric.text)
        for sample in family.samples:
            assert sample.labels.keys() - OWN.get(metric.kind, set()) == set(metric.labels), sample
    return {name: list(family.samples) for name, family in families.items()}


def value(samples: dict[str, list[Sample]], name: str, **labels: str) -> float:
    """Of the only sample with that name and those labels."""
    [found] = [
        sample.value
        for every in samples.values()
        for sample in every
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return float(found)
