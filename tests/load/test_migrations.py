"""Run the recipes of the guide to migrations while clients read and write."""

import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from textwrap import dedent, indent
from threading import Event
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from support.combinations import PROJECTS
from support.installing import Install
from support.migrating import (
    MODELS,
    REVISION,
    MigratedProject,
    copy_project,
    find_psql,
    run_embedded_server,
    wait_until,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX paths")

ROWS = 60_000
REQUESTS_A_SECOND = 30
REQUESTS = [("GET", "/books/{id}"), ("POST", "/books"), ("PATCH", "/books/{id}")]
TOKEN = "0123456789abcdef"

MODEL = '''
class Mood(enum.Enum):
    """Moods."""

{moods}


class Book(Model):
    """Books."""

    title: Mapped[str]
{columns}
'''
ROUTES = '''"""Routes of books."""

from typing import Any

from fastapi import APIRouter

from ...db import Repository
from ...models.book import Book, Mood
from ..dependencies import ReadSessionDep, SessionDep

router = APIRouter(prefix="/books")


def values() -> dict[str, Any]:
    """Return the values that this version of the code writes."""
    return dict(title="t", {values})


@router.get("/{{book_id}}")
async def read_books(session: ReadSessionDep, book_id: int) -> list[str]:
    """Read a book, the newest and the oldest ones; each has the value that is read."""
    books = Repository[Book](session)
    found = [await books.get(book_id), await books.get_last()]
    found += (await books.page(size=5)).items
    return [book.{read}.lower() for book in found]


@router.post("", status_code=201)
async def create_book(session: SessionDep) -> int:
    """Create a book."""
    return (await Repository[Book](session).create(**values())).id


@router.patch("/{{book_id}}")
async def update_book(session: SessionDep, book_id: int) -> str:
    """Change a book that was read first."""
    await Repository[Book](session).get(book_id)
    return repr(await Repository[Book](session).update(book_id, **values()))
'''


@dataclass(frozen=True)
class Code:
    """A version of the code, which starts beside the one before it and then replaces it."""

    columns: str
    values: str
    moods: str = 'CALM = "calm"'
    read: str = "title"
    migrates: bool = False


IMPORT_ONLINE = "from async_app.db.migration import online\n"
NULLABLE = "writer: Mapped[str | None]"

PLAIN = Code(f"{NULLABLE}\nseries: Mapped[int]", "series=1")
OLD = Code("author: Mapped[str]", "author='a'", read="author")
BOTH = replace(
    OLD,
    columns=f"author: Mapped[str | None]\n{NULLABLE}",
    values="author='a', writer='a'",
)
SAD = Code("mood: Mapped[Mood]", "mood=Mood.SAD", 'CALM = "calm"\nSAD = "sad"')
GLAD = replace(
    SAD, values="mood=Mood.CALM", moods='CALM = "calm"\nGLAD = "glad"', migrates=True
)


def rename(expand: str, fill: str, *contract: str) -> list[Code | str]:
    """Rename a column that is NOT NULL, in four steps."""
    both_read_new = replace(BOTH, read="writer")
    new = Code(NULLABLE, "writer='a'", read="writer")
    return [OLD, expand, BOTH, fill, both_read_new, new, *contract]


# Code that is deployed, and revisions that are applied.
RECIPES: dict[str, list[Code | str]] = {
    "helpers": [
        PLAIN,
        replace(PLAIN, values="series=1, writer='w'"),
        """
        empty = sa.column("writer").is_(None)
        online.backfill("books", {"writer": "unknown"}, where=empty)
        online.set_not_null("books", "writer")
        online.create_index_concurrently("ix_books_writer", "books", ["writer"])
        online.add_foreign_key("fk", "books", "series", ["series"], ["id"])
        online.add_check("ck", "books", "series > 0")
        """,
    ],
    "rename": rename(
        """
        op.add_column("books", sa.Column("writer", sa.String()))
        op.alter_column("books", "author", nullable=True)
        """,
        """
        empty = sa.column("writer").is_(None)
        online.backfill("books", {"writer": sa.column("author")}, where=empty)
        """,
        'online.set_not_null("books", "writer")',
        'op.drop_column("books", "author")',
    ),
    "enum": [
        SAD,
        replace(SAD, values="mood=Mood.CALM"),
        """
        calm, sad = sa.text("'calm'"), sa.text("mood = 'sad'")
        online.backfill("books", {"mood": calm}, where=sad)
        """,
        GLAD,
        replace(GLAD, values="mood=Mood.GLAD", migrates=False),
    ],
    "bigint": [
        Code("pages: Mapped[int]", "pages=1"),
        'op.alter_column("books", "pages", type_=sa.BigInteger())',
        Code("pages: Mapped[int] = mapped_column(sa.BigInteger)", "pages=2**33"),
    ],
}
ON_SQLITE = rename(
    """
    with op.batch_alter_table("books") as batch_op:
        batch_op.add_column(sa.Column("writer", sa.String()))
        batch_op.alter_column("author", nullable=True)
    """,
    'op.execute("UPDATE books SET writer = author WHERE writer IS NULL")',
    """
    with op.batch_alter_table("books") as batch_op:
        batch_op.alter_column("writer", nullable=False)
        batch_op.drop_column("author")
    """,
)


@pytest.fixture
def project(
    database: str, installed: Install, tmp_path: Path
) -> Iterator[MigratedProject]:
    """A copy of a project with an API, and its database."""
    environment = installed(PROJECTS[f"{database}-api-bare"])
    python, env = environment.python, environment.env
    project = MigratedProject(
        rendered=copy_project(environment.project, tmp_path),
        database=database,
        url=f"sqlite:///{tmp_path / 'app.db'}",
        python=python,
        env=env,
        folder=tmp_path,
    )
    if database == "sqlite":
        yield project
        return
    with run_embedded_server(project.rendered, python, env) as url:
        yield replace(project, url=url, psql_path=find_psql(python))


def write_code(project: MigratedProject, code: Code) -> None:
    """Write the model and the routes of a version of the code, and migrate if it does."""
    package = project.rendered.package
    moods, columns = indent(code.moods, "    "), indent(code.columns, "    ")
    model = MODELS + MODEL.format(moods=moods, columns=columns)
    (package / "models" / "book.py").write_text(model)
    routes = ROUTES.format(values=code.values, read=code.read)
    (package / "api" / "routes" / "books.py").write_text(routes)
    if code.migrates:
        project.alembic("revision --autogenerate -m change", "upgrade head")


def migrate(project: MigratedProject, up: str) -> None:
    """Write a revision by hand and apply it."""
    follows, name = project.version()[0], uuid4().hex
    helpers = IMPORT_ONLINE if project.database == "postgresql" else ""
    up = indent(helpers + dedent(up).strip() + "\n", "    ")
    text = REVISION.format(name=name, follows=follows, up=up, down="    pass")
    (project.versions / f"{name}.py").write_text(text)
    project.alembic("upgrade head")


@contextmanager
def served(project: MigratedProject) -> Iterator[int]:
    """Serve the API and yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    log = project.folder / f"{port}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [project.python, "-m", "async_app", "serve"],
            cwd=project.rendered.path,
            env=project.variables | {"API_PORT": str(port), "API_TOKEN": TOKEN},
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: process.poll() is not None or listens())
        assert process.poll() is None, log.read_text()
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def clients(ports: list[int]) -> Iterator[Counter[str]]:
    """Send requests to the servers that the list names; yield the count of answers."""
    answers: Counter[str] = Counter()
    stopped = Event()

    def send(number: int) -> None:
        method, path = REQUESTS[number % len(REQUESTS)]
        port = ports[number // len(REQUESTS) % len(ports)]
        request = Request(
            f"http://127.0.0.1:{port}{path.format(id=number % ROWS + 1)}",
            method=method,
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        try:
            with urlopen(request, timeout=60) as response:
                answers[f"{method} {response.status}"] += 1
        except HTTPError as error:
            with error:
                answers[f"{method} {error.code} {error.read().decode()}"] += 1
        except OSError as error:
            answers[f"{method} {error!r}"] += 1

    def send_all() -> None:
        for number in count():
            if stopped.wait(1 / REQUESTS_A_SECOND):
                return
            pool.submit(send, number)

    with ThreadPoolExecutor(200) as pool:
        pool.submit(send_all)
        try:
            yield answers
        finally:
            stopped.set()


@pytest.mark.parametrize(
    ("database", "steps"),
    [*(("postgresql", steps) for steps in RECIPES.values()), ("sqlite", ON_SQLITE)],
    ids=[*RECIPES, "rename-on-sqlite"],
)
def test_no_request_fails_while_a_recipe_runs(
    project: MigratedProject, steps: list[Code | str]
) -> None:
    first, *rest = steps
    assert isinstance(first, Code)
    write_code(project, replace(first, migrates=True))
    values = {"author": "'a'", "mood": "'sad'", "pages": "1", "series": "1"}
    given = {name: values[name] for name in values if name in first.columns}
    project.execute_all(
        "CREATE TABLE series (id int PRIMARY KEY)",
        "INSERT INTO series VALUES (1)",
        f"INSERT INTO books (title, {', '.join(given)})"
        f" WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers"
        f" WHERE n < {ROWS}) SELECT n, {', '.join(given.values())} FROM numbers",
    )
    with ExitStack() as stack:
        servers = [stack.enter_context(ExitStack())]
        ports = [servers[0].enter_context(served(project))]
        with clients(ports) as answers:
            for step in rest:
                time.sleep(0.5)
                if isinstance(step, str):
                    migrate(project, step)
                    continue
                write_code(project, step)
                servers.append(stack.enter_context(ExitStack()))
                ports.append(servers[-1].enter_context(served(project)))
                time.sleep(0.5)
                del ports[0]
                time.sleep(0.2)
                servers[-2].close()
            time.sleep(0.5)
    print(dict(answers))
    assert {answer[:8] for answer in answers} == {"GET 200", "POST 201", "PATCH 20"}
