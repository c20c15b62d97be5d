"""Test that SQL with colons survives revisions and rebuilt tables, in both directions."""

import pytest

from support.migrating import (
    THING,
    MigratedProject,
    on_each,
    on_postgresql,
    thing_with_colour,
)

VALUES = {
    "one colon": 'a:b {"a":1}',
    "two colons": "a::b x::text",
    "a colon first": ":b",
    "a backslash": r"\:b c\:d \::e",
    "a percent sign": "100% :a %(b)s",
}
each_value = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)


def literal(before: str, value: str, after: str = "") -> str:
    """Write SQL with a string as a literal of Python, and as `text()` takes it."""
    return repr(before + "'" + value.replace(":", r"\:") + "'" + after)


def with_sql(value: str, size: str = "int") -> str:
    """Declare a table with a value in each kind of SQL, and a column that may change."""
    where = f"text({literal('name <> ', value)})"
    return f"""
    class Thing(Model):
        name: Mapped[str]
        size: Mapped[{size}] = mapped_column(server_default="1")
        sql: Mapped[str] = mapped_column(server_default=text({literal("", value)}))
        plain: Mapped[str] = mapped_column(server_default={value!r})
        __table_args__ = (
            CheckConstraint({literal("name <> ", value)}, name="named"),
            Index("partly", "name", sqlite_where={where}, postgresql_where={where}),
        )
"""


BOX = """
    class Box(Model):
        label: Mapped[str]
"""
SMALL_THING = THING + '        size: Mapped[int] = mapped_column(server_default="1")\n'


@on_each
@each_value
def test_sql_with_a_colon_is_kept(project: MigratedProject, value: str) -> None:
    project.write_models(BOX + SMALL_THING)
    project.autogenerate("upgrade head")
    # Upgrades write what the models say, downgrades what was found in the database.
    for models in (
        with_sql(value),
        with_sql(value, "int | None"),
        SMALL_THING,
        with_sql(value),
        "",
    ):
        project.write_models(BOX + models)
        project.round_trip(options="-x allow-data-loss=*")
        if models == "":
            assert project.tables() == ["boxes"]
        elif models != SMALL_THING:
            project.sql("INSERT INTO things (name) VALUES ('kept')")
            assert project.sql("SELECT sql, plain FROM things") == [f"{value}|{value}"]
            with pytest.raises(Exception, match="ck_things_named"):
                project.sql(f"INSERT INTO things (name) VALUES ('{value}')")
            project.sql("DELETE FROM things")
            shown = "'" + value.replace('"', "") + "'"
            schema = [line.replace('"', "") for line in project.schema()]
            assert sum(shown in line for line in schema) >= 3


@on_each
@each_value
def test_an_enum_value_with_a_colon_is_kept(
    project: MigratedProject, value: str
) -> None:
    project.write_models(BOX)
    project.autogenerate("upgrade head")
    default = (
        f"        other: Mapped[Colour] = mapped_column(server_default={value!r})\n"
    )
    red = value.replace("\\", "\\\\").replace('"', '\\"')
    for values in ({"RED": red}, {"RED": red, "GREEN": f"{red} :green"}):
        project.write_models(BOX + thing_with_colour(**values) + default)
        project.round_trip()
        project.sql(f"INSERT INTO things (name, colour) VALUES ('kept', '{value}')")
    assert set(project.sql("SELECT colour, other FROM things")) == {f"{value}|{value}"}
    project.write_models(BOX)
    project.round_trip(options="-x allow-data-loss=*")


@on_each
@each_value
def test_a_computed_column_with_a_colon_is_kept(
    project: MigratedProject, value: str
) -> None:
    computed = f"sa.Computed({literal('name || ', value)}, persisted=True)"
    column = f"        joined: Mapped[str] = mapped_column({computed})\n"
    project.write_models(BOX)
    project.autogenerate("upgrade head")
    project.write_models(BOX + THING + column)
    project.round_trip()
    project.sql("INSERT INTO things (name) VALUES ('x')")
    assert project.sql("SELECT joined FROM things") == [f"x{value}"]
    project.write_models(BOX)
    project.round_trip(options="-x allow-data-loss=*")


@on_postgresql
@each_value
def test_an_index_on_sql_with_a_colon_is_kept(
    project: MigratedProject, value: str
) -> None:
    project.write_models(THING)
    project.autogenerate("upgrade head")
    index = f"Index('on_sql', text({literal('(name || ', value, ')')}))"
    project.write_models(THING + f"        __table_args__ = ({index},)\n")
    project.round_trip()
    definition = "SELECT pg_get_indexdef('on_sql'::regclass)"
    assert f"'{value}'" in project.sql(definition)[0]
    project.write_models(THING)
    project.round_trip()
