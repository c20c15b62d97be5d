"""Commit to git repositories of tests."""

from collections.abc import Mapping
from pathlib import Path

from support.render import run

IDENTITY = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")


def commit(folder: Path, env: Mapping[str, str]) -> None:
    """Commit everything in a folder; make it a repository first if it is none."""
    if not (folder / ".git").exists():
        run("git", "init", "--quiet", "-b", "main", cwd=folder, env=env)
    run("git", "add", "--all", cwd=folder, env=env)
    run("git", *IDENTITY, "commit", "--quiet", "-m", "change", cwd=folder, env=env)
