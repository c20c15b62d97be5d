"""Renders projects, in this process or through the command line, and runs commands in them."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from combinations import Answers

TEMPLATE = Path(__file__).resolve().parents[1]
PROJECT_TREE = TEMPLATE / "{{cookiecutter.project_slug}}"
COOKIECUTTER = (sys.executable, "-m", "cookiecutter")

# One more than cores: tests also wait, for a server, a lock or a clock.
AT_ONCE = (os.cpu_count() or 1) + 1

# What a command needs of the caller's environment to reach the network, or to run at all.
PASSED_ON = (
    "PIP_CERT",
    "PIP_CACHE_DIR",
    "PIP_INDEX_URL",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SYSTEMROOT",
    "COMSPEC",
    "PATHEXT",
    "TEMP",
    "TMP",
)


@cache
def system_path() -> str:
    """Give the folders of system tools, with a Python that can make environments."""
    if sys.platform == "win32":
        return os.environ["PATH"]
    path = "/usr/local/bin:/usr/bin:/bin"
    probe = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    able = subprocess.run(
        ["sh", "-c", 'python3 -c "$0"', probe],
        env={"PATH": path},
        capture_output=True,
        check=False,
    )
    return path if able.returncode == 0 else f"{Path(sys.base_prefix) / 'bin'}:{path}"


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Make an environment of system tools and the given variables, and nothing else."""
    home.mkdir(parents=True, exist_ok=True)
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    own = {"PATH": system_path(), "HOME": str(home), "USERPROFILE": str(home)}
    return passed_on | own | variables


def run(
    *command: str | Path,
    cwd: Path,
    env: Mapping[str, str],
    status: int | None = 0,
    stdin: str = "",
    timeout: int = 900,
) -> subprocess.CompletedProcess[str]:
    """Run a command, and show all that it said when it ends with another status."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=dict(env),
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=timeout,
        check=False,
    )
    if status is not None:
        assert done.returncode == status, (
            f"{' '.join(map(str, command))}\nin {cwd}\nended with {done.returncode}, "
            f"not {status}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
        )
    return done


def typed(answers: Answers) -> list[str]:
    """Write answers as the command line takes them."""
    return [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in answers.items()
    ]


@dataclass(frozen=True)
class BakedProject:
    """A rendered project."""

    path: Path
    answers: Answers
    exit_code: int = 0
    exception: BaseException | None = None

    @property
    def slug(self) -> str:
        """The one name of folder, distribution and package."""
        return self.path.name

    @property
    def package(self) -> Path:
        """The folder of the import package."""
        return self.path / "src" / self.slug

    def read(self, name: str) -> str:
        """Read a file, with its newlines as they are."""
        return (self.path / name).read_bytes().decode("utf-8")

    def files(self, pattern: str = "*") -> list[str]:
        """List all files, or those that match, by their path in the project."""
        return sorted(
            path.relative_to(self.path).as_posix()
            for path in self.path.rglob(pattern)
            if path.is_file()
        )

    def contents(self) -> dict[str, tuple[bytes, int]]:
        """Map each file to its bytes and its permissions."""
        return {
            name: ((self.path / name).read_bytes(), (self.path / name).stat().st_mode)
            for name in self.files()
        }


Bake = Callable[..., BakedProject]


def questions() -> dict[str, object]:
    """Read the questions that people are asked, with their defaults."""
    loaded = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    return {key: value for key, value in loaded.items() if not key.startswith("_")}


def load_hook(name: str) -> ModuleType:
    """Import a hook as it lies in the template."""
    spec = importlib.util.spec_from_file_location(
        name, TEMPLATE / "hooks" / f"{name}.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def template_files(suffix: str, folders: Sequence[Path]) -> list[Path]:
    """List the files of the template that end so, without what tools leave behind."""
    return sorted(
        path
        for folder in folders
        for path in folder.rglob(f"*{suffix}")
        if path.is_file() and "__pycache__" not in path.parts
    )
