"""Test `db rebase` and the comparison with main, in real git repositories."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.git import IDENTITY, commit
from support.migrating import MigratedProject, on_each
from support.render import run

MARKERS = re.compile(r"^<{7} .*^={7}$.*^>{7} ", re.MULTILINE | re.DOTALL)

REVISION = '''"""{name}

Revision: {name}
Follows: {parents}
Created: {created}
"""

import sqlalchemy as sa
from alembic import op

revision: str = "{name}"
down_revision: str | tuple[str, ...] | None = {down!r}


def upgrade() -> None:
    """Upgrade to this revision."""
    op.create_table("{name}", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade() -> None:
    """Downgrade to the previous revision."""
    op.drop_table("{name}")
'''


class Repository:
    """A project in git, whose branches add revisions."""

    def __init__(self, project: MigratedProject) -> None:
        """Commit the project with one revision to main."""
        self.project = project
        self.path = project.rendered.path
        self.minute = 0
        self.git("init", "--quiet", "--initial-branch", "main")
        self.add("start")

    def git(self, *arguments: str, status: int = 0) -> str:
        """Run git, without an editor."""
        env = {**self.project.env, "GIT_EDITOR": "true", "GIT_CONFIG_NOSYSTEM": "1"}
        command = ("git", *IDENTITY, *arguments)
        return run(*command, cwd=self.path, env=env, status=status).stdout

    def add(self, name: str, *parents: str) -> Path:
        """Add a revision and its line in head.txt, and commit."""
        self.minute += 1
        created = f"2026-02-03 04:{self.minute:02}:00+00:00"
        path = self.project.versions / f"2026_02_03_04{self.minute:02}-{name}_it.py"
        down = parents if len(parents) > 1 else "".join(parents) or None
        text = REVISION.format(
            name=name, parents=", ".join(parents), created=created, down=down
        )
        path.write_text(text)
        head = self.head_file.read_text().splitlines()
        comment = [line for line in head if line.startswith("#")]
        self.head_file.write_text("\n".join([*comment, name, ""]))
        self.commit()
        return path

    def commit(self) -> None:
        """Commit everything."""
        commit(self.path, self.project.env)

    def branch(self, name: str, start: str) -> None:
        """Start a branch."""
        self.git("checkout", "--quiet", "-b", name, start)

    def fork(self, *mine: str, after: str = "start") -> None:
        """Add revisions to a branch, and another one to main; end on the branch."""
        self.branch("mine", "main")
        for parent, name in zip((after, *mine), mine, strict=False):
            self.add(name, parent)
        self.git("checkout", "--quiet", "main")
        self.add("theirs", after)
        self.git("checkout", "--quiet", "mine")

    def merge_main(self) -> None:
        """Merge main, which stops at the conflict."""
        self.git("merge", "main", status=1)
        assert MARKERS.search(self.head_file.read_text())

    def rebase(self, options: str = "", status: int = 0, **variables: str) -> str:
        """Run the command; one that is refused must change no file."""
        before = self.files()
        command = ("-m", "async_app", "db", "rebase", *options.split())
        done = run(
            self.project.python,
            *command,
            cwd=self.path,
            env=self.project.variables | variables,
            status=status,
        )
        output = done.stdout + done.stderr
        assert "Traceback" not in output, output
        assert not status or self.files() == before
        return output

    def check(self, status: int = 0) -> str:
        """Run the project's tests of head.txt and of main's revisions."""
        done = run(
            *(self.project.python, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("tests/test_migrations.py", "-k", "head_txt or of_main"),
            cwd=self.path,
            env=self.project.variables | {"TEST_DATABASE_URL": self.project.url},
            status=status,
        )
        return done.stdout

    @property
    def head_file(self) -> Path:
        """The file with the head."""
        return self.project.versions.with_name("head.txt")

    def head(self) -> str:
        """Return the lines of head.txt below its comment."""
        lines = self.head_file.read_text().splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("#")).strip()

    def files(self) -> dict[str, str]:
        """Map the files of the revisions to their texts, in order."""
        paths = sorted(self.project.versions.glob("*.py"))
        return {path.name: path.read_text() for path in paths}

    def order(self) -> list[str]:
        """List revisions as their files are sorted, each with the one that it follows."""
        found = []
        for text in self.files().values():
            values = dict(re.findall(r"^(\w+revision|revision).*= (.*)$", text, re.M))
            follows = re.search("^Follows:(.*)$", text, re.M)
            assert follows
            down = values["down_revision"].strip("\"'").replace("None", "")
            assert follows[1].strip() == down, text
            found.append(f"{values['revision']} after {down}".replace('"', ""))
        return found


@pytest.fixture
def repository(project: MigratedProject) -> Repository:
    """A repository with one revision on main."""
    return Repository(project)


AFTERWARDS = ["start after ", "theirs after start", "one after theirs", "two after one"]


@on_each
def test_my_chain_follows_main_during_a_merge(repository: Repository) -> None:
    repository.fork("one", "two")
    repository.merge_main()
    # Nothing else reads the file, with or without git's markers.
    repository.project.alembic("heads")
    output = repository.rebase()
    assert "your revisions follow main" in output
    assert repository.order() == AFTERWARDS
    assert repository.head() == "two"
    texts = [*repository.files().items()][2:]
    stamps = [re.findall("Created: (.*)", text)[0] for _, text in texts]
    names = [f"{stamp[:16]}".translate({45: 95, 32: 95, 58: None}) for stamp in stamps]
    assert names == [name[:15] for name, _ in texts] == sorted({*names})
    assert "nothing to rebase" in repository.rebase()
    repository.commit()
    repository.project.alembic("upgrade head", "downgrade base")
    assert "2 passed" in repository.check()


@on_each
def test_my_chain_follows_main_during_a_git_rebase(repository: Repository) -> None:
    repository.fork("one", "two")
    repository.git("rebase", "main", status=1)
    assert MARKERS.search(repository.head_file.read_text())
    repository.rebase()
    assert repository.order() == AFTERWARDS[:3]
    repository.git("add", "--all")
    repository.git("rebase", "--continue")
    # The second commit applied as it was, so its file has its old time.
    repository.rebase()
    assert repository.order() == AFTERWARDS
    assert repository.head() == "two"
    assert "nothing to rebase" in repository.rebase()


@on_each
def test_my_chain_follows_main_after_a_bad_merge(repository: Repository) -> None:
    repository.fork("one")
    repository.merge_main()
    repository.git("checkout", "--ours", ".")
    repository.commit()
    assert "Multiple head" in repository.project.alembic("upgrade head", status=255)
    assert "after that of main: async_app db rebase;" in repository.check(status=1)
    repository.rebase()
    assert repository.order() == AFTERWARDS[:3]


@on_each
def test_a_revision_that_the_database_has_run_stays(repository: Repository) -> None:
    repository.fork("one", "two")
    repository.project.alembic("upgrade head")
    repository.merge_main()
    output = repository.rebase(status=255)
    assert "the database has run one, two." in output
    (command,) = re.findall("alembic (downgrade [^.]*)", output)
    assert command == "downgrade start"
    repository.project.alembic(command)
    repository.rebase()
    repository.project.alembic("upgrade head")
    assert repository.project.tables() == ["one", "start", "theirs", "two"]


@on_each
def test_a_database_that_does_not_answer_is_refused(
    repository: Repository, database: str, tmp_path: Path
) -> None:
    repository.fork("one")
    repository.merge_main()
    wrong = {
        "sqlite": f"sqlite:///{tmp_path}",
        "postgresql": "postgresql://postgres@127.0.0.1:1/postgres",
    }[database]
    output = repository.rebase(status=255, DATABASE_URL=wrong)
    assert "cannot connect to" in output
    repository.rebase("--ignore-database", DATABASE_URL=wrong)
    assert repository.order() == AFTERWARDS[:3]


def nothing_new(repository: Repository) -> None:
    """Stay on main, and add a revision to another branch."""


def forget_head(repository: Repository) -> None:
    """Add a revision by hand, and not to head.txt."""
    repository.add("one", "start")
    repository.git("checkout", "HEAD~1", "--", str(repository.head_file))
    assert "write head.txt with: async_app db rebase" in repository.check(status=1)


@on_each
@pytest.mark.parametrize(
    ("prepare", "head"), [(nothing_new, "start"), (forget_head, "one")]
)
def test_nothing_to_rebase_is_no_error(
    repository: Repository, prepare: Callable[[Repository], None], head: str
) -> None:
    prepare(repository)
    before = repository.files()
    assert "nothing to rebase; head.txt is up to date" in repository.rebase()
    assert repository.files() == before
    assert repository.head() == head
    assert "2 passed" in repository.check()


def not_merged(repository: Repository) -> None:
    """Rebase before main was merged."""
    repository.fork("one")


def forked_main(repository: Repository) -> None:
    """Merge a main that has two heads."""
    repository.fork("one")
    repository.git("checkout", "--quiet", "main")
    repository.add("third", "start")
    repository.git("checkout", "--quiet", "mine")
    repository.merge_main()


def my_merge(repository: Repository) -> None:
    """Merge the heads first."""
    repository.fork("one")
    repository.merge_main()
    repository.add("joined", "one", "theirs")


def another_branch(repository: Repository) -> None:
    """Merge a branch that is not main."""
    repository.fork("one")
    repository.branch("other", "main~1")
    repository.add("other", "start")
    repository.git("checkout", "--quiet", "mine")
    repository.git("merge", "other", status=1)
    repository.git("add", "--all")
    repository.git("commit", "-m", "merge")
    repository.merge_main()


def odd_spelling(repository: Repository) -> None:
    """Spell down_revision in a way that only Python reads."""
    repository.fork("one", "two")
    repository.merge_main()
    (path,) = repository.project.versions.glob("*two*")
    path.write_text(path.read_text().replace("'one'", "str('one')"))


def no_main(repository: Repository) -> None:
    """Call the branch something else."""
    repository.git("branch", "--move", "trunk")


REFUSALS = [
    (not_merged, "", "main has theirs, and this branch does not: merge it"),
    (forked_main, "", "main has the heads theirs, third: alembic merge heads"),
    (my_merge, "", "joined_it.py does not continue a single chain. If it merges"),
    (another_branch, "", "db rebase --onto BRANCH"),
    (odd_spelling, "", "two_it.py: cannot find its down_revision"),
    (nothing_new, "--onto elsewhere", "elsewhere"),
    (no_main, "", "there is neither origin/main nor main: git fetch origin"),
]


@on_each
@pytest.mark.parametrize(
    ("prepare", "options", "message"),
    REFUSALS,
    ids=[prepare.__name__ for prepare, _, _ in REFUSALS],
)
def test_what_cannot_be_rebased_is_one_sentence(
    repository: Repository,
    prepare: Callable[[Repository], None],
    options: str,
    message: str,
) -> None:
    prepare(repository)
    (line,) = repository.rebase(options, status=255).splitlines()
    assert message in line


@on_each
def test_origin_main_counts_before_main(repository: Repository) -> None:
    repository.fork("one")
    repository.git("clone", "--quiet", "--bare", ".", "../origin")
    repository.git("remote", "add", "origin", "../origin")
    repository.git("fetch", "--quiet", "origin")
    repository.git("branch", "--force", "main", "mine")
    repository.git("merge", "origin/main", status=1)
    assert "your revisions follow origin/main" in repository.rebase()
    assert repository.order() == AFTERWARDS[:3]


@on_each
def test_an_edited_revision_of_main_is_named(repository: Repository) -> None:
    shared = repository.add("shared", "start")
    repository.fork("one", after="shared")
    mine = next(repository.project.versions.glob("*-one_*"))
    mine.write_text(mine.read_text() + "# Mine may change.\n")
    # What main got later is not missing.
    assert "2 passed" in repository.check()
    text = shared.read_text()
    shared.write_text(text + "# An edit.\n")
    output = repository.check(status=1)
    assert f"databases may have run {shared.name} as main has it" in output
    assert mine.name not in output and "theirs" not in output
    repository.commit()
    assert f"databases may have run {shared.name} as main has it" in repository.check(
        status=1
    )
    shared.write_text(text)
    assert "2 passed" in repository.check()


@on_each
def test_a_deleted_revision_of_main_is_named(repository: Repository) -> None:
    shared = repository.add("shared", "start")
    repository.branch("mine", "main")
    shared.unlink()
    repository.rebase("--ignore-database")
    assert f"databases may have run {shared.name} as main has it" in repository.check(
        status=1
    )


SQUASHED = """
    from ..db import Base

    class Start(Base):
        __tablename__ = "start"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Colour(enum.Enum):
        RED = "red"

    class Thing(Model):
        name: Mapped[str]
