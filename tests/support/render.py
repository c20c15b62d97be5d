"""Render projects, in this process or with the cookiecutter command, and run commands in them."""

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

from support.combinations import Answers

TEMPLATE = Path(__file__).resolve().parents[2]
PROJECT_TREE = TEMPLATE / "{{cookiecutter.project_slug}}"
COOKIECUTTER = (sys.executable, "-m", "cookiecutter")

# One more than there are cores: tests also wait for servers, locks and clocks.
MAX_WORKERS = (os.cpu_count() or 1) + 1

# Variables that a command needs to reach the network, or to run at all.
INHERITED_VARIABLES = (
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

# Caches and builds, which a copy of this repository leaves out.
BUILD_ARTIFACTS = (".git", ".venv", ".cache", "build", "__pycache__", "*_cache")


@cache
def system_path() -> str:
    """Return the folders of system tools, with a Python that can create environments."""
    if sys.platform == "win32":
        return os.environ["PATH"]
    path = "/usr/local/bin:/usr/bin:/bin"
    probe = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    done = subprocess.run(
        ["sh", "-c", 'python3 -c "$0"', probe],
        env={"PATH": path},
        capture_output=True,
        check=False,
    )
    return path if done.returncode == 0 else f"{Path(sys.base_prefix) / 'bin'}:{path}"


def clean_environment(home: Path, **variables: str) -> dict[str, str]:
    """Return environment variables for system tools, plus the given ones."""
    home.mkdir(parents=True, exist_ok=True)
    inherited = {
        name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ
    }
    own = {"PATH": system_path(), "HOME": str(home), "USERPROFILE": str(home)}
    return inherited | own | variables


def run(
    *command: str | Path,
    cwd: Path,
    env: Mapping[str, str],
    status: int | None = 0,
    stdin: str = "",
    timeout: int = 900,
) -> subprocess.CompletedProcess[str]:
    """Run a command; fail with its whole output if it exits with another status."""
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
            f"{' '.join(map(str, command))}\nin {cwd}\nexited with {done.returncode}, "
            f"not {status}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
        )
    return done


def as_arguments(answers: Answers) -> list[str]:
    """Format answers for cookiecutter's command line."""
    return [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in answers.items()
    ]


@dataclass(frozen=True)
class RenderedProject:
    """A rendered project."""

    path: Path
    answers: Answers
    exit_code: int = 0
    exception: BaseException | None = None

    @property
    def slug(self) -> str:
        """The name of folder, distribution and package."""
        return self.path.name

    @property
    def package(self) -> Path:
        """The folder of the import package."""
        return self.path / "src" / self.slug

    def read(self, name: str) -> str:
        """Read a file without translating its newlines."""
        return (self.path / name).read_bytes().decode("utf-8")

    def files(self, pattern: str = "*") -> list[str]:
        """List the paths of all files, or of those that match, relative to the project."""
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


Render = Callable[..., RenderedProject]


def questions() -> dict[str, object]:
    """Read the questions of cookiecutter.json with their defaults."""
    loaded = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    return {key: value for key, value in loaded.items() if not key.startswith("_")}


def load_hook(name: str) -> ModuleType:
    """Import a hook unrendered."""
    spec = importlib.util.spec_from_file_location(
        name, TEMPLATE / "hooks" / f"{name}.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def template_files(suffix: str, folders: Sequence[Path]) -> list[Path]:
    """List the files with a suffix in some folders of the template, without caches."""
    return sorted(
        path
        for folder in folders
        for path in folder.rglob(f"*{suffix}")
        if path.is_file() and "__pycache__" not in path.parts
    )
