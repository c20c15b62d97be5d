"""Test that autogenerate finds changed defaults, and no change in any common type."""

import re

from support.migrating import (
    COLOUR,
    THING,
    MigratedProject,
    on_each,
)

DEFAULTS = {
    "number": ("int", "'5'", "'6'"),
    "negative": ("int", "text('-1')", "text('-2')"),
    "fraction": ("float", "'1.5'", "'2.5'"),
    "exact": ("Decimal", "text('0.10')", "text('0.20')"),
    "removed": ("int", "'5'", "None"),
    "added": ("int", "None", "'5'"),
    "quoted": ("str", '"it\'s"', '"it was"'),
    "empty": ("str", "''", "'x'"),
    "percent": ("str", "'100%'", "'99%'"),
    "case": ("str", "'Abc'", "'abc'"),
    "bracket": ("str", "'(x)'", "'x'"),
    "flag": ("bool", "sa.true()", "sa.false()"),
    "moment": ("datetime", "func.now()", "text(\"'2026-01-01 00:00:00'\")"),
    "document": ("dict[str, Any]", "'{}'", "'{\"a\": 1}'"),
    "colour": ("Colour", "'red'", "'green'"),
}


def with_defaults(number: int) -> str:
    """Declare a column for each kind of default, with the old or the new one."""
    lines = [
        f"{name}: Mapped[{kind}] = mapped_column("
        f"{'sa.JSON, ' if kind.startswith('dict') else ''}server_default={both[number]})"
        for name, (kind, *both) in DEFAULTS.items()
    ]
    return (
        COLOUR + "    class Thing(Model):\n" + "".join(f"        {x}\n" for x in lines)
    )


@on_each
def test_changed_defaults_are_found_and_unchanged_ones_are_not(
    project: MigratedProject,
) -> None:
    project.write_models(with_defaults(0))
    # round_trip() also checks that nothing differs.
    project.round_trip()
    project.write_models(with_defaults(1))
    text = project.round_trip()
    upgrade = text.partition("def downgrade")[0]
    found = re.findall(r'alter_column\(\s*(?:"things",\s*)?"(\w+)"', upgrade)
    assert sorted(found) == sorted(DEFAULTS)


EVERY_TYPE = """
    class Everything(Model):
        flag: Mapped[bool]
        small: Mapped[int] = mapped_column(sa.SmallInteger)
        integer: Mapped[int]
        big: Mapped[int] = mapped_column(sa.BigInteger)
        single: Mapped[float]
        double: Mapped[float] = mapped_column(sa.Double)
        exact: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
        money: Mapped[Decimal]
        letters: Mapped[str]
        short: Mapped[str] = mapped_column(sa.String(20))
        fixed: Mapped[str] = mapped_column(sa.CHAR(2))
        long: Mapped[str] = mapped_column(sa.Text)
        wide: Mapped[str] = mapped_column(sa.Unicode(20))
        wider: Mapped[str] = mapped_column(sa.UnicodeText)
        raw: Mapped[bytes]
        day: Mapped[date]
        hour: Mapped[time]
        moment: Mapped[datetime]
        local: Mapped[datetime] = mapped_column(sa.DateTime)
        span: Mapped[timedelta]
        key: Mapped[uuid.UUID]
        document: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
        colour: Mapped[Colour]
        other: Mapped[Colour | None] = mapped_column(server_default="red")
        doubled: Mapped[int] = mapped_column(sa.Computed("integer * 2", persisted=True))
        maybe: Mapped[int | None]
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("everythings.id"))
"""
POSTGRESQL_TYPES = """
        binary: Mapped[dict[str, Any]] = mapped_column(postgresql.JSONB)
        numbers: Mapped[list[int]] = mapped_column(postgresql.ARRAY(sa.Integer))
        words: Mapped[list[str]] = mapped_column(postgresql.ARRAY(sa.String(9)))
        address: Mapped[str] = mapped_column(postgresql.INET)
        search: Mapped[str] = mapped_column(postgresql.TSVECTOR)
        places: Mapped[dict[str, str]] = mapped_column(postgresql.JSONB, server_default="{}")
        period: Mapped[Any] = mapped_column(postgresql.DATERANGE)
        spoken: Mapped[str] = mapped_column(sa.String(collation="C"))
"""


@on_each
def test_a_model_of_every_common_type_is_stable(project: MigratedProject) -> None:
    text = COLOUR + EVERY_TYPE
    if project.database == "postgresql":
        text = "    from sqlalchemy.dialects import postgresql\n" + text
        text += POSTGRESQL_TYPES
    project.write_models(text)
    written = project.round_trip()
    assert "async_app" not in written
    # Also for columns that are added to an existing table.
    project.write_models(THING)
    project.alembic(
        "-x allow-data-loss=* revision --autogenerate -m other", "upgrade head"
    )
    project.write_models(text)
    project.autogenerate("upgrade head", "check", options="-x allow-data-loss=*")
