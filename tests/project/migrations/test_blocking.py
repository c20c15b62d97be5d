"""Test that operations that block others are seen when they are written."""

import re

from support.migrating import (
    MigratedProject,
    on_postgresql,
)

GUIDE = "docs/migrations.md"
ALL = "blocks readers and writers (ACCESS EXCLUSIVE lock) while it"
QUIET = "run it while nothing uses the table"
COPY = "add a column of that type, call online.backfill, drop this"

# A part of a model before and after, the place, whom it blocks, and the recipe.
BLOCKING = {
    "an index": (
        "word: Mapped[str]",
        "word: Mapped[str] = mapped_column(index=True)",
        "ix_{}_word: CREATE INDEX blocks writers (SHARE lock) while it reads all rows",
        "call online.create_index_concurrently",
    ),
    "a foreign key": (
        "owner_id: Mapped[int | None] = mapped_column(sa.BigInteger)",
        'owner_id: Mapped[int | None] = mapped_column(ForeignKey("owners.id"))',
        "fk_{}_owner_id_owners: FOREIGN KEY blocks writers of both tables"
        " (SHARE ROW EXCLUSIVE lock) while it reads all rows",
        "call online.add_foreign_key",
    ),
    "a unique constraint": (
        "word: Mapped[str]",
        "word: Mapped[str] = mapped_column(unique=True)",
        f"uq_{{}}_word: UNIQUE {ALL} reads all rows",
        "call online.create_index_concurrently(…, unique=True), then"
        " op.execute('ALTER TABLE … ADD CONSTRAINT … UNIQUE USING INDEX …')",
    ),
    "a CHECK": (
        "size: Mapped[int]",
        "size: Mapped[int]\n"
        '        __table_args__ = (CheckConstraint("size > 0", name="size"),)',
        f"ck_{{}}_size: CHECK {ALL} reads all rows",
        "call online.add_check",
    ),
    "an exclusion": (
        "word: Mapped[str]",
        "word: Mapped[str]\n        __table_args__ = (postgresql.ExcludeConstraint("
        '("word", "="), name="once", using="btree"),)',
        f"once: EXCLUDE {ALL} reads all rows",
        QUIET,
    ),
    "NOT NULL": (
        "word: Mapped[str | None]",
        "word: Mapped[str]",
        f"word: SET NOT NULL {ALL} reads all rows",
        "call online.set_not_null",
    ),
    "another type": (
        "word: Mapped[str]",
        "word: Mapped[int]",
        f"word: TYPE INTEGER {ALL} rewrites all rows",
        COPY,
    ),
    "a wider integer": (
        "Size: Mapped[int]",
        "Size: Mapped[int] = mapped_column(sa.BigInteger)",
        f"Size: TYPE BIGINT {ALL} rewrites all rows",
        COPY,
    ),
    "a volatile default": (
        "size: Mapped[int]",
        "size: Mapped[int]\n        key: Mapped[uuid.UUID] ="
        ' mapped_column(server_default=text("gen_random_uuid()"))',
        f"key: ADD COLUMN {ALL} rewrites all rows",
        "set the default in a later revision, then call online.backfill",
    ),
    "a computed column": (
        "size: Mapped[int]",
        "size: Mapped[int]\n        twice: Mapped[int] ="
        ' mapped_column(sa.Computed("size * 2", persisted=True))',
        f"twice: ADD COLUMN {ALL} rewrites all rows",
        QUIET,
    ),
    "an identity": (
        "size: Mapped[int]",
        "size: Mapped[int]\n        n: Mapped[int] = mapped_column(sa.Identity())",
        f"n: ADD COLUMN {ALL} rewrites all rows",
        QUIET,
    ),
    "a value less": (
        "mood: Mapped[Mood]",
        "mood: Mapped[Mood]",
        f"mood: ALTER TYPE {ALL} rewrites all rows",
        QUIET,
    ),
    "a value more": ("hue: Mapped[Hue]", "hue: Mapped[Hue]", "", ""),
    "a column that is added": ("", "size: Mapped[int | None]", "", ""),
    "a constant default": (
        "",
        'size: Mapped[int] = mapped_column(server_default="1")\n'
        "        moment: Mapped[datetime] = mapped_column(server_default=func.now())\n"
        '        taste: Mapped[Taste] = mapped_column(server_default="sweet")',
        "",
        "",
    ),
    "a longer text": (
        "word: Mapped[str] = mapped_column(sa.String(9))",
        "word: Mapped[str] = mapped_column(sa.String(19))",
        "",
        "",
    ),
    "any text": (
        "word: Mapped[str] = mapped_column(sa.String(9))",
        "word: Mapped[str] = mapped_column(sa.Text)",
        "",
        "",
    ),
    "more digits": (
        "size: Mapped[Decimal] = mapped_column(sa.Numeric(8, 2))",
        "size: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))",
        "",
        "",
    ),
    "another default": (
        "size: Mapped[int]",
        'size: Mapped[int] = mapped_column(server_default="1")',
        "",
        "",
    ),
    "NULL": ("word: Mapped[str]", "word: Mapped[str | None]", "", ""),
}
NEW = """
    class New(Model):
        word: Mapped[str] = mapped_column(index=True, unique=True)
        owner_id: Mapped[int | None] = mapped_column(ForeignKey("owners.id"))
        mood: Mapped[Mood]
        __table_args__ = (CheckConstraint("owner_id > 0", name="owner"),)
"""


