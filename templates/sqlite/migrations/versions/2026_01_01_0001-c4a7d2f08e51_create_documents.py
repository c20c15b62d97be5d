"""create documents

Revision: c4a7d2f08e51
Follows: 6b1f0c9e2d34
Created: 2026-01-01 00:01:00+00:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "c4a7d2f08e51"
down_revision: str | Sequence[str] | None = "6b1f0c9e2d34"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Where no model describes them any more, autogenerate leaves these tables alone.
ignored_tables = ("documents",)


def upgrade() -> None:
    """Go forward to this revision."""
    op.create_table(
        "documents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "length(embedding) = 1536", name=op.f("ck_documents_embedding")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
    )


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_table("documents")
