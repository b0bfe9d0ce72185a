"""The tables of the task log, and one of its rows as a value.

`tasks` holds what was recorded, `task_log` (a view) what the paper logs of every task, for people:

    sqlite3 tasks.db "SELECT * FROM task_log WHERE run = 'run-1' AND episode = 3"

Instants are seconds from the start of the task's episode, NULL where the task never got there. `episodes` says what an
episode was played for, and, once its tasks are accounted for, its result; `nodes` and `links` are the networks.
"""

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import mysql

from edgebed.systems.cooperative.lifecycle import TaskState

metadata = MetaData()
_KEY: Any = {"nullable": False, "primary_key": True, "autoincrement": False}
_BY_TABLE: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}
# The rows lie in the order of the key: half the pages to write, and an episode is read in one sweep.
_BY_KEY: Any = {**_BY_TABLE, "sqlite_with_rowid": False}


def _name(length: int) -> Any:
    """A text that is compared letter by letter: by default MySQL takes A for a."""
    return String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


_LONG: Any = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

STATUSES = (TaskState.SUCCEEDED, TaskState.DROPPED, TaskState.FAILED, TaskState.UNFINISHED)

WHOLE = ("episode", "task", "slot", "source", "destination", "place")
"""Columns of numbers that a reader holds in 32 bits; SQLite would keep longer ones."""

tasks = Table(
    "tasks",
    metadata,
    Column("run", _name(200), **_KEY),
    Column("episode", Integer, **_KEY),
    Column("task", Integer, **_KEY),
    Column("slot", Integer, nullable=False),
    Column("source", Integer, nullable=False),
    Column("destination", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("size_bits", Double, nullable=False),
    Column("cycles", Double, nullable=False),
    Column("deadline_s", Double, nullable=False),
    Column("arrived_s", Double, nullable=False),
    Column("decided_s", Double),
    Column("sent_s", Double),
    Column("received_s", Double),
    Column("started_s", Double),
    Column("ended_s", Double),
    Column("u_transmission", Double, nullable=False),
    Column("u_execution", Double, nullable=False),
    Column("probability", Double),
    Column("model_version", BigInteger, nullable=False),
    Column("reason", _name(100), nullable=False),
    *(CheckConstraint(f"{name} BETWEEN 0 AND 2147483647", name=f"{name}_is_a_number") for name in WHOLE),
    CheckConstraint(f"status IN ({', '.join(str(int(status)) for status in STATUSES)})", name="status_is_an_end"),
    **_BY_KEY,
)
episodes = Table(
    "episodes",
    metadata,
    Column("run", _name(200), **_KEY),
    Column("episode", Integer, **_KEY),
    Column("phase", _name(200), nullable=False),
    Column("position", Integer, nullable=False),
    Column("about", _LONG, nullable=False),
    Column("result", _LONG),
    Column("registered_at", BigInteger, nullable=False, server_default=text("0")),  # seconds since 1970
    **_BY_TABLE,
)
nodes = Table(
    "nodes",
    metadata,
    Column("run", _name(200), **_KEY),
    Column("replicate", Integer, **_KEY),
    Column("node", Integer, **_KEY),
    Column("capacity_hz", Double, nullable=False),
    Column("cores", Double, nullable=False),
    Column("arrival_probability", Double, nullable=False),
    Column("execution_failure_rate", Double, nullable=False),
    **_BY_TABLE,
)
links = Table(
    "links",
    metadata,
    Column("run", _name(200), **_KEY),
    Column("replicate", Integer, **_KEY),
    Column("sender", Integer, **_KEY),
    Column("receiver", Integer, **_KEY),
    Column("link_rate_bits_per_s", Double, nullable=False),
    Column("link_failure_rate", Double, nullable=False),
    **_BY_TABLE,
)
# Where alembic keeps the version of the schema.
alembic_version = Table("alembic_version", metadata, Column("version_num", String(32), primary_key=True))

VIEW_NAME = "task_log"
VIEW = f"""CREATE VIEW {VIEW_NAME} AS SELECT run, episode, task, slot, source, destination, place,
 CASE status {" ".join(f"WHEN {int(status)} THEN '{status.label}'" for status in STATUSES)} END AS status,
 size_bits, cycles, deadline_s, arrived_s,
 sent_s - arrived_s AS transmission_wait_s, received_s - sent_s AS transmission_s,
 started_s - CASE WHEN destination = source THEN arrived_s ELSE received_s END AS execution_wait_s,
 ended_s - started_s AS execution_s, ended_s - arrived_s AS delay_s,
 probability, model_version, reason FROM tasks"""  # noqa: S608  # our own names


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One task as it is logged; instants in seconds from the episode's start, None (or NaN) where it never got there."""

    run: str
    episode: int
    task: int
    """Number of the task in its episode."""
    slot: int
    source: int
    destination: int
    place: int
    """Node that ended it."""
    status: int
    """A `TaskState` of `STATUSES`."""
    size_bits: float
    cycles: float
    deadline_s: float
    """From the arrival."""
    arrived_s: float
    decided_s: float | None
    sent_s: float | None
    received_s: float | None
    started_s: float | None
    ended_s: float | None
    u_transmission: float
    u_execution: float
    probability: float | None
    model_version: int
    reason: str = ""
    """Why it failed beyond its own luck, such as `nodeLost`."""


COLUMNS = tuple(field.name for field in fields(LogRecord))
"""A row is a tuple of these."""

Row = tuple[Any, ...]
