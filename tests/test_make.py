"""Tests of the Makefile: what it offers, and what it says where it cannot work."""

import re
import shutil
from pathlib import Path

import pytest
from baking import TEMPLATE, run
from baking import environment as environment_of

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None, reason="make is not installed"
)

MAKEFILE = (TEMPLATE / "Makefile").read_text(encoding="utf-8")


def test_make_alone_says_what_can_be_made(tmp_path: Path) -> None:
    said = run("make", cwd=TEMPLATE, env=environment_of(tmp_path)).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)
    assert [line.split()[1] for line in said.splitlines()] == phony.split()


def test_a_python_that_is_too_old_is_refused_in_one_sentence(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    shutil.copy(TEMPLATE / "Makefile", tmp_path)
    shutil.copy(TEMPLATE / "pyproject.toml", tmp_path)
    done = run(
        "make",
        "test",
        "PYTHON=./old",
        cwd=tmp_path,
        env=environment_of(tmp_path),
        status=2,
    )
    assert done.stderr.splitlines()[0] == (
        'Python 3.11 or newer is needed: name one, as in "make PYTHON=python3.12".'
    )
    assert done.stdout == ""
    assert not (tmp_path / ".venv").exists()


def test_what_an_activated_environment_has_set_does_not_leak_in(tmp_path: Path) -> None:
    (tmp_path / "more.mk").write_text("include Makefile\nshow:\n\t@env\n")
    shutil.copy(TEMPLATE / "Makefile", tmp_path)
    foreign = {name: "/foreign" for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    env = environment_of(tmp_path, **foreign)
    said = run("make", "-f", "more.mk", "show", cwd=tmp_path, env=env).stdout
    assert "/foreign" not in said
    assert f"UV_CACHE_DIR={tmp_path}" in said
