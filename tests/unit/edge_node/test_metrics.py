"""The metrics page: documented names, base units, an edge at the deadline, and no label that grows with the tasks."""

from prometheus_client.parser import text_string_to_metric_families

from edgebed.edge_node.measurements import Histogram, Sample
from tests.unit.edge_node.fleet import bare, playing, run, task

NAMES = {
    "edgebed_node_tasks",
    "edgebed_node_task_delay_seconds",
    "edgebed_node_arrivals",
    "edgebed_node_sent_payload_bytes",
    "edgebed_node_received_payload_bytes",
    "edgebed_node_probes",
    "edgebed_node_probes_failed",
    "edgebed_node_probe_bytes",
    "edgebed_node_announcements",
    "edgebed_node_cpu_seconds",
    "edgebed_node_execution_queue_tasks",
    "edgebed_node_executing_tasks",
    "edgebed_node_sending_queue_tasks",
    "edgebed_node_model_version",
    "edgebed_node_unsent_records",
    "edgebed_node_memory_bytes",
}


async def page(fleet, node: int = 0):
    answer = await fleet.http.get(f"{fleet.servers[node].address}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(families, name, **labels):
    [found] = [
        s.value for f in families.values() for s in f.samples if s.name == name and labels.items() <= s.labels.items()
    ]
    return found


def test_a_node_that_knows_nothing_has_the_page():
    async def test() -> None:
        async with bare(1) as fleet:
            assert (await page(fleet)).keys() == NAMES

    run(test())


def test_the_page_counts_what_happened_and_has_the_deadline_as_an_edge():
    async def test() -> None:
        async with playing(2) as fleet:
            await fleet.decide("fixed", decisions=[[0, 0, 0], [1, 0, 1]])
            late = task(3, deadline_s=0.001)
            assert await fleet.arrive(0, task(1), task(2, slot=1), late) == 200
            await fleet.log.has(3)
            families, other = await page(fleet), await page(fleet, 1)
            assert families.keys() == NAMES
            assert value(families, "edgebed_node_arrivals_total") == 3
            assert value(families, "edgebed_node_tasks_total", status="succeeded") == 1
            assert value(families, "edgebed_node_tasks_total", status="dropped") == 1
            assert value(families, "edgebed_node_sent_payload_bytes_total") == 100_000
            assert value(other, "edgebed_node_received_payload_bytes_total") == 100_000
            assert value(other, "edgebed_node_tasks_total", status="succeeded") == 1
            assert value(families, "edgebed_node_model_version") == 1
            assert value(families, "edgebed_node_memory_bytes") > 1e6
            delay = families["edgebed_node_task_delay_seconds"]
            edges = {s.labels["le"]: s.value for s in delay.samples if s.name.endswith("_bucket")}
            assert edges["0.5"] == edges["+Inf"] == 2  # deadlineSeconds of the workload
            labels = {name for family in families.values() for s in family.samples for name in s.labels}
            assert labels == {"node", "status", "le"}
            before = {name: len(family.samples) for name, family in families.items()}
            assert await fleet.arrive(0, *(task(k) for k in range(10, 30))) == 200
            await fleet.log.has(23)
            assert {name: len(family.samples) for name, family in (await page(fleet)).items()} == before

    run(test())


def test_an_edge_belongs_to_the_bucket_below_it():
    histogram = Histogram([1.0, 0.5, 1.0])
    for delay in (0.5, 1.0, 1.1):
        histogram.add(delay)
    assert histogram.buckets() == [("0.5", 1.0), ("1.0", 2.0), ("+Inf", 3.0)]


def test_a_sample_tells_count_mean_and_quantiles_of_what_it_was_given():
    sample = Sample()
    assert sample.summary() == {"count": 0, "mean": None, "p50": None, "p99": None, "max": None}
    for number in range(101):
        sample.add(number - 200.0)
    assert sample.summary() == {"count": 101, "mean": -150.0, "p50": -150.0, "p99": -101.0, "max": -100.0}
