"""Tests of the repository."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import ColumnDefault, func
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, joinedload, mapped_column, selectinload

from {{cookiecutter.project_slug}} import db
from {{cookiecutter.project_slug}}.db import Database, Repository

from support.models import Colour, Component, Item, Label, SupportBase
from support.query_counter import QueryCounter

pytestmark = pytest.mark.usefixtures("items")

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))

Items = Repository[Item]
Components = Repository[Component]


class OddNames(db.IntegerId, SupportBase):
    """A model whose columns are called like parameters of the repository."""

    __tablename__ = "test_support_odd_names"

    size: Mapped[int]
    before: Mapped[int]
    order_by: Mapped[int]
    on: Mapped[int] = mapped_column(unique=True)
    options: Mapped[int]


@pytest.fixture
def repository(session: AsyncSession) -> Items:
    """Repository of items, in the transaction of the test."""
    return Items(session)


async def create_items(repository: Items, number: int) -> None:
    """Create items of rising size with two components each, and empty the session."""
    for size in range(number):
        item = await repository.create(name=f"{size}", size=size)
        repository.session.add_all(Component(item_id=item.id, number=n) for n in (1, 2))
    await repository.session.flush()
    repository.session.expunge_all()


async def test_a_row_is_created_and_got(repository: Items) -> None:
    created = await repository.create(name="stone", seen_at=NOON, notes={"a": [1]})
    repository.session.expunge_all()
    item = await repository.get(created.id)
    assert (item.name, item.size, item.colour) == ("stone", 1, Colour.RED)
    assert (item.seen_at, item.notes) == (NOON, {"a": [1]})


async def test_a_missing_row_is_not_found(repository: Items) -> None:
    for missing in (
        repository.get(1),
        repository.get(10**30),
        repository.get_one(name="stone"),
        repository.get_last(),
        repository.update(1, name="stone"),
        repository.update(1),
        repository.delete(1),
        repository.delete(-(10**30)),
    ):
        with pytest.raises(db.NotFoundError):
            await missing
    for attempt in (
        repository.get("1"),
        repository.update(None),
        repository.delete("1"),
    ):
        with pytest.raises(TypeError, match=r"Item\.id is int, not"):
            await attempt
    assert await repository.get_all() == []


async def test_filters_take_values_none_and_lists(repository: Items) -> None:
    for name, seen_at in (("a", None), ("b", NOON), ("c", None)):
        await repository.create(name=name, seen_at=seen_at)
    assert (await repository.get_one(name="b")).seen_at == NOON
    assert (await repository.get_last(seen_at=None)).name == "c"
    assert [t.name for t in await repository.get_all(seen_at=None)] == ["a", "c"]
    for some in (["b", "c"], {"b", "c"}, (n for n in "bc"), {1: "b", 2: "c"}.values()):
        assert [t.name for t in await repository.get_all(name=some)] == ["b", "c"]
    assert await repository.count(size=range(2)) == 3
    assert await repository.count(name=[]) == 0
    assert await repository.count(seen_at=[None, NOON]) == 3
    assert await repository.count(seen_at=[None]) == 2
    assert await repository.count() == 3
    assert await repository.count(colour=Colour.RED, seen_at=NOON) == 1
    assert await repository.exists(name="a")
    assert not await repository.exists(name="d")
    with pytest.raises(db.MultipleResultsError):
        await repository.get_one(seen_at=None)


async def test_update_sends_one_statement(repository: Items) -> None:
    item = await repository.create(name="stone")
    with QueryCounter() as sent:
        updated = await repository.update(item.id, size=7, colour=Colour.DEEP_BLUE)
        assert updated.updated_at >= item.created_at
    assert len(sent) == 1
    assert updated is item
    assert (item.size, item.colour) == (7, Colour.DEEP_BLUE)


async def test_an_unknown_column_is_named(repository: Items) -> None:
    message = "Item has no column 'nmae'; it has"
    for attempt in (
        repository.get_all(nmae="stone"),
        repository.create(nmae="stone"),
        repository.update(1, nmae="stone"),
        repository.create_many([{"nmae": "stone"}]),
        repository.upsert(["nmae"], name="stone"),
    ):
        with pytest.raises(db.UnknownColumnError, match=message):
            await attempt


async def test_a_violated_constraint_is_named(database: Database) -> None:
    async with database.transaction() as session:
        item = await Items(session).create(name="stone")
        await Components(session).create(item_id=item.id, number=1)
    taken = "uq_test_support_items_name"
    for broken, name in (
        (lambda s: Items(s).create(name="stone"), taken),
        (lambda s: Items(s).create_many([{"name": "stone"}]), taken),
        (
            lambda s: Components(s).create(item_id=1, number=1),
            "pk_test_support_components",
        ),
        (lambda s: Items(s).delete(1), None),
    ):
        with pytest.raises(db.ConstraintViolationError) as caught:
            async with database.transaction() as session:
                await broken(session)
        # Not every database names a foreign key.
        assert name in (None, caught.value.constraint)
        assert caught.value.__cause__ is not None


async def test_a_composite_key_is_a_tuple(repository: Items) -> None:
    item = await repository.create(name="stone")
    components = Components(repository.session)
    for number in (1, 2, 3):
        await components.create(item_id=item.id, number=number)
    assert (await components.get((item.id, 2))).number == 2
    await components.update((item.id, 3), number=4)
    await components.delete((item.id, 1))
    assert [component.number for component in await components.get_all()] == [2, 4]
    assert (await components.page(size=1)).next == (item.id, 2)


async def test_a_key_may_be_a_uuid(session: AsyncSession) -> None:
    labels = Repository[Label](session)
    first = await labels.create(text="first")
    assert await labels.create_many({"text": f"{n}"} for n in range(5)) == 5
    await labels.update(first.id, text="changed")
    assert (await labels.get(first.id)).text == "changed"
    assert (await labels.upsert(["id"], id=first.id, text="again")) is first
    page = await labels.page(size=4)
    rest = await labels.page(size=4, after=page.next)
    assert len({label.id for label in (*page.items, *rest.items)}) == 6
    await labels.delete(first.id)
    assert await labels.count() == 5
    with pytest.raises(db.NotFoundError):
        await labels.get(first.id)


async def test_create_many_takes_a_generator(repository: Items) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        for n in range(25_000):
            notes = {"number": n} if n % 2 else None
            seen_at = NOON if n % 3 else None
            colour = Colour.DEEP_BLUE if n % 5 else Colour.RED
            yield {"name": f"{n}", "colour": colour, "seen_at": seen_at, "notes": notes}

    assert await repository.create_many(rows()) == 25_000
    assert await repository.create_many([]) == 0
    assert await repository.count() == 25_000
    assert await repository.count(seen_at=None) == 8_334
    item = await repository.get_one(name="7")
    assert (item.size, item.colour, item.seen_at) == (1, Colour.DEEP_BLUE, NOON)
    assert item.notes == {"number": 7}
    assert item.created_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("last", "error", "message"),
    [
        ({"name": "stone"}, db.ConstraintViolationError, "uq_test_support_items_name"),
        ({"size": 1}, db.UnknownColumnError, "row 20001 has the columns size, but the"),
    ],
)
async def test_create_many_stores_all_rows_or_none(
    repository: Items, last: dict[str, Any], error: type[Exception], message: str
) -> None:
    await repository.create(name="stone")
    rows = ({"name": f"{n}"} for n in range(20_000))
    with pytest.raises(error, match=message):
        await repository.create_many([*rows, last])
    # The transaction continues, without any of them.
    await repository.create(name="sand")
    assert await repository.count() == 2


async def test_create_many_refuses_a_default_in_sql(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    column = SupportBase.metadata.tables["test_support_labels"].c.text
    monkeypatch.setattr(column, "default", ColumnDefault(func.lower("A")))
    with pytest.raises(ValueError, match=r"test_support_labels\.text has a default"):
        await Repository[Label](session).create_many([{"id": uuid4()}])


async def test_a_page_sends_one_statement_per_relationship(repository: Items) -> None:
    await create_items(repository, 60)
    with QueryCounter() as sent:
        page = await repository.page(selectinload(Item.components))
        assert [len(item.components) for item in page.items] == [2] * 50
    assert len(sent) == 2


async def test_a_page_refuses_a_nullable_order(repository: Items) -> None:
    with pytest.raises(ValueError, match=r"Item\.seen_at may be NULL"):
        await repository.page(order_by=Item.seen_at)
    computed: list[Any] = [Item.size.desc(), func.lower(Item.name), Item.components]
    for each in computed:
        with pytest.raises(ValueError, match="the order of a column of Item"):
            await repository.page(order_by=each)
    with pytest.raises(ValueError, match="a page has at least one row"):
        await repository.page(size=0)


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_cover_all_rows_in_both_directions(
    repository: Items, descending: bool
) -> None:
    for number in range(7):
        await repository.create(name=f"{number}", size=number // 3)

    async def read(**bound: Any) -> Any:
        return await repository.page(
            size=3, order_by=Item.size, descending=descending, **bound
        )

    pages = [await read()]
    while pages[-1].next:
        # A row inserted before the cursor does not move it.
        await repository.create(name=f"new {len(pages)}", size=99 if descending else -1)
        pages.append(await read(after=pages[-1].next))
    names = [item.name for page in pages for item in page.items]
    assert sorted(names) == [str(number) for number in range(7)]
    assert names == sorted(names, reverse=descending)
    assert pages[0].previous is None
    back = await read(before=pages[2].previous)
    assert back.items == pages[1].items
    assert (back.next, back.previous is not None) == (pages[1].next, True)


async def test_upsert_inserts_or_updates(repository: Items) -> None:
    first = await repository.upsert(["name"], name="stone", size=1)
    second = await repository.upsert(["name"], name="stone", size=2)
    same = await repository.upsert(["name"], name="stone")
    assert first is second is same
    assert (await repository.get_one()).size == 2


def test_a_repository_is_bound_to_its_model() -> None:
    class Subclass(Repository[Item]):
        """A repository with more queries."""

    assert vars(Subclass.__base__)["model"] is Item
    assert Repository[Item] is Repository[Item]


@pytest.mark.parametrize("load", [selectinload, joinedload])
async def test_expressions_and_loaders_are_positional(
    repository: Items, load: Any
) -> None:
    await create_items(repository, 5)
    large, loader = Item.size > 2, load(Item.components)
    found = await repository.get_all(loader, large)
    assert [len(item.components) for item in found] == [2, 2]
    assert (await repository.get_one(large, loader, name="4")).size == 4
    assert (await repository.get_last(Item.size < 4)).name == "3"
    assert await repository.count(large, Item.name != "4", loader) == 1
    assert await repository.exists(Item.size == 5, loader) is False
    page = await repository.page(large, loader, size=1)
    assert [item.name for item in page.items] == ["3"]
    message = r"no Item matches test_support_items\.size"
    with pytest.raises(db.NotFoundError, match=message):
        await repository.get_one(Item.size == 9)


async def test_a_column_may_be_named_like_a_parameter(session: AsyncSession) -> None:
    rows = Repository[OddNames](session)
    values = {"size": 1, "before": 2, "order_by": 3, "on": 4, "options": 5}
    row = await rows.create(**values)
    again = await rows.upsert(["on"], **values | {"size": 6})
    assert (again is row, row.size) == (True, 6)
    await rows.update(row.id, **values)
    for name, value in {**values, "id": row.id}.items():
        assert await rows.get_one(**{name: value}) is row
        assert await rows.count(**{name: value}) == 1
        column = getattr(OddNames, name)
        page = await rows.page(column == value, order_by=column)
        assert [*page.items] == [row]
    assert await rows.create_many([values | {"on": 7}]) == 1
