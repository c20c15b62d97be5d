"""Tests that a project made from an older template takes this one, and other answers."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from baking import TEMPLATE, Bake, BakedProject, run
from baking import environment as environment_of
from combinations import DATABASES, PROJECTS
from installing import Installed, install_project
from test_readme import MADE_HERE, commands, commit

# The first commit of this repository that rendered both databases; it knew no options.
OLD = "67fa5b3175b19960c407474c1d6324998ff5abe7"

PROJECT_README = "templates/en/README.md"


def has_history() -> bool:
    """Tell whether git and the older template are there."""
    command = ("git", "-C", str(TEMPLATE), "cat-file", "-e", f"{OLD}^{{commit}}")
    return (
        shutil.which("git") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not has_history(),
        reason=f"this checkout has no commit {OLD[:7]}: git fetch --unshallow",
    ),
    pytest.mark.skipif(
        sys.platform == "win32", reason="cruft does not support Windows"
    ),
]


class Project(BakedProject):
    """A project in git that cruft made from the older template, and what it came from."""

    @property
    def template(self) -> Path:
        """The repository of the template; the newest commit holds what is tested."""
        return self.path.parent / "template"

    @property
    def env(self) -> dict[str, str]:
        """An environment with a home folder of its own, and a name for git."""
        who = {"NAME": "Ada", "EMAIL": "ada@example.com"}
        names = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in who.items()
        }
        home = self.path.parent / "home"
        return environment_of(home, GIT_CONFIG_NOSYSTEM="1", **names)

    def git(self, *arguments: str) -> str:
        """Run git in the project."""
        return run("git", *arguments, cwd=self.path, env=self.env).stdout

    def cruft(self, *arguments: str) -> str:
        """Run the template's own cruft, which takes nothing from the network."""
        cruft = (sys.executable, "-m", "cruft", *arguments)
        return run(*cruft, cwd=self.path, env=self.env).stdout

    def change(self, name: str, old: str, new: str) -> None:
        """Edit a file as its owner would."""
        text = self.read(name)
        assert text.count(old) == 1, (name, old)
        (self.path / name).write_text(text.replace(old, new), encoding="utf-8")

    def edit(self) -> dict[str, str]:
        """Make a field, a default, a setting and a chapter of one's own; map them to files."""
        package = f"src/{self.slug}"
        field = "    city: Mapped[str | None]\n"
        name = "    name: Mapped[str]\n"
        self.change(f"{package}/models/user.py", name, name + field)
        default = "    database_slow_query_ms: float = Field(default=500, ge=0)\n"
        mine = default.replace("500", "250")
        self.change(f"{package}/dialect.py", default, mine)
        app_env = '    app_env: Literal["development", "test", "production"] = "development"\n'
        setting = '    greeting: str = "Hello"\n'
        self.change(f"{package}/settings.py", app_env, app_env + setting)
        example = "# APP_ENV=development\n"
        hint = "\n# What visitors are told.\n# GREETING=Hello\n"
        self.change(".env.example", example, example + hint)
        chapter = "## Who we are\n\nAsk Ada.\n\n"
        self.change("README.md", "## Licence\n", f"{chapter}## Licence\n")
        return {
            ".env.example": hint,
            f"{package}/models/user.py": field,
            f"{package}/dialect.py": mine,
            f"{package}/settings.py": setting,
            "README.md": chapter,
        }

    def commit(self) -> None:
        """Commit what is new."""
        commit(self.path, self.env)

    def conflicts(self) -> list[str]:
        """List what did not merge."""
        marked = ("git", "grep", "--name-only", "-e", "^<<<<<<< ", "-e", "^>>>>>>> ")
        done = run(*marked, cwd=self.path, env=self.env, status=None)
        return sorted([*done.stdout.splitlines(), *self.files("*.rej")])

    def differences(self, fresh: BakedProject) -> list[str]:
        """List the files that are not as in a fresh render."""
        known = self.git("ls-files").splitlines()
        mine = {name: (self.path / name).read_bytes() for name in known}
        del mine[".cruft.json"]
        theirs = {name: content for name, (content, _) in fresh.contents().items()}
        return sorted(
            name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name)
        )


