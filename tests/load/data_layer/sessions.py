"""Promises to callers who make a mistake, or are cancelled; runs in a rendered project."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest
from async_app.db import ConstraintViolationError, Database, Repository
from async_app.settings import Settings
from sqlalchemy import event, select, text, update
from sqlalchemy.exc import DBAPIError, InvalidRequestError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncSession
from support.models import Item

pytestmark = pytest.mark.usefixtures("items")

Work = Callable[[AsyncSession], Awaitable[Any]]


async def stored(database: Database) -> list[str]:
    """Return the stored names, and check that no connection is in use."""
    assert database.pool_status()["in_use"] == 0
    async with asyncio.timeout(20):
        async with database.read_session() as session:
            names = select(Item.name).order_by(Item.name)
            return list(await session.scalars(names))


async def create(session: AsyncSession) -> None:
    await Repository[Item](session).create(name="stone")


async def create_many(session: AsyncSession) -> None:
    await Repository[Item](session).create_many([{"name": "stone"}])


async def change(session: AsyncSession) -> None:
    item = await Repository[Item](session).create(name="sand")
    await Repository[Item](session).update(item.id, name="stone")


async def upsert(session: AsyncSession) -> None:
    await Repository[Item](session).upsert(["id"], id=99, name="stone")


async def execute(session: AsyncSession) -> None:
    await session.execute(text("SELECT missing FROM nowhere"))


async def flush(session: AsyncSession) -> None:
    session.add(Item(name="stone"))
    await session.flush()


async def savepoint_released(session: AsyncSession) -> None:
    async with session.begin_nested():
        await swallow(session, upsert)


async def swallow(session: AsyncSession, work: Work) -> None:
    """Run work, and go on after its error."""
    with suppress(ConstraintViolationError, DBAPIError):
        await work(session)


FAILURES = [create, change, upsert, execute, flush]


@pytest.mark.parametrize("work", FAILURES)
@pytest.mark.parametrize("more", [False, True])
async def test_a_swallowed_error_fails_the_block(
    database: Database, work: Work, more: bool
) -> None:
    async with database.transaction() as session:
        session.add(Item(name="stone"))
    with pytest.raises(
        PendingRollbackError, match=r"begin_nested.*(?i:unique|nowhere)"
    ):
        async with database.transaction() as session:
            await Repository[Item](session).create(name="precious")
            await swallow(session, work)
            if more:
                with pytest.raises(PendingRollbackError, match="Original exception"):
                    await session.execute(select(Item))
    assert await stored(database) == ["stone"]


async def test_a_savepoint_released_after_an_error_fails(database: Database) -> None:
    async with database.transaction() as session:
        session.add(Item(name="stone"))
    with pytest.raises(PendingRollbackError):
        async with database.transaction() as session:
            session.add(Item(name="precious"))
            await savepoint_released(session)
    assert await stored(database) == ["stone"]


@pytest.mark.parametrize("work", [*FAILURES, create_many])
async def test_an_error_in_a_savepoint_loses_only_that(
    database: Database, work: Work
) -> None:
    async with database.transaction() as session:
        session.add(Item(name="stone"))
    async with database.transaction() as session:
        await Repository[Item](session).create(name="precious")
        for _ in range(2):
            with suppress(ConstraintViolationError, DBAPIError):
                async with session.begin_nested():
                    await work(session)
        await Repository[Item](session).create(name="later")
    assert await stored(database) == ["later", "precious", "stone"]


async def test_run_in_transaction_stores_nothing_after_an_error(
    database: Database,
) -> None:
    async def work(session: AsyncSession) -> None:
        await Repository[Item](session).create(name="precious")
        await swallow(session, execute)

    with pytest.raises(PendingRollbackError):
        await database.run_in_transaction(work)
    assert await stored(database) == []


async def test_an_error_while_reading_costs_only_that_statement(
    database: Database,
) -> None:
    async with database.read_session() as session:
        await swallow(session, execute)
        assert (await session.scalars(select(Item))).all() == []


Arm = Callable[[float], Any]


async def cancel_by_task(work: Callable[[Arm], Awaitable[None]]) -> bool:
    """Run work, which is cancelled so many seconds after it calls its argument.

    Returns:
        Whether it ended normally.
    """
    later = asyncio.get_running_loop().call_later

    def arm(delay: float) -> None:
        later(delay, task.cancel)

    task = asyncio.ensure_future(work(arm))
    [result] = await asyncio.gather(task, return_exceptions=True)
    return result is None


async def cancel_by_timeout(work: Callable[[Arm], Awaitable[None]]) -> bool:
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(None) as timeout:
            await work(lambda delay: timeout.reschedule(clock() + delay))
    except TimeoutError:
        return False
    return True


async def cancel_by_anyio(work: Callable[[Arm], Awaitable[None]]) -> bool:
    try:
        with anyio.fail_after(None) as scope:

            def arm(delay: float) -> None:
                scope.deadline = anyio.current_time() + delay

            await work(arm)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("cancel", [cancel_by_task, cancel_by_timeout, cancel_by_anyio])
async def test_a_commit_that_was_sent_decides(
    database: Database, cancel: Callable[..., Awaitable[bool]]
) -> None:
    chance = random.Random(7)
    clock = asyncio.get_running_loop().time
    ended: list[int] = []
    longest = 0.01

    async def write(number: int, arm: Arm) -> None:
        async with database.transaction() as session:
            await session.execute(select(Item.id).limit(1))
            delay = chance.random() * longest
            if number % 2:
                arm(delay)
            session.add(Item(name=f"{number:03}"))
            await session.flush()
            if not number % 2:
                arm(delay)

    started = clock()
    for number in range(900, 920):
        await write(number, lambda _delay: None)
    longest = (clock() - started) / 20
    for number in range(100):
        if await cancel(partial(write, number)):
            ended.append(number)
    names = [int(name) for name in await stored(database)]
    assert [number for number in names if number < 900] == ended
    assert [number for number in ended if not number % 2] == [*range(0, 100, 2)]


async def test_a_cancellation_during_commit_comes_afterwards(
    database: Database,
) -> None:
    after: list[str] = []

    async def write() -> None:
        async with database.transaction() as session:
            session.add(Item(name="stone"))
        after.append("stored")
        await asyncio.sleep(60)

    def cancel(_connection: Any) -> None:
        asyncio.get_running_loop().call_soon(task.cancel)

    event.listen(database.engine.sync_engine, "commit", cancel)
    task = asyncio.create_task(write())
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    assert after == ["stored"]
    assert await stored(database) == ["stone"]


async def leave(database: Database) -> AsyncSession:
    async with database.transaction() as session:
        session.add(Item(name="stone"))
    return session


async def leave_reader(database: Database) -> AsyncSession:
    async with database.read_session() as session:
        await session.execute(select(Item))
    return session


LATE_USES: list[Callable[[AsyncSession], Any]] = [
    lambda session: session.execute(select(Item)),
    lambda session: session.execute(update(Item).values(size=2)),
    lambda session: session.get(Item, 1),
    lambda session: session.connection(),
    lambda session: session.commit(),
    lambda session: Repository[Item](session).create(name="late"),
    lambda session: Repository[Item](session).create_many([{"name": "late"}]),
]


@pytest.mark.parametrize("late_use", LATE_USES)
@pytest.mark.parametrize("opened", [leave, leave_reader])
async def test_a_session_used_after_its_block_raises(
    database: Database, opened: Any, late_use: Any
) -> None:
    session = await opened(database)
    with pytest.raises(InvalidRequestError, match="closed"):
        await late_use(session)
    assert await stored(database) == (["stone"] if opened is leave else [])


@pytest.mark.parametrize("kind", ["transaction", "read_session"])
async def test_tasks_that_share_a_session_leave_no_connection(
    database: Database, kind: str
) -> None:
    for number in range(20):
        # Whether SQLAlchemy notices depends on the moment.
        with suppress(InvalidRequestError, DBAPIError):
            async with asyncio.timeout(20), getattr(database, kind)() as session:
                tasks = (session.execute(select(Item)) for _ in range(2 + number % 3))
                await asyncio.gather(*tasks)
        assert await stored(database) == []


async def test_a_task_that_outlives_its_block_leaves_no_connection(
    database: Database,
) -> None:
    for number in range(20):
        tasks: list[Any] = []
        with suppress(InvalidRequestError, DBAPIError):
            async with asyncio.timeout(20), database.transaction() as session:
                tasks.append(asyncio.create_task(session.execute(select(Item))))
                for _ in range(number):
                    await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await stored(database) == []


async def test_an_abandoned_generator_leaves_no_connection(database: Database) -> None:
    async def rows() -> AsyncIterator[Item]:
        async with database.transaction() as session:
            for item in await session.scalars(select(Item)):
                yield item

    await leave(database)
    async for _ in rows():
        break
    # The event loop closes the generator in a task.
    await asyncio.sleep(0.01)
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    assert await stored(database) == ["stone"]


FORK = """
import asyncio, os, sys
from async_app.db import Database
from async_app.settings import Settings
from support.models import Item

