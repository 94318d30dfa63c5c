"""The turn of each token of a conversation; NULL in rows of before."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("tokens", sa.Column("turn", sa.Integer(), nullable=True))
    op.add_column("tokens", sa.Column("turn_role", sa.Text(), nullable=True))
