"""When an episode was registered, for retention; 0 for those of before."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """As the module says."""
    op.add_column("episodes", sa.Column("registered_at", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.drop_table("schema_version")
