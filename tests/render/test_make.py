"""Test the Makefiles: their lists of targets, and their errors."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from support.combinations import ENDS, Answers
from support.render import TEMPLATE, Render, clean_environment, run

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None, reason="make is not installed"
)

MAKEFILE = (TEMPLATE / "Makefile").read_text(encoding="utf-8")


def test_make_lists_all_targets(tmp_path: Path) -> None:
    output = run("make", cwd=TEMPLATE, env=clean_environment(tmp_path)).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)
    assert [line.split()[1] for line in output.splitlines()] == phony.split()


@pytest.mark.parametrize("answers", ENDS.values(), ids=ENDS)
def test_make_explains_each_target_of_a_project(
    tmp_path: Path, rendered: Render, answers: Answers
) -> None:
    project = rendered(**answers)
    (phony,) = re.findall(r"^\.PHONY: (.*)", project.read("Makefile"), re.MULTILINE)
    output = run("make", cwd=project.path, env=clean_environment(tmp_path)).stdout
    explained = [re.match(r"make (\S+) +\S+ ", line) for line in output.splitlines()]
    assert [match and match[1] for match in explained] == phony.split()


@pytest.mark.parametrize("target", ["setup", "doctor"])
def test_a_project_names_the_python_that_it_needs(
    tmp_path: Path, rendered: Render, target: str
) -> None:
    # Few machines have an older Python: this one pretends to be one.
    project = tmp_path / "project"
    shutil.copytree(rendered(python_version="3.14").path, project)
    old = tmp_path / "old"
    script = "import runpy, sys; sys.version_info = (3, 9, 2); del sys.argv[0]; "
    script += "exec(sys.argv[1]) if sys.argv[0] == '-c' else runpy.run_path(sys.argv[0], None, '__main__')"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{script}" "$@"\n')
    old.chmod(0o755)
    env = clean_environment(tmp_path / "home")
    done = run("make", target, f"PYTHON={old}", cwd=project, env=env, status=2)
    output = done.stdout + done.stderr
    assert re.search(r"^.*3\.14 or newer is needed: make .*PYTHON=\S+$", output, re.M)
    assert "Traceback" not in output
    assert not (project / ".venv").exists()


@pytest.mark.parametrize("answers", ENDS.values(), ids=ENDS)
def test_make_doctor_reports_a_missing_installation(
    tmp_path: Path, rendered: Render, answers: Answers
) -> None:
    project = rendered(**answers)
    command = ("make", "doctor", f"PYTHON={sys.executable}")
    env = clean_environment(tmp_path / "home")
    done = run(*command, cwd=project.path, env=env, status=2)
    assert done.stderr.splitlines()[0] == "not installed yet: make setup"


def test_an_old_python_is_refused_in_one_sentence(tmp_path: Path) -> None:
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
        env=clean_environment(tmp_path),
        status=2,
    )
    assert done.stderr.splitlines()[0] == (
        "Python 3.11 or newer is needed, for example: make PYTHON=python3.12"
    )
    assert done.stdout == ""
    assert not (tmp_path / ".venv").exists()


def test_an_activated_environment_does_not_leak_in(tmp_path: Path) -> None:
    (tmp_path / "more.mk").write_text("include Makefile\nshow:\n\t@env\n")
    shutil.copy(TEMPLATE / "Makefile", tmp_path)
    foreign = {name: "/foreign" for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    env = clean_environment(tmp_path, **foreign)
    output = run("make", "-f", "more.mk", "show", cwd=tmp_path, env=env).stdout
    assert "/foreign" not in output
    assert f"UV_CACHE_DIR={tmp_path}" in output