database = Database(Settings(_env_file=None, database_url=sys.argv[1]))

async def write(name):
    async with asyncio.timeout(10), database.transaction() as session:
        session.add(Item(name=name))
    async with asyncio.timeout(10):
        await database.ping()

loop = asyncio.new_event_loop()
loop.run_until_complete(write("before"))
child = os.fork()
if not child:
    asyncio.set_event_loop(None)
    asyncio.run(write("child"))
    os._exit(0)
status = os.waitpid(child, 0)[1]
loop.run_until_complete(write("parent"))
loop.run_until_complete(database.close())
sys.exit(os.waitstatus_to_exitcode(status))
"""


async def test_a_forked_process_opens_its_own_connections(
    database: Database,
) -> None:
    url = database.settings.sqlalchemy_url.render_as_string(hide_password=False)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FORK, url),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert await asyncio.wait_for(child.wait(), 60) == 0
    assert await stored(database) == ["before", "child", "parent"]


async def test_a_second_event_loop_is_refused(settings: Settings) -> None:
    database = Database(settings)
    await database.ping()

    def ping_elsewhere() -> None:
        asyncio.run(database.ping())

    with pytest.raises(InvalidRequestError, match="another event loop"):
        await asyncio.to_thread(ping_elsewhere)
    await database.close()
    await asyncio.to_thread(asyncio.run, ping_and_close(database))


async def ping_and_close(database: Database) -> None:
    await database.ping()
    await database.close()


async def test_values_are_in_no_error(database: Database) -> None:
    async with database.transaction() as session:
        with pytest.raises(DBAPIError) as caught:
            await session.execute(text("SELECT nothing, :name"), {"name": "secret"})
        await session.rollback()
    assert "secret" not in str(caught.value)
