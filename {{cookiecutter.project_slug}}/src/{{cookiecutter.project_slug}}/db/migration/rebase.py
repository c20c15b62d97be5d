"""Rebase: the revisions that a branch adds follow the head of main.

`head.txt` names the head. Two branches that add a revision each change its line, so git
reports a conflict when they meet. Rebase compares the files and ignores its markers.
"""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic.config import CommandLine, Config
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import AsyncSession

from ..settings import DatabaseSettings
from .directory import REBASE, MigrationDirectory, Revisions, connect

COMMENT = f"""\
# The newest revision. A conflict here means that two branches have added one each.
# To put yours after the other: {REBASE}
"""
STAMP = re.compile(r"\d{4}(_\d\d){3}\d\d(?=-)")
STAMP_FORMAT = "%Y_%m_%d_%H%M"
DOWN_REVISION = re.compile(r"""(?m)^(down_revision\b.*= *)(None|"\w+"|'\w+')""")
FOLLOWS = re.compile("(?m)^(Follows|Revises):.*")
CREATED = re.compile("(?m)^(Created|Create Date):.*")


def write_head(folder: Path) -> None:
    """Write the head of a folder of migrations into its `head.txt`."""
    heads = sorted(ScriptDirectory(str(folder)).get_heads())
    text = COMMENT + "".join(f"{head}\n" for head in heads)
    (folder / "head.txt").write_text(text, encoding="utf-8", newline="\n")


def main_branch(folder: Path) -> str:
    """Return the branch whose revisions are shared; fail if there is none."""
    refs = ("refs/heads/main", "refs/remotes/origin/main")
    found = _git(folder, "for-each-ref", "--format=%(refname:short)", *refs)
    if not found:
        raise CommandError("there is neither origin/main nor main: git fetch origin")
    return found[-1]


def changed_revisions(folder: Path) -> list[str]:
    """List the revisions of main that were edited or deleted; fail without a main.

    Not those of a squash: the first revision here replaces all that it follows there.
    """
    branch = main_branch(folder)
    # Those that main got later are not deleted, so compare with the common ancestor.
    options = ("--name-only", "--merge-base", "--no-renames", "--diff-filter=MDT")
    paths = (branch, "--", "versions/*.py")
    names = [Path(name).name for name in _git(folder, "diff", *options, *paths)]
    if not names:
        return []
    theirs = _read_branch(folder, branch)
    known = Revisions.of(theirs).known
    squashed: set[str] = set()
    for first in known.intersection(ScriptDirectory(str(folder)).get_bases()):
        chain = [*theirs.iterate_revisions(first, "base")]
        if len(chain) > 1:
            squashed.update(Path(each.path).name for each in chain)
    return [name for name in names if name not in squashed]


def rebase(
    folder: Path, branch: str, load: Callable[[], Revisions] | None
) -> list[Path]:
    """Let the revisions that a branch does not have follow its head.

    All of them, or none: it fails if the database, whose revisions `load` returns, has
    run one. It would never run those of the branch that come before from now on.
    """
    script = ScriptDirectory(str(folder))
    here, theirs = Revisions.of(script), Revisions.of(_read_branch(folder, branch))
    newest_first = script.walk_revisions()
    own = [each for each in newest_first if each.revision not in theirs.known][::-1]
    if own:
        _verify(own, here, theirs, branch)
    head = next(iter(theirs.heads), None) if own else None
    scripts = [*([script.get_revision(head)] if head else []), *own]
    names = [Path(each.path).name for each in scripts]
    stamps = [found[0] for name in names if (found := STAMP.match(name))]
    texts: dict[Path, tuple[Path, str]] = {}
    if own and (own[0].down_revision != head or stamps != sorted(stamps)):
        if load:
            _refuse_applied(script, own, load())
        time = datetime.now(UTC).replace(second=0, microsecond=0)
        for stamp in stamps[:1]:
            first = datetime.strptime(stamp, STAMP_FORMAT).replace(tzinfo=UTC)
            time = max(time, first + timedelta(minutes=1))
        for each in own:
            path = Path(each.path)
            name = STAMP.sub(f"{time:{STAMP_FORMAT}}", path.name, count=1)
            texts[path] = path.with_name(name), _follow(path, head, time)
            head, time = each.revision, time + timedelta(minutes=1)
    for old, (new, text) in texts.items():
        new.write_text(text, encoding="utf-8", newline="\n")
        if new != old:
            old.unlink()
    write_head(folder)
    return [new for new, _ in texts.values()]


