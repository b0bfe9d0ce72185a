"""Run by alembic: the migrations, on the connection that it was given.

To write a new one: copy the last file in `versions`, raise its numbers and `HEAD`, and change `log_schema` alike.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
