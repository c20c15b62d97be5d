"""Test migrations of enums: columns, values, characters."""

import pytest

from support.migrating import (
    COLOUR,
    RED_GREEN,
    THING,
    MigratedProject,
    failure_line,
    on_each,
    thing_with_colour,
)


@on_each
def test_an_enum_column_is_added_shared_and_dropped(
    project: MigratedProject,
) -> None:
    project.write_models(COLOUR + THING)
    project.round_trip()
    project.sql("INSERT INTO things (name) VALUES ('kept')")

    project.write_models(RED_GREEN)
    project.round_trip()
    project.sql("INSERT INTO things (name, colour) VALUES ('new', 'green')")
    with pytest.raises(Exception, match=r"(?i)constraint|enum"):
        project.sql("INSERT INTO things (name, colour) VALUES ('new', 'blue')")

    # A later revision adds a table with two columns of the type.
    box = """
    class Box(Model):
        inside: Mapped[Colour]
        outside: Mapped[Colour] = mapped_column(
            default=Colour.RED, server_default="red"
        )
    """
    project.write_models(RED_GREEN + box)
    project.round_trip()
    project.sql("INSERT INTO boxes (inside) VALUES ('green')")
    assert project.sql("SELECT inside, outside FROM boxes") == ["green|red"]

    # Other columns still use the type of a dropped column.
    project.write_models(COLOUR + THING + box)
    assert "\nallow_data_loss = [" in project.round_trip(options="-x allow-data-loss=*")

    # The type is dropped with its last columns.
    project.write_models(COLOUR + THING)
    project.round_trip(options="-x allow-data-loss=*")
    assert project.tables() == ["things"]
    assert project.enums() == []
    assert len(project.sql("SELECT name FROM things")) == 2
    project.alembic("-x allow-data-loss=* downgrade base", "upgrade head", "check")


@on_each
@pytest.mark.parametrize("place", ["at the end", "in the middle"])
def test_a_value_is_added(project: MigratedProject, place: str) -> None:
    project.write_models(RED_GREEN)
    project.round_trip()
    project.sql("INSERT INTO things (name, colour) VALUES ('kept', 'red')")
    if place == "at the end":
        project.write_models(
            thing_with_colour(RED="red", GREEN="green", BLUE="it's blue")
        )
    else:
        project.write_models(
            thing_with_colour(RED="red", BLUE="it's blue", GREEN="green")
        )
    project.alembic("check", status=255)
    project.round_trip()
    project.sql("INSERT INTO things (name, colour) VALUES ('new', 'it''s blue')")
    if project.database == "postgresql":
        order = (
            "red green it's blue" if place == "at the end" else "red it's blue green"
        )
        assert project.enums() == [f"colour|{order}"]
    found = project.sql("SELECT name, colour FROM things ORDER BY name")
    assert found == ["kept|red", "new|it's blue"]
    # A downgrade fails while a row has the value, and changes nothing.
    before = (project.version(), project.schema())
    output = project.alembic("downgrade -1", status=255)
    assert "FAILED: " in output
    assert (project.version(), project.schema()) == before


@on_each
def test_an_enum_keeps_the_checks_that_use_it(project: MigratedProject) -> None:
    check = """
        other: Mapped[Colour | None]
        __table_args__ = (
            CheckConstraint("colour <> 'red' OR id > 0", name="Red: 100%"),
            CheckConstraint("colour <> other", name="differ"),
        )
    """
    project.write_models(RED_GREEN.rstrip() + check)
    project.round_trip()
    more = thing_with_colour(RED="red", GREEN="green", BLUE="blue")
    project.write_models(more.rstrip() + check)
    project.round_trip()
    project.write_models(RED_GREEN.rstrip() + check)
    project.round_trip()


@on_each
def test_a_value_that_rows_use_is_not_removed(project: MigratedProject) -> None:
    project.write_models(RED_GREEN)
    project.autogenerate("upgrade head")
    project.execute_all(
        "INSERT INTO things (name, colour) VALUES ('kept', 'red')",
        "INSERT INTO things (name, colour) VALUES ('in the way', 'green')",
    )
    before = (project.version(), project.schema(), project.enums())
    project.write_models(thing_with_colour(RED="red"))
    project.alembic("check", status=255)
    project.autogenerate()
    output = project.alembic("upgrade head", status=255)
    message = failure_line(output)
    assert "colour" in message
    assert (project.version(), project.schema(), project.enums()) == before
    assert len(project.sql("SELECT * FROM things")) == 2

    project.sql("DELETE FROM things WHERE colour = 'green'")
    for _ in range(2):
        project.alembic("upgrade head", "check", "downgrade -1")
    assert (project.version(), project.schema(), project.enums()) == before
    assert project.sql("SELECT name, colour FROM things") == ["kept|red"]


@on_each
def test_values_may_have_any_characters(
    project: MigratedProject,
) -> None:
    project.write_models(thing_with_colour(RED="it's", GREEN="a:b", BLUE="100%"))
    project.round_trip()
    values = ("it''s", "a:b", "100%")
    for value in values:
        project.sql(f"INSERT INTO things (name, colour) VALUES ('kept', '{value}')")
    project.write_models(
        thing_with_colour(RED="it's", GREY="grey", GREEN="a:b", BLUE="100%")
    )
    project.round_trip()
    project.write_models(thing_with_colour(RED="it's", GREEN="a:b", BLUE="100%"))
    project.round_trip()
    found = project.sql("SELECT colour FROM things ORDER BY id")
    assert found == ["it's", "a:b", "100%"]


@on_each
def test_the_next_revision_of_an_upgrade_uses_a_new_value(
    project: MigratedProject,
) -> None:
    project.write_models(RED_GREEN)
    project.autogenerate()
    project.alembic("upgrade head")
    project.write_models(thing_with_colour(RED="red", GREEN="green", BLUE="blue"))
    project.autogenerate("upgrade head")
    (last,) = project.version()
    (project.versions / "9999_use.py").write_text(f'''"""Use it."""
from alembic import op
revision = "use"
down_revision = "{last}"

def upgrade():
    op.execute("INSERT INTO things (name, colour) VALUES ('new', 'blue')")

def downgrade():
    op.execute("DELETE FROM things WHERE colour = 'blue'")
''')
    # From the previous revision, and from an empty database.
    for steps in ("-1", "base"):
        project.alembic(f"downgrade {steps}", "upgrade head", "check")
        assert project.sql("SELECT name, colour FROM things") == ["new|blue"]
        project.alembic("downgrade -1")
        assert project.sql("SELECT name, colour FROM things") == []
