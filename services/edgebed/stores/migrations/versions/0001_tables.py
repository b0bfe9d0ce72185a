"""The first tables. Databases that have them were made before there were migrations, so this file makes nothing."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing to do."""
