"""create documents

Revision: c4a7d2f08e51
Follows: 6b1f0c9e2d34
Created: 2026-01-01 00:01:00+00:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError
from pgvector.sqlalchemy.vector import VECTOR
from sqlalchemy.dialects import postgresql

revision: str = "c4a7d2f08e51"
down_revision: str | Sequence[str] | None = "6b1f0c9e2d34"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Where no model describes them any more, autogenerate leaves these tables alone.
ignored_tables = ("documents",)


def upgrade() -> None:
    """Go forward to this revision."""
    if not op.get_context().as_sql:
        require_pgvector(op.get_bind())
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.create_table(
        "documents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("embedding", VECTOR(dim=384), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
    )
    op.create_index(
        "ix_documents_details",
        "documents",
        ["details"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"details": "jsonb_path_ops"},
    )
    op.create_index(
        "ix_documents_embedding",
        "documents",
        ["embedding"],
        unique=False,
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "vector_cosine_ops"},
        postgresql_with={"m": 16, "ef_construction": 64},
    )


def require_pgvector(connection: sa.Connection) -> None:
    """Raise CommandError if the server has no pgvector, or one that is too old.

    Filtered searches need `hnsw.iterative_scan`, which came with 0.8.
    """
    has = connection.scalar(
        sa.text(
            "SELECT coalesce(installed_version, default_version)"
            " FROM pg_available_extensions WHERE name = 'vector'"
        )
    )
    if has is None or [int(part) for part in has.split(".")[:2]] < [0, 8]:
        raise CommandError(
            "vector search needs the extension pgvector 0.8 or newer, and this server"
            f" has {'none' if has is None else has}: install it there, as the package"
            " postgresql-<version>-pgvector or the image pgvector/pgvector does"
        )


def downgrade() -> None:
    """Go back to the revision before; the extension stays, as others may use it."""
    op.drop_index("ix_documents_embedding", table_name="documents")
    op.drop_index("ix_documents_details", table_name="documents")
    op.drop_table("documents")