def table_of(kind: str) -> str:
    """Return the name of a kind's table."""
    return kind.lower().replace(" ", "_")


def with_tables(after: bool) -> str:
    """Declare a table for each kind, before or after it changes."""
    moods = ("GOOD",) if after else ("GOOD", "BAD")
    text = "    from sqlalchemy.dialects import postgresql\n"
    hues = ("RED", "BLUE") if after else ("RED",)
    for name, members in (("Mood", moods), ("Hue", hues), ("Taste", ("SWEET",))):
        text += f"    class {name}(enum.Enum):\n"
        text += "".join(f'        {each} = "{each.lower()}"\n' for each in members)
    text += "    class Owner(Model):\n        name: Mapped[str]\n"
    for kind, parts in BLOCKING.items():
        table = table_of(kind)
        text += f'    class {table}(Model):\n        __tablename__ = "{table}"\n'
        text += f"        {parts[after]}\n"
    return text + NEW if after else text


@on_postgresql
def test_what_blocks_others_is_seen_when_it_is_written(
    project: MigratedProject,
) -> None:
    project.write_models(with_tables(after=False))
    project.autogenerate("upgrade head")
    project.write_models(with_tables(after=True))
    command = "-x allow-data-loss=* revision --autogenerate -m change"
    output = project.alembic(command)
    found = [line.partition("] ")[2] for line in output.splitlines() if GUIDE in line]
    assert sorted(found) == sorted(
        f"{table_of(kind)}.{what.format(table_of(kind))}. If the table is large,"
        f" {recipe}: {GUIDE}"
        for kind, (_, _, what, recipe) in BLOCKING.items()
        if what
    )
    assert GUIDE not in project.alembic("upgrade head", "check", "downgrade -1")


@on_postgresql
def test_the_recipe_for_unique_makes_what_the_models_say(
    project: MigratedProject,
) -> None:
    project.write_models("""
    class Thing(Model):
        name: Mapped[str]
    """)
    project.autogenerate("upgrade head")
    project.write_models("""
    class Thing(Model):
        name: Mapped[str] = mapped_column(unique=True)
    """)
    text = project.autogenerate()
    (path,) = (p for p in project.versions.glob("*.py") if p.read_text() == text)
    name = "uq_things_name"
    up = f"""
    from async_app.db.migration import online
    online.create_index_concurrently("{name}", "things", ["name"], unique=True)
    op.execute("ALTER TABLE things ADD CONSTRAINT {name} UNIQUE USING INDEX {name}")
    """
    path.write_text(re.sub(r"\n    op\.create_unique_constraint\([^\n]*\n", up, text))
    project.alembic("upgrade head", "check", "downgrade -1", "upgrade head", "check")
    assert "contype" not in project.psql("-c", "\\d things").stdout
    assert project.sql(f"SELECT 1 FROM pg_constraint WHERE conname = '{name}'") == ["1"]
