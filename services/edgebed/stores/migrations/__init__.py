"""The schema of the task log, brought up to date: each change of a table is a file in `versions`, run by alembic.

A new database gets all tables at once; a test compares that with running every file. One whose schema is up to date is
recognised by one query, so that alembic, which takes long to import, is only needed for an old one.
"""

from pathlib import Path

from sqlalchemy import insert, inspect, select, text
from sqlalchemy.engine import Connection

from edgebed.experiment.errors import Problem, UserError
from edgebed.stores import log_schema as schema

HEAD = "0002"
"""The latest file."""
FIRST = "0001"
"""What databases have that were made before there were files."""
_FOLDER = Path(__file__).parent


def is_current(connection: Connection) -> bool:
    """Whether the schema is the one of this version of edgebed."""
    return _version(connection) == HEAD


def bring_up_to_date(connection: Connection, where: str, setting: str) -> None:
    """Makes or changes tables. The caller sees to it that nobody else does. Raises UserError for a later schema."""
    found = _version(connection)
    if found == HEAD:
        return
    if found is None:
        schema.metadata.create_all(connection)
        connection.execute(text(f"DROP VIEW IF EXISTS {schema.VIEW_NAME}"))
        connection.execute(text(schema.VIEW))
        connection.execute(insert(schema.alembic_version).values(version_num=HEAD))
        return
    if found not in {path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*.py")}:
        remedy = f"give another database in {setting}, or use the version of edgebed that made it"
        raise UserError(Problem(setting, f"{where} has schema {found}, later than {HEAD}", remedy))
    _upgrade(connection, found)


def _version(connection: Connection) -> str | None:
    """The schema's; None for a database without our tables."""
    names = set(inspect(connection).get_table_names())
    if schema.alembic_version.name in names:
        found = connection.execute(select(schema.alembic_version.c.version_num)).scalar()
        return None if found is None else str(found)
    return FIRST if "schema_version" in names else None


def _upgrade(connection: Connection, found: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    if not inspect(connection).has_table(schema.alembic_version.name):
        command.stamp(config, found)
    command.upgrade(config, "head")
