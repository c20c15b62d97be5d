"""Fixtures of tests that migrate: a rendered project with a database for each test."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from support.combinations import PROJECTS
from support.installing import Install
from support.migrating import (
    Create,
    MigratedProject,
    copy_project,
    find_psql,
    run_embedded_server,
)
from support.render import Render

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder on Windows."""
    skip = pytest.mark.skipif(
        sys.platform == "win32", reason="kills processes with POSIX signals"
    )
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def new_server_url(
    tmp_path_factory: pytest.TempPathFactory,
    installed: Install,
) -> Iterator[Callable[[], str]]:
    """Return a function that names a new database on a server, which it starts if needed."""
    with ExitStack() as stack:
        started: list[str] = []

        def new_url() -> str:
            project = installed(PROJECTS["postgresql-bare"])
            if not started:
                copy = copy_project(project.project, tmp_path_factory.mktemp("server"))
                server = run_embedded_server(copy, project.python, project.env)
                started.append(stack.enter_context(server))
            return started[0].rpartition("/")[0] + f"/test_{uuid4().hex}"

        yield new_url


@pytest.fixture
def create_project(
    tmp_path: Path,
    rendered: Render,
    installed: Install,
    new_server_url: Callable[[], str],
) -> Create:
    """Return a function that copies a rendered project and creates its empty database."""

    def create(name: str) -> MigratedProject:
        answers = PROJECTS[name]
        database = str(answers["database"])
        environment = installed(PROJECTS[f"{database}-bare"])
        folder = tmp_path / "a path with spaces"
        project = MigratedProject(
            rendered=copy_project(rendered(**answers), folder),
            database=database,
            url=f"sqlite:///{folder / 'app.db'}",
            python=environment.python,
            env=environment.env,
            folder=folder,
        )
        if database == "sqlite":
            return project
        url = new_server_url()
        psql = find_psql(environment.python)
        server, _, created = url.rpartition("/")
        replace(project, url=f"{server}/postgres", psql_path=psql).sql(
            f"CREATE DATABASE {created}"
        )
        return replace(project, url=url, psql_path=psql)

    return create


@pytest.fixture
def project(database: str, create_project: Create) -> MigratedProject:
    """A project without models or revisions, and its database."""
    return create_project(f"{database}-bare")
