"""The metrics page: what is declared, base units, an edge at the deadline, and no label that grows with the tasks."""

import pytest

from edgebed.edge_node.measurements import Measurements, Sample
from edgebed.edge_node.metrics import NODE_METRICS
from edgebed.metrics import Histogram, Sum
from edgebed.stores.calls import CALL_FAILURES, CALL_SECONDS
from tests.metrics_page import shown, value
from tests.unit.edge_node.fleet import CAPACITY, RATE, bare, playing, run, task

DECLARED = (*NODE_METRICS, CALL_SECONDS, CALL_FAILURES)


async def page(fleet, node: int = 0):
    answer = await fleet.http.get(f"{fleet.servers[node].address}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return shown(answer.text, DECLARED)


def test_a_node_that_knows_nothing_has_the_page():
    async def test() -> None:
        async with bare(1) as fleet:
            samples = await page(fleet)
            assert value(samples, "edgebed_node_arrivals_total", run="", node="") == 0
            assert samples["edgebed_node_link_configured_bytes_per_second"] == []

    run(test())


def test_the_page_counts_what_happened_and_has_the_deadline_as_an_edge():
    async def test() -> None:
        async with playing(2) as fleet:
            await fleet.decide("fixed", decisions=[[0, 0, 0], [1, 0, 1]])
            late = task(3, deadline_s=0.001)
            assert await fleet.arrive(0, task(1), task(2, slot=1), late) == 200
            await fleet.log.has(3)
            families, other = await page(fleet), await page(fleet, 1)
            assert value(families, "edgebed_node_arrivals_total") == 3
            assert value(families, "edgebed_node_tasks_total", status="succeeded") == 1
            assert value(families, "edgebed_node_tasks_total", status="dropped") == 1
            assert value(families, "edgebed_node_sent_payload_bytes_total") == 100_000
            assert value(other, "edgebed_node_received_payload_bytes_total") == 100_000
            assert value(other, "edgebed_node_tasks_total", status="succeeded") == 1
            assert value(families, "edgebed_node_model_version") == 1
            assert value(families, "edgebed_node_memory_bytes") > 1e6
            edges = {s.labels["le"]: s.value for s in families["edgebed_node_task_delay_seconds"] if "le" in s.labels}
            assert edges["0.5"] == edges["+Inf"] == 2  # deadlineSeconds of the workload
            before = {name: len(samples) for name, samples in families.items()}
            assert await fleet.arrive(0, *(task(k) for k in range(10, 30))) == 200
            await fleet.log.has(23)
            assert {name: len(samples) for name, samples in (await page(fleet)).items()} == before

    run(test())


def test_links_decisions_and_utilisation_are_told_with_run_and_node():
    """A link's bytes over its time is what it was configured to carry; an execution of 10 ms is 10 ms of utilisation."""

    async def test() -> None:
        async with playing(2, run="run-7") as fleet:
            await fleet.decide("fixed", decisions=[[0, 0, 1], [1, 0, 1], [2, 0, 0]])
            assert await fleet.arrive(0, task(1), task(2, slot=1), task(3, slot=2)) == 200
            await fleet.log.has(3)
            here, there = await page(fleet), await page(fleet, 1)
            me, link = {"run": "run-7", "node": "0"}, {"run": "run-7", "node": "0", "to": "1"}
            assert value(here, "edgebed_node_decisions_total", **me, destination="remote") == 2
            assert value(here, "edgebed_node_decisions_total", **me, destination="local") == 1
            assert value(here, "edgebed_node_decision_seconds_count", **me) == 3
            assert value(here, "edgebed_node_scheduler_info", **me, kind="fixed") == 1
            configured = value(here, "edgebed_node_link_configured_bytes_per_second", **link)
            assert configured == RATE / 8
            assert value(here, "edgebed_node_link_sent_bytes_total", **link) == 200_000
            took = value(here, "edgebed_node_link_busy_seconds_total", **link)
            assert 0.02 <= took < 2
            assert value(here, "edgebed_node_link_transfers_total", **link, outcome="sent") == 2
            assert value(here, "edgebed_node_link_transfers_total", **link, outcome="cut") == 0
            assert value(here, "edgebed_node_busy_seconds_total", **me) == pytest.approx(0.01, abs=1e-6)
            assert value(there, "edgebed_node_busy_seconds_total", run="run-7", node="1") == pytest.approx(
                0.02, abs=1e-6
            )
            assert value(here, "edgebed_node_capacity_hertz", **me) == CAPACITY

    run(test())


def test_sums_go_on_over_episodes_while_samples_begin_again():
    """So that a mean over any time can be had."""
    measured = Measurements(1.0, nodes=2)
    measured.decision_s.add(2.0)
    measured.new_episode()
    measured.decision_s.add(3.0)
    assert measured.decision_s.count == 1
    assert measured.sum("decision_s") == Sum(2, 5.0)
    measured.new_episode()
    assert measured.sum("decision_s") == Sum(2, 5.0)


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
