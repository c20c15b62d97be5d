"""Tests of the queries that every model needs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import ColumnDefault, func
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.repository import (
    Conflict,
    NotFound,
    NotUnique,
    Repository,
    UnknownColumn,
)

from statements import Statements
from thing import Colour, Mark, Part, Thing, ThingBase

pytestmark = pytest.mark.usefixtures("things")

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))


@pytest.fixture
def things_of(session: AsyncSession) -> Repository[Thing]:
    """The repository of things in the transaction of the test."""
    return Repository[Thing](session)


async def test_a_row_is_created_and_got(things_of: Repository[Thing]) -> None:
    created = await things_of.create(name="stone", seen_at=NOON, notes={"a": [1]})
    things_of.session.expunge_all()
    thing = await things_of.get(created.id)
    assert (thing.name, thing.size, thing.colour) == ("stone", 1, Colour.RED)
    assert thing.seen_at == NOON
    assert thing.notes == {"a": [1]}
    assert thing.created_at.tzinfo is UTC


async def test_what_is_missing_is_not_found(things_of: Repository[Thing]) -> None:
    for missing in (
        things_of.get(1),
        things_of.get_one(name="stone"),
        things_of.get_last(),
        things_of.update(1, name="stone"),
        things_of.update(1),
        things_of.delete(1),
    ):
        with pytest.raises(NotFound):
            await missing
    assert await things_of.get_all() == []


async def test_filters_take_values_none_and_lists(
    things_of: Repository[Thing],
) -> None:
    for name, seen_at in (("a", None), ("b", NOON), ("c", None)):
        await things_of.create(name=name, seen_at=seen_at)
    assert (await things_of.get_one(name="b")).seen_at == NOON
    assert (await things_of.get_last(seen_at=None)).name == "c"
    assert [t.name for t in await things_of.get_all(seen_at=None)] == ["a", "c"]
    assert [t.name for t in await things_of.get_all(name=["b", "c"])] == ["b", "c"]
    assert await things_of.count() == 3
    assert await things_of.count(colour=Colour.RED, seen_at=NOON) == 1
    assert await things_of.exists(name="a")
    assert not await things_of.exists(name="d")
    with pytest.raises(NotUnique):
        await things_of.get_one(seen_at=None)


async def test_a_row_is_updated_in_one_statement(things_of: Repository[Thing]) -> None:
    thing = await things_of.create(name="stone")
    with Statements() as sent:
        updated = await things_of.update(thing.id, size=7, colour=Colour.DEEP_BLUE)
        assert updated.updated_at >= thing.created_at
    assert len(sent) == 1
    assert updated is thing
    assert (thing.size, thing.colour) == (7, Colour.DEEP_BLUE)


async def test_a_deleted_row_is_gone(things_of: Repository[Thing]) -> None:
    thing = await things_of.create(name="stone")
    await things_of.delete(thing.id)
    assert not await things_of.exists()


async def test_a_column_that_does_not_exist_is_named(
    things_of: Repository[Thing],
) -> None:
    for attempt in (
        things_of.get_all(nmae="stone"),
        things_of.create(nmae="stone"),
        things_of.update(1, nmae="stone"),
        things_of.create_many([{"nmae": "stone"}]),
        things_of.upsert(on=["nmae"], name="stone"),
    ):
        with pytest.raises(UnknownColumn, match="Thing has no column 'nmae'; it has"):
            await attempt


async def test_a_broken_constraint_is_named(database: Database) -> None:
    async with database.transaction() as session:
        thing = await Repository[Thing](session).create(name="stone")
        await Repository[Part](session).create(thing_id=thing.id, number=1)
    taken = "uq_things_name"
    for broken, name in (
        (lambda s: Repository[Thing](s).create(name="stone"), taken),
        (lambda s: Repository[Thing](s).create_many([{"name": "stone"}]), taken),
        (lambda s: Repository[Part](s).create(thing_id=1, number=1), "pk_parts"),
    ):
        with pytest.raises(Conflict) as caught:
            async with database.transaction() as session:
                await broken(session)
        assert caught.value.constraint == name
        assert caught.value.__cause__ is not None
    with pytest.raises(Conflict):
        async with database.transaction() as session:
            await Repository[Thing](session).delete(thing.id)


async def test_a_composite_key_is_a_tuple(session: AsyncSession) -> None:
    thing = await Repository[Thing](session).create(name="stone")
    parts = Repository[Part](session)
    for number in (1, 2, 3):
        await parts.create(thing_id=thing.id, number=number)
    assert (await parts.get((thing.id, 2))).number == 2
    await parts.update((thing.id, 3), number=4)
    await parts.delete((thing.id, 1))
    assert [part.number for part in await parts.get_all()] == [2, 4]
    assert (await parts.page(size=1)).next == (thing.id, 2)


async def test_a_key_may_be_a_uuid(database: Database) -> None:
    async with database.transaction() as session:
        marks = Repository[Mark](session)
        first = await marks.create(text="first")
        assert await marks.create_many({"text": f"{n}"} for n in range(5)) == 5
        await marks.update(first.id, text="changed")
        assert (await marks.get(first.id)).text == "changed"
        assert (await marks.upsert(on=["id"], id=first.id, text="again")) is first
        page = await marks.page(size=4)
        rest = await marks.page(size=4, after=page.next)
        assert len({mark.id for mark in (*page.items, *rest.items)}) == 6
        await marks.delete(first.id)
        with pytest.raises(NotFound):
            await marks.get(first.id)


async def test_a_row_that_breaks_a_constraint_takes_all_others_along(
    things_of: Repository[Thing],
) -> None:
    await things_of.create(name="stone")
    rows = [{"name": f"{n}"} for n in range(20_000)] + [{"name": "stone"}]
    with pytest.raises(Conflict):
        await things_of.create_many(rows)
    # The transaction goes on, without any of them.
    await things_of.create(name="sand")
    assert await things_of.count() == 2


async def test_a_default_in_sql_is_not_forgotten_silently(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    column = ThingBase.metadata.tables["marks"].c.text
    monkeypatch.setattr(column, "default", ColumnDefault(func.lower("A")))
    with pytest.raises(ValueError, match=r"marks\.text has a default in SQL"):
        await Repository[Mark](session).create_many([{"id": uuid4()}])


async def test_a_page_is_one_statement_and_one_for_each_relationship(
    things_of: Repository[Thing],
) -> None:
    for number in range(60):
        thing = await things_of.create(name=f"{number}")
        for text in ("a", "b"):
            things_of.session.add(Part(thing_id=thing.id, number=ord(text)))
    await things_of.session.flush()
    things_of.session.expunge_all()
    with Statements() as sent:
        page = await things_of.page(selectinload(Thing.parts))
        assert [len(thing.parts) for thing in page.items] == [2] * 50
    assert len(sent) == 2


async def test_a_column_that_may_be_null_gives_no_order(
    things_of: Repository[Thing],
) -> None:
    with pytest.raises(ValueError, match=r"Thing\.seen_at may be NULL"):
        await things_of.page(order_by=Thing.seen_at)
    with pytest.raises(ValueError, match="a page has at least one row"):
        await things_of.page(size=0)


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_cover_all_rows_in_both_directions(
    things_of: Repository[Thing], descending: bool
) -> None:
    for number in range(7):
        await things_of.create(name=f"{number}", size=number // 3)

    async def turn(**bound: Any) -> Any:
        return await things_of.page(
            size=3, order_by=Thing.size, descending=descending, **bound
        )

    pages = [await turn()]
    while pages[-1].next:
        # What is added before the place does not move it.
        await things_of.create(name=f"new {len(pages)}", size=99 if descending else -1)
        pages.append(await turn(after=pages[-1].next))
    names = [thing.name for page in pages for thing in page.items]
    assert sorted(names) == [str(number) for number in range(7)]
    assert names == sorted(names, reverse=descending)
    assert pages[0].previous is None
    back = await turn(before=pages[2].previous)
    assert back.items == pages[1].items
    assert (back.next, back.previous is not None) == (pages[1].next, True)


async def test_many_rows_are_created_from_a_generator(
    things_of: Repository[Thing],
) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        for number in range(25_000):
            notes = {"number": number} if number % 2 else None
            seen_at = NOON if number % 3 else None
            colour = Colour.DEEP_BLUE if number % 5 else Colour.RED
            yield {
                "name": f"{number}",
                "colour": colour,
                "seen_at": seen_at,
                "notes": notes,
            }

    assert await things_of.create_many(rows()) == 25_000
    assert await things_of.create_many([]) == 0
    assert await things_of.count() == 25_000
    assert await things_of.count(seen_at=None) == 8_334
    thing = await things_of.get_one(name="7")
    assert (thing.size, thing.colour, thing.seen_at) == (1, Colour.DEEP_BLUE, NOON)
    assert thing.notes == {"number": 7}
    assert thing.created_at.tzinfo is UTC


async def test_rows_of_different_shape_are_refused_and_none_is_stored(
    database: Database,
) -> None:
    with pytest.raises(UnknownColumn, match="row 2 has the columns size, but the"):
        async with database.transaction() as session:
            rows: list[dict[str, Any]] = [{"name": "a"}, {"size": 1}]
            await Repository[Thing](session).create_many(rows)
    async with database.reader() as session:
        assert await Repository[Thing](session).count() == 0


async def test_upsert_inserts_or_changes(things_of: Repository[Thing]) -> None:
    first = await things_of.upsert(on=["name"], name="stone", size=1)
    second = await things_of.upsert(on=["name"], name="stone", size=2)
    same = await things_of.upsert(on=["name"], name="stone")
    assert first is second is same
    assert (await things_of.get_one()).size == 2


def test_a_repository_is_bound_to_its_model() -> None:
    class Things(Repository[Thing]):
        """A repository with queries of its own."""

    assert vars(Things.__base__)["model"] is Thing
    assert Repository[Thing] is Repository[Thing]