"""
ADDED = """
        colour: Mapped[Colour | None]
        start_id: Mapped[int | None] = mapped_column(ForeignKey("start.id"), index=True)
"""


@on_each
def test_a_squash_leaves_old_databases_as_they_are(repository: Repository) -> None:
    old = repository.project
    for models in (SQUASHED, SQUASHED + ADDED):
        old.write_models(models)
        old.alembic("upgrade head", "revision --autogenerate -m change", "upgrade head")
    old.sql("INSERT INTO things (name, colour) VALUES ('kept', 'red')")

    def state() -> list[list[str]]:
        return [old.schema(), old.version(), old.sql("SELECT * FROM things")]

    before = state()
    repository.commit()
    repository.branch("squash", "main")
    new = replace(old, url=f"{old.url}_empty")
    if old.psql_path:
        old.sql(f"CREATE DATABASE {new.url.rpartition('/')[2]}")
    for name in repository.files():
        (old.versions / name).unlink()
    new.alembic(f"revision --autogenerate --rev-id {before[1][0]} -m squash")
    assert "2 passed" in repository.check()
    assert "nothing to rebase" in repository.rebase()
    old.alembic("upgrade head", "check")
    assert state() == before
    new.alembic("upgrade head", "check")
    assert new.schema() == old.schema()
    # On main it is a revision like any other.
    repository.commit()
    repository.git("branch", "--force", "main")
    (squash,) = old.versions.glob("*squash.py")
    squash.write_text(squash.read_text() + "# An edit.\n")
    assert f"databases may have run {squash.name}" in repository.check(status=1)


@on_each
def test_the_comparison_without_git_is_one_line(repository: Repository) -> None:
    no_main(repository)
    reason = "revisions are not compared with main: "
    assert f"{reason}there is neither origin/main nor main" in repository.check()
    (repository.path / ".git").rename(repository.path / "elsewhere")
    assert f"{reason}not a git repository" in repository.check()
    # A revision that was written by hand gets its line there, too.
    repository.head_file.unlink()
    assert "only head.txt is written" in repository.rebase(status=255)
    assert repository.head() == "start"


@on_each
def test_head_txt_follows_every_new_revision(project: MigratedProject) -> None:
    rendered = project.versions.with_name("head.txt").read_text()
    repository = Repository(project)
    comment = repository.head_file.read_text().removesuffix("start\n")
    assert comment == rendered
    for command, pattern in (
        ("revision -m first", "*first.py"),
        ("revision -m second --head start --splice", "*second.py"),
        ("merge heads -m joined", "*joined.py"),
    ):
        project.alembic(command)
        (path,) = project.versions.glob(pattern)
        assert path.name.split("-")[1].split("_")[0] in repository.head()
    assert repository.head_file.read_text().startswith(comment)
    assert "2 passed" in repository.check()
