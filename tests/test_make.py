"""Tests of the Makefiles: what they offer, and what they say where they cannot work."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from baking import TEMPLATE, Bake, run
from baking import environment as environment_of
from combinations import ENDS, Answers

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None, reason="make is not installed"
)

TRUE, FALSE = (shutil.which(name) or name for name in ("true", "false"))
MAKEFILE = (TEMPLATE / "Makefile").read_text(encoding="utf-8")


def test_make_alone_says_what_can_be_made(tmp_path: Path) -> None:
    said = run("make", cwd=TEMPLATE, env=environment_of(tmp_path)).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)
    assert [line.split()[1] for line in said.splitlines()] == phony.split()


@pytest.mark.parametrize("answers", ENDS.values(), ids=ENDS)
def test_make_alone_explains_each_target_of_a_project(
    tmp_path: Path, baked: Bake, answers: Answers
) -> None:
    project = baked(**answers)
    (phony,) = re.findall(r"^\.PHONY: (.*)", project.read("Makefile"), re.MULTILINE)
    said = run("make", cwd=project.path, env=environment_of(tmp_path)).stdout
    explained = [re.match(r"make (\S+) +\S+ ", line) for line in said.splitlines()]
    assert [match and match[1] for match in explained] == phony.split()


@pytest.mark.parametrize("target", ["setup", "doctor"])
def test_a_project_says_which_python_it_needs(
    tmp_path: Path, baked: Bake, target: str
) -> None:
    # Older Pythons cannot be had everywhere: this one takes the place of one.
    project = tmp_path / "project"
    shutil.copytree(baked(python_version="3.14").path, project)
    old = tmp_path / "old"
    script = "import runpy, sys; sys.version_info = (3, 9, 2); del sys.argv[0]; "
    script += "exec(sys.argv[1]) if sys.argv[0] == '-c' else runpy.run_path(sys.argv[0], None, '__main__')"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{script}" "$@"\n')
    old.chmod(0o755)
    env = environment_of(tmp_path / "home")
    done = run("make", target, f"PYTHON={old}", cwd=project, env=env, status=2)
    said = done.stdout + done.stderr
    assert re.search(r"^.*3\.14 or newer is needed: make .*PYTHON=\S+$", said, re.M)
    assert "Traceback" not in said
    assert not (project / ".venv").exists()


def test_the_doctor_looks_at_the_installation_and_at_docker(
    tmp_path: Path, baked: Bake
) -> None:
    project = tmp_path / "project"
    shutil.copytree(baked().path, project)
    programs = tmp_path / "programs"
    programs.mkdir()
    env = environment_of(tmp_path / "home", PATH=str(programs))

    def doctor(status: int) -> str:
        script = project / "scripts" / "doctor.py"
        said = run(sys.executable, script, cwd=project, env=env, status=status).stdout
        return " ".join(said.split())

    assert "warn .venv not installed yet: make setup" in doctor(status=0)

    installed = project / ".venv" / "installed"
    installed.parent.mkdir()
    installed.touch()
    assert "fail .venv its Python does not run: make clean setup" in doctor(status=1)

    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(TRUE)
    assert "ok .venv installed" in doctor(status=0)

    os.utime(project / "pyproject.toml", (0, 0))
    os.utime(installed, (1, 1))
    for name in ("uv.lock", "pyproject.toml"):
        (project / name).touch()
        assert f"warn .venv older than {name}: make setup" in doctor(status=0)

    docker = programs / "docker"
    docker.symlink_to(FALSE)
    assert "warn docker it does not answer, and is not needed" in doctor(status=0)
    docker.unlink()
    docker.symlink_to(TRUE)
    assert "ok docker it is there" in doctor(status=0)


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
