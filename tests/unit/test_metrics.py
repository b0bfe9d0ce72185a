"""What all metrics pages share: declarations become families, and a page in pieces is the page."""

import asyncio
import math

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from edgebed.metrics import PIECE, Histogram, Sum, counter, gauge, histogram, page, states, summary
from tests.metrics_page import shown, value

LINES = counter("test_lines", "Many lines", "number")
LENGTH = gauge("test_length", 'A "quoted" text\nof two lines')
TIMES = histogram("test_seconds", "Times", "kind")
MEAN = summary("test_mean_seconds", "A mean")
NOTHING = gauge("test_nothing", "Without a sample", "number")
STATE = gauge("test_state", "A set", "state")


class Everything(Collector):
    def collect(self):
        times = Histogram((0.1, 1.0))
        times.add(0.5)
        yield LINES.many([((str(k),), k) for k in range(3 * PIECE + 1)])
        yield LENGTH.one(math.nan)
        yield TIMES.one(times, "a")
        yield MEAN.one(Sum(2, 5.0))
        yield NOTHING.many([])
        yield states(STATE, "on", ("off", "on"))


def test_a_page_in_pieces_is_the_page_that_the_library_writes():
    registry = CollectorRegistry()
    registry.register(Everything())
    assert asyncio.run(page(Everything())) == generate_latest(registry)


def test_the_loop_does_what_is_due_between_two_pieces():
    async def test() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await page(Everything())
        counting.cancel()
        return turns

    assert asyncio.run(test()) >= 4 + 5


def test_declarations_are_what_a_page_shows():
    text = asyncio.run(page(Everything())).decode()
    samples = shown(
        text.replace('A "quoted" text\\nof two lines', "x"),
        (LINES, gauge("test_length", "x"), TIMES, MEAN, NOTHING, STATE),
    )
    assert value(samples, "test_lines_total", number="7") == 7
    assert value(samples, "test_seconds_bucket", kind="a", le="0.1") == 0
    assert value(samples, "test_seconds_bucket", kind="a", le="1.0") == 1
    assert value(samples, "test_mean_seconds_count") == 2
    assert value(samples, "test_state", state="on") == 1
    assert value(samples, "test_state", state="off") == 0
    assert samples["test_nothing"] == []


@pytest.mark.parametrize(("added", "counts"), [(0.5, [0, 1, 0]), (0.1, [1, 0, 0]), (1.0, [0, 1, 0]), (1.1, [0, 0, 1])])
def test_an_edge_belongs_to_the_bucket_below_it(added, counts):
    times = Histogram((1.0, 0.1, 1.0))
    times.add(added)
    assert times.counts == counts
