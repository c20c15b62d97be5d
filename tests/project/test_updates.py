"""Test that cruft carries an old project to this template, and to other answers."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.combinations import DATABASES, PROJECTS
from support.documents import commands
from support.git import commit
from support.installing import Installed, install_project
from support.render import (
    BUILD_ARTIFACTS,
    TEMPLATE,
    Render,
    RenderedProject,
    clean_environment,
    run,
)

# The first commit that rendered both databases, still without options.
OLD_COMMIT = "67fa5b3175b19960c407474c1d6324998ff5abe7"

PROJECT_README = "templates/en/README.md"

# Lines of the project, and the edits of its owner.
FIELD = "    city: Mapped[str | None]\n"
DEFAULT = "    database_slow_query_ms: float = Field(default=500, ge=0)\n"
MY_DEFAULT = DEFAULT.replace("500", "250")
APP_ENV = '    app_env: Literal["development", "test", "production"] = "development"\n'
SETTING = '    greeting: str = "Hello"\n'
EXAMPLE = "# APP_ENV=development\n"
HINT = "\n# Text that visitors see.\n# GREETING=Hello\n"
CHAPTER = "## Who we are\n\nAsk Ada.\n\n"


def has_history() -> bool:
    """Tell whether git is installed and the checkout has the older template."""
    command = ("git", "-C", str(TEMPLATE), "cat-file", "-e", f"{OLD_COMMIT}^{{commit}}")
    return (
        shutil.which("git") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


pytestmark = [
    pytest.mark.skipif(
        not has_history(),
        reason=f"this checkout has no commit {OLD_COMMIT[:7]}: git fetch --unshallow",
    ),
    pytest.mark.skipif(
        sys.platform == "win32", reason="cruft does not support Windows"
    ),
]


class Project(RenderedProject):
    """A project that cruft created from the older template, in git."""

    @property
    def template(self) -> Path:
        """The repository of the template; its newest commit is the tested one."""
        return self.path.parent / "template"

    @property
    def env(self) -> dict[str, str]:
        """Environment variables with a separate home folder, and a name for git."""
        who = {"NAME": "Ada", "EMAIL": "ada@example.com"}
        names = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in who.items()
        }
        home = self.path.parent / "home"
        return clean_environment(home, GIT_CONFIG_NOSYSTEM="1", **names)

    def git(self, *arguments: str) -> str:
        """Run git in the project."""
        return run("git", *arguments, cwd=self.path, env=self.env).stdout

    def cruft(self, *arguments: str) -> str:
        """Run the template's own cruft, without the network."""
        cruft = (sys.executable, "-m", "cruft", *arguments)
        return run(*cruft, cwd=self.path, env=self.env).stdout

    def change(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file."""
        text = self.read(name)
        assert text.count(old) == 1, (name, old)
        (self.path / name).write_text(text.replace(old, new), encoding="utf-8")

    def edit(self) -> None:
        """Add a field, a default, a setting and a chapter, as an owner would."""
        package = f"src/{self.slug}"
        name = "    name: Mapped[str]\n"
        self.change(f"{package}/models/user.py", name, name + FIELD)
        self.change(f"{package}/dialect.py", DEFAULT, MY_DEFAULT)
        self.change(f"{package}/settings.py", APP_ENV, APP_ENV + SETTING)
        self.change(".env.example", EXAMPLE, EXAMPLE + HINT)
        self.change("README.md", "## Licence\n", f"{CHAPTER}## Licence\n")

    def resolve(self, fresh: RenderedProject) -> dict[str, str]:
        """Take rejected files from a new project, repeat the edits, and map files to them."""
        package = f"src/{self.slug}"
        rejected = [".env.example", "README.md", f"{package}/settings.py"]
        assert self.conflicts() == [f"{name}.rej" for name in rejected]
        for name in rejected:
            (self.path / f"{name}.rej").unlink()
            shutil.copy(fresh.path / name, self.path / name)
        # The file that moved stays in its old place, with its edit.
        assert MY_DEFAULT in self.read(f"{package}/dialect.py")
        (self.path / f"{package}/dialect.py").unlink()
        self.change(f"{package}/db/settings.py", DEFAULT, MY_DEFAULT)
        self.change(f"{package}/settings.py", APP_ENV, APP_ENV + SETTING)
        self.change(".env.example", EXAMPLE, EXAMPLE + HINT)
        self.change("README.md", "## Licence\n", f"{CHAPTER}## Licence\n")
        self.commit()
        edits = {
            ".env.example": HINT,
            f"{package}/db/settings.py": MY_DEFAULT,
            f"{package}/models/user.py": FIELD,
            f"{package}/settings.py": SETTING,
            "README.md": CHAPTER,
        }
        assert [
            name for name, edit in edits.items() if edit not in self.read(name)
        ] == []
        return edits

    def commit(self) -> None:
        """Commit all changes."""
        commit(self.path, self.env)

    def conflicts(self) -> list[str]:
        """List the files with conflicts."""
        marked = ("git", "grep", "--name-only", "-e", "^<<<<<<< ", "-e", "^>>>>>>> ")
        done = run(*marked, cwd=self.path, env=self.env, status=None)
        return sorted([*done.stdout.splitlines(), *self.files("*.rej")])

    def differences(self, fresh: RenderedProject) -> list[str]:
        """List the files that differ from a fresh render."""
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
    """Return a function that creates a project from the older template."""

    def create(database: str) -> Project:
        project = Project(tmp_path / "async_app", PROJECTS[database])
        run(
            *("git", "clone", "--quiet", "--no-checkout", TEMPLATE, project.template),
            cwd=tmp_path,
            env=project.env,
        )

        def in_template(*arguments: str) -> None:
            run("git", *arguments, cwd=project.template, env=project.env)

        in_template("checkout", "--quiet", "-B", "main", OLD_COMMIT)
        answers = json.dumps({"database": database})
        create = ("create", str(project.template), "--no-input")
        cruft = (sys.executable, "-m", "cruft")
        run(*cruft, *create, "--extra-context", answers, cwd=tmp_path, env=project.env)
        project.commit()
        # The work tree may have changes that are not committed.
        in_template("rm", "-r", "--quiet", ".")
        ignored = shutil.ignore_patterns(*BUILD_ARTIFACTS)
        shutil.copytree(TEMPLATE, project.template, ignore=ignored, dirs_exist_ok=True)
        commit(project.template, project.env)
        return project

    return create


def update(project: Project, **answers: str | bool) -> None:
    """Run the update command of the project's README, with other answers than its example."""
    documented = [
        each.removeprefix("uvx cruft ")
        for each in commands((TEMPLATE / PROJECT_README).read_text(encoding="utf-8"))
        if each.startswith("uvx cruft update ")
    ]
    plain, other = documented
    words = shlex.split(plain if not answers else other.partition("'")[0])
    project.cruft(*words, *([json.dumps(answers)] if answers else []))


@pytest.mark.parametrize("database", DATABASES)
def test_edits_survive_an_update(rendered: Render, make: Make, database: str) -> None:
    project = make(database)
    project.edit()
    project.commit()
    update(project)
    project.commit()
    edits = project.resolve(rendered(database=database))
    # Everything else is as in a new project.
    assert project.differences(rendered(database=database)) == sorted(edits)
    assert "SUCCESS" in project.cruft("check")


@pytest.mark.parametrize("database", DATABASES)
def test_an_answer_can_be_changed_later(
    rendered: Render, make: Make, database: str
) -> None:
    project = make(database)
    update(project)
    project.commit()
    for answers in ({"api": True}, {"api": False, "search": True}):
        update(project, **answers)
        project.commit()
        assert project.conflicts() == []
        assert project.differences(rendered(database=database, **answers)) == []
        assert "SUCCESS" in project.cruft("check")
    # A database can only be changed before the project has its own revisions.
    (other,) = set(DATABASES) - {database}
    update(project, database=other, search=False)
    project.commit()
    assert project.conflicts() == []
    assert project.differences(rendered(database=other)) == []


def test_an_updated_project_works_and_keeps_its_history(
    rendered: Render, make: Make, uv_environment: dict[str, str]
) -> None:
    project = make("sqlite")
    installed = Installed(project, project.env | uv_environment)

    install_project(project.path, installed.env)
    project.edit()
    installed.alembic("upgrade", "head")
    installed.alembic("revision", "--autogenerate", "-m", "add city")
    versions = project.path / "src" / "async_app" / "migrations" / "versions"
    (written,) = versions.glob("*_add_city.py")
    written.write_text(written.read_text() + "\n\n# The city is where letters go to.\n")
    installed.alembic("upgrade", "head")
    project.commit()
    before = installed.alembic("history")

    update(project)
    project.commit()
    project.resolve(rendered(database="sqlite"))
    install_project(project.path, installed.env)
    # The older template has no file that names the newest revision.
    installed.run("async_app", "db", "rebase")
    assert installed.alembic("history") == before
    installed.alembic("check")
    installed.run("pytest", "-q")
    project.commit()

    # One answer adds files, but no revision ...
    update(project, api=True)
    project.commit()
    assert project.conflicts() == []
    # ... another adds a revision beside the project's own, which git reports as a conflict.
    update(project, search=True)
    assert project.conflicts() == ["src/async_app/migrations/head.txt"]
    install_project(project.path, installed.env)
    installed.run("async_app", "db", "rebase")
    project.commit()
    installed.alembic("upgrade", "head")
    installed.alembic("check")
    installed.run("pytest", "-q", "tests/test_migrations.py", "tests/api/test_app.py")
    installed.run("black", "--check", "--quiet", ".")
    installed.run("ruff", "check", "--quiet", ".")
    installed.run("mypy")
