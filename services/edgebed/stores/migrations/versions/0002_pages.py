"""Columns of finished episodes as pages, and when an episode was registered, for retention."""

import sqlalchemy as sa
from alembic import op

from edgebed.stores import log_schema as schema

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """As the module says."""
    schema.pages.create(op.get_bind())
    op.add_column("episodes", sa.Column("registered_at", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.drop_table("schema_version")
