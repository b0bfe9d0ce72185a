"""Records for the tests of the task log: of an episode that was really played, and of any values."""

from dataclasses import astuple, fields, replace

import numpy as np

from edgebed.stores.log_schema import LogRecord
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.policies.random import Random
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import TESTBED
from edgebed.systems.cooperative.virtual import run_episode

NETWORK, TASKS = TESTBED


def played(seed, horizon="stop"):
    """The log of one episode of the paper's testbed with random decisions."""
    rules = Rules(horizon=horizon)
    network = NETWORK.draw(seed)
    policy = Random(PolicyContext(network, TASKS, rules, 0.25, seed))
    return run_episode(network, TASKS.draw(network, seed, Stream.EVALUATE, range(1)), rules, policy, 0.25)


def records_of(log, run="run", episode=0):
    """A log's tasks as the testbed would record them."""
    columns = {field.name: getattr(log, field.name).tolist() for field in fields(TaskLog)}
    return [
        LogRecord(
            **dict(zip(columns, values, strict=True))
            | {"run": run, "episode": episode, "place": values[4], "decided_s": None, "model_version": 2}
        )
        for values in zip(*columns.values(), strict=True)
    ]


def record(task, **changes):
    """A plain record."""
    plain = LogRecord(
        run="run",
        episode=0,
        task=task,
        slot=task // 3,
        source=task % 3,
        destination=0,
        place=0,
        status=1,
        size_bits=8e6,
        cycles=4e9,
        deadline_s=1.0,
        arrived_s=0.1 * (task // 3),
        decided_s=None,
        sent_s=None,
        received_s=None,
        started_s=None,
        ended_s=None,
        u_transmission=0.25,
        u_execution=0.75,
        probability=None,
        model_version=0,
    )
    return replace(plain, **changes)


def rows(tasks, **changes):
    """Rows of plain records."""
    return [astuple(record(task, **changes)) for task in tasks]


def same(one, other):
    """Whether two logs are equal bit by bit, NaN included."""
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(TaskLog)]
    return all(a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)
