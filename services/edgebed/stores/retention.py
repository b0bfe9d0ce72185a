"""Runs that are no longer wanted leave the task log, a bounded piece in each transaction, so that nobody waits for long.

A run that may still be going on is left alone: one that has registered an episode within `RESTING_S`, for a long training
lies between two phases. That is looked at again in every transaction, because somebody may go on with it meanwhile. The
episodes go last, so what was interrupted is gone on with by the same command.
"""

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, delete, func, select
from sqlalchemy.engine import Connection

from edgebed.experiment.errors import Problem, UserError
from edgebed.stores import log_schema as schema
from edgebed.stores.database import Database

RESTING_S = 24 * 3600.0
"""So long after its last episode began, a run may still be going on."""
BATCH_TASKS = 10_000
"""Tasks deleted in one transaction."""
DAY_S = 24 * 3600.0

_tasks, _episodes = schema.tasks.c, schema.episodes.c


@dataclass(frozen=True)
class Forgotten:
    """What was deleted of a run, or would be."""

    run: str
    episodes: int
    """That were registered."""
    tasks: int


def forget(database: Database, run: str, resting_s: float, dry_run: bool) -> Forgotten:
    """Deletes a run. Raises UserError for one that may still be going on, and EnvironmentFault."""
    found = database.read("cannot be read", lambda connection: _counted(connection, run, resting_s))
    if dry_run:
        return found
    tasks = 0
    while some := database.write("cannot be written", lambda connection: _some_tasks(connection, run, resting_s)):
        tasks += some
    episodes = database.write("cannot be written", lambda connection: _the_rest(connection, run, resting_s))
    return Forgotten(run, episodes, tasks)


def older_than(database: Database, age_s: float) -> list[str]:
    """Runs whose last episode began so long ago. What was never registered has no age."""
    latest = func.max(_episodes.registered_at)
    query = select(_episodes.run).group_by(_episodes.run).having(latest < time.time() - age_s).order_by(latest)
    return database.read("cannot be read", lambda connection: list(connection.execute(query).scalars()))


def _counted(connection: Connection, run: str, resting_s: float) -> Forgotten:
    _check(connection, run, resting_s)
    tasks = connection.execute(select(func.count()).where(_tasks.run == run)).scalar_one()
    episodes = connection.execute(select(func.count()).where(_episodes.run == run)).scalar_one()
    return Forgotten(run, int(episodes), int(tasks))


def _some_tasks(connection: Connection, run: str, resting_s: float) -> int:
    """Deletes tasks of the run's first episode that has any; how many."""
    _check(connection, run, resting_s)
    first: Select[Any] = select(func.min(_tasks.episode)).where(_tasks.run == run)
    if (episode := connection.execute(first).scalar()) is None:
        return 0
    these = [_tasks.run == run, _tasks.episode == episode]
    beyond = select(_tasks.task).where(*these).order_by(_tasks.task).offset(BATCH_TASKS).limit(1)
    if (bound := connection.execute(beyond).scalar()) is not None:
        these.append(_tasks.task < bound)
    return connection.execute(delete(schema.tasks).where(*these)).rowcount


def _the_rest(connection: Connection, run: str, resting_s: float) -> int:
    _check(connection, run, resting_s)
    for table in (schema.nodes, schema.links):
        connection.execute(delete(table).where(table.c.run == run))
    return connection.execute(delete(schema.episodes).where(_episodes.run == run)).rowcount


def _check(connection: Connection, run: str, resting_s: float) -> None:
    latest = connection.execute(select(func.max(_episodes.registered_at)).where(_episodes.run == run)).scalar()
    ago_s = time.time() - (latest or 0)
    if ago_s < resting_s:
        said = f"may still be going on: its last episode began {ago_s / 3600:.1f} hours ago"
        raise UserError(
            Problem(f"run {run}", said, f"end it, and give the command again after {resting_s / 3600:g} hours")
        )
