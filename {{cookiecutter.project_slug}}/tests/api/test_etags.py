"""Tests of versions."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from pydantic import BaseModel, ConfigDict

from {{cookiecutter.project_slug}}.api.dependencies import (
    Reader,
    Session,
)
from {{cookiecutter.project_slug}}.api.etags import (
    IfMatch,
    IfNoneMatch,
    etag,
)
from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.repository import Repository

from thing import Thing


class ThingOut(BaseModel):
    """A thing as it is served."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str


@pytest.fixture
async def path(
    app: FastAPI, client: AsyncClient, database: Database, things: None
) -> str:
    """Where a thing is served that can be changed."""

    @app.get("/things/{id}", response_model=ThingOut)
    async def get_thing(session: Reader, id: int, known: IfNoneMatch) -> Any:
        row = await Repository[Thing](session).get(id)
        return known.answer(ThingOut.model_validate(row))

    @app.put("/things/{id}")
    async def rename(session: Session, id: int, name: str, seen: IfMatch) -> None:
        await seen.check(session, Thing, id, ThingOut)
        await asyncio.sleep(0.2)
        await Repository[Thing](session).update(id, name=name)

    async with database.transaction() as session:
        return f"/things/{(await Repository[Thing](session).create(name='a')).id}"


def test_a_version_changes_with_what_it_is_of() -> None:
    one, same = ThingOut(id=1, name="a"), ThingOut(id=1, name="a")
    assert etag(one) == etag(same)
    assert etag(one) != etag(ThingOut(id=1, name="b"))
    assert etag(one).strip('"').isalnum()


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("{}", 304),
        ("W/{}", 304),
        ('"x", {}', 304),
        ("*", 304),
        ('"x"', 200),
        ("", 200),
    ],
)
async def test_what_is_known_is_not_sent_again(
    client: AsyncClient, path: str, given: str, status: int
) -> None:
    version = (await client.get(path)).headers["etag"]
    known = {"If-None-Match": given.format(version)}
    response = await client.get(path, headers=known)
    assert response.status_code == status
    assert response.headers["etag"] == version
    assert response.headers["cache-control"] == "private, no-cache"
    assert bool(response.content) == (status == 200)


@pytest.mark.parametrize(
    ("given", "status"),
    [(None, 428), ('"x"', 412), ("", 412), ("{}", 200), ("*", 200), ('"x",{}', 200)],
)
async def test_what_was_not_seen_is_not_changed(
    client: AsyncClient, path: str, given: str | None, status: int
) -> None:
    version = (await client.get(path)).headers["etag"]
    seen = {} if given is None else {"If-Match": given.format(version)}
    response = await client.put(f"{path}?name=b", headers=seen)
    assert response.status_code == status
    expected = "b" if status == 200 else "a"
    assert (await client.get(path)).json()["name"] == expected


async def test_of_several_who_have_seen_the_same_one_wins(
    client: AsyncClient, path: str
) -> None:
    seen = {"If-Match": (await client.get(path)).headers["etag"]}
    changes = [client.put(f"{path}?name=b{n}", headers=seen) for n in range(4)]
    answers = await asyncio.gather(*changes)
    assert sorted(each.status_code for each in answers) == [200, 412, 412, 412]


async def test_what_does_not_exist_has_no_version(
    client: AsyncClient, path: str
) -> None:
    response = await client.put("/things/999?name=b", headers={"If-Match": "*"})
    assert response.status_code == 404