Make = Callable[[str], Project]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Give a function that makes a project on a database from the older template."""

    def create(database: str) -> Project:
        project = Project(tmp_path / "async_app", PROJECTS[database])
        run(
            *("git", "clone", "--quiet", "--no-checkout", TEMPLATE, project.template),
            cwd=tmp_path,
            env=project.env,
        )

        def in_template(*arguments: str) -> None:
            run("git", *arguments, cwd=project.template, env=project.env)

        in_template("checkout", "--quiet", "-B", "main", OLD)
        answers = json.dumps({"database": database})
        create = ("create", str(project.template), "--no-input")
        cruft = (sys.executable, "-m", "cruft")
        run(*cruft, *create, "--extra-context", answers, cwd=tmp_path, env=project.env)
        project.commit()
        # The work tree as it is, which may hold more than is committed.
        in_template("rm", "-r", "--quiet", ".")
        ignored = shutil.ignore_patterns(*MADE_HERE)
        shutil.copytree(TEMPLATE, project.template, ignore=ignored, dirs_exist_ok=True)
        commit(project.template, project.env)
        return project

    return create


def update(project: Project, **answers: str | bool) -> None:
    """Do what the README of the project says, with answers in the place of its example."""
    said = [
        each.removeprefix("uvx cruft ")
        for each in commands((TEMPLATE / PROJECT_README).read_text(encoding="utf-8"))
        if each.startswith("uvx cruft update ")
    ]
    plain, other = said
    words = shlex.split(plain if not answers else other.partition("'")[0])
    project.cruft(*words, *([json.dumps(answers)] if answers else []))


@pytest.mark.parametrize("database", DATABASES)
def test_what_was_edited_survives_an_update(
    baked: Bake, make: Make, database: str
) -> None:
    project = make(database)
    edits = project.edit()
    project.commit()
    update(project)
    project.commit()
    assert project.conflicts() == []
    assert [
        name for name, mine in edits.items() if mine not in project.read(name)
    ] == []
    # All else is as new.
    assert project.differences(baked(database=database)) == sorted(edits)
    assert "SUCCESS" in project.cruft("check")


@pytest.mark.parametrize("database", DATABASES)
def test_an_answer_can_be_changed_later(baked: Bake, make: Make, database: str) -> None:
    project = make(database)
    update(project)
    project.commit()
    for answers in ({"api": True}, {"api": False, "search": True}):
        update(project, **answers)
        project.commit()
        assert project.conflicts() == []
        assert project.differences(baked(database=database, **answers)) == []
        assert "SUCCESS" in project.cruft("check")
    # Without revisions of one's own, as in a project that has not begun.
    (other,) = set(DATABASES) - {database}
    update(project, database=other, search=False)
    project.commit()
    assert project.conflicts() == []
    assert project.differences(baked(database=other)) == []


def test_an_updated_project_works_and_keeps_its_migrations_in_their_order(
    make: Make, uv_environment: dict[str, str]
) -> None:
    project = make("sqlite")
    installed = Installed(project, project.env | uv_environment)

    install_project(project.path, installed.env)
    project.edit()
    installed.alembic("upgrade", "head")
    installed.alembic("revision", "--autogenerate", "-m", "add city")
    versions = project.path / "src" / "async_app" / "migrations" / "versions"
    (written,) = versions.glob("*_add_city.py")
    # Edited, and accepted as the guide says.
    written.write_text(written.read_text() + "\n\n# The city is where letters go to.\n")
    installed.run("async_app.migrations.checksums", "accept")
    installed.alembic("upgrade", "head")
    project.commit()
    before = installed.alembic("history")

    update(project)
    project.commit()
    assert project.conflicts() == []
    install_project(project.path, installed.env)
    assert installed.alembic("history") == before
    installed.alembic("check")
    installed.run("pytest", "-q")

    # Another answer brings files and no revision ...
    update(project, api=True)
    project.commit()
    assert project.conflicts() == []
    # ... or a revision beside one's own: as when two people add one, git says so.
    update(project, search=True)
    checksums = "src/async_app/migrations/checksums.txt"
    assert project.conflicts() == [checksums]
    both = re.sub(r"^[<=>]{7}.*\n", "", project.read(checksums), flags=re.MULTILINE)
    (project.path / checksums).write_text(both)
    project.commit()
    install_project(project.path, installed.env)
    installed.alembic("merge", "heads", "-m", "merge search and mine")
    installed.alembic("upgrade", "head")
    installed.alembic("check")
    installed.run("pytest", "-q", "tests/test_migrations.py", "tests/api/test_app.py")
    installed.run("black", "--check", "--quiet", ".")
    installed.run("ruff", "check", "--quiet", ".")
    installed.run("mypy")