def add_command(
    line: CommandLine,
    directory: MigrationDirectory,
    load_settings: Callable[[], DatabaseSettings],
) -> None:
    """Add `rebase` to Alembic's commands.

    A database that cannot be asked may have run a revision, so it is an error, except
    with `--ignore-database`.
    """

    async def load() -> Revisions:
        async with connect(load_settings()) as connection:
            async with AsyncSession(connection) as session:
                return await directory.revisions(session)

    def run(_config: Config, onto: str | None, ignore_database: bool) -> None:
        """Put the revisions that main does not have after its head."""
        try:
            branch = onto or main_branch(directory.path)
        except CommandError as error:
            write_head(directory.path)
            raise CommandError(f"{error}; only head.txt is written") from None
        check = None if ignore_database else lambda: asyncio.run(load())
        for path in (paths := rebase(directory.path, branch, check)):
            print(f"wrote {path.name}")
        done = f"your revisions follow {branch}" if paths else "nothing to rebase"
        print(f"{done}; head.txt is up to date")

    parser = line.subparsers.add_parser("rebase", help=run.__doc__)
    parser.set_defaults(cmd=(run, ["onto", "ignore_database"], []))
    parser.add_argument("--onto", metavar="BRANCH", help="not origin/main, nor main")
    parser.add_argument("--ignore-database", action="store_true")


def _read_branch(folder: Path, branch: str) -> ScriptDirectory:
    with TemporaryDirectory() as copy:
        (Path(copy) / "versions").mkdir()
        for name in _git(folder, "ls-tree", "--name-only", branch, "versions/"):
            lines = _git(folder, "show", f"{branch}:./{name}")
            (Path(copy) / name).write_text("\n".join(lines), encoding="utf-8")
        script = ScriptDirectory(copy)
        script.get_heads()  # Reads all files, which are deleted now.
        return script


def _verify(own: list[Script], here: Revisions, theirs: Revisions, branch: str) -> None:
    """Fail if the own revisions are no chain, or the branch has no single head here."""
    if missing := ", ".join(theirs.known - here.known):
        raise CommandError(
            f"{branch} has {missing}, and this branch does not: merge it"
        )
    if len(theirs.heads) > 1:
        names = ", ".join(sorted(theirs.heads))
        raise CommandError(
            f"{branch} has the heads {names}: alembic merge heads, there"
        )
    parents = [own[0].down_revision, *(each.revision for each in own)]
    for each, parent in zip(own, parents, strict=False):
        if each.down_revision != parent or isinstance(parent, tuple):
            raise CommandError(
                f"{Path(each.path).name} does not continue a single chain. If it merges"
                " your revisions and no database has run it, delete it; if it is of"
                f" another branch, name that: {REBASE} --onto BRANCH"
            )


def _refuse_applied(
    script: ScriptDirectory, own: list[Script], found: Revisions
) -> None:
    if reason := found.unknown():
        raise CommandError(reason)
    applied = {*script.iterate_revisions(tuple(found.current), "base")}
    if names := ", ".join(each.revision for each in own if each in applied):
        raise CommandError(
            f"the database has run {names}. If it is only yours, downgrade it first:"
            f" alembic downgrade {own[0].down_revision or 'base'}. If others use it, do"
            " not rebase: alembic merge heads"
        )


def _follow(path: Path, parent: str | None, time: datetime) -> str:
    """Return the text of a revision that follows another one."""
    text = path.read_text(encoding="utf-8")
    quoted = f'"{parent}"' if parent else "None"
    text, found = DOWN_REVISION.subn(rf"\g<1>{quoted}", text, count=1)
    if not found:
        raise CommandError(f"{path.name}: cannot find its down_revision")
    text = FOLLOWS.sub(rf"\1: {parent or ''}".rstrip(), text, count=1)
    return CREATED.sub(rf"\1: {time}", text, count=1)


def _git(folder: Path, *arguments: str) -> list[str]:
    """Return the lines that git prints; fail with its reason if it does."""
    command = ("git", *arguments)
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, encoding="utf-8"
        )
    except OSError as error:
        raise CommandError(f"git does not run: {error}") from None
    if done.returncode:
        raise CommandError(done.stderr.strip().removeprefix("fatal: "))
    return done.stdout.splitlines()


if __name__ == "__main__":
    # Alembic passes the file that it has just written.
    write_head(Path(sys.argv[1]).parents[1])
