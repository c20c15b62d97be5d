"""What `alembic revision --autogenerate` writes, and what it does not."""

import logging
from typing import Any, Literal

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Enum, TypeDecorator

logger = logging.getLogger("alembic.autogenerate")


def leave_out_empty(
    context: MigrationContext, _revision: Any, scripts: list[MigrationScript]
) -> None:
    """Write no revision where nothing has changed."""
    autogenerate = getattr(
        context.config and context.config.cmd_opts, "autogenerate", False
    )
    if autogenerate and all(
        script.upgrade_ops.is_empty() for script in scripts if script.upgrade_ops
    ):
        scripts.clear()
        logger.info("nothing has changed: no revision is written")


def render_type(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Write the application's own types as what the database stores.

    A migration that imports the application breaks when the application changes.
    """
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    if kind == "type" and isinstance(item, Enum) and not item.native_enum:
        return f"sa.String(length={item.length})"
    return False
