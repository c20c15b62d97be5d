"""Says what is missing or wrong on this machine, and what mends it: `make doctor`.

It needs no `.venv` and any Python 3, starts nothing and changes nothing. What comes
after it on the command line is for the Python of `.venv`, which looks at the rest.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"
INSTALLED = ROOT / ".venv" / "installed"


def say(status: str, what: str, said: str) -> bool:
    """Print a line, and tell whether all is well enough."""
    print(f"{status:5} {what:11} {said}", flush=True)
    return status != "fail"


def works(*command: str) -> bool:
    """Tell whether a command ends well, and soon."""
    try:
        return not subprocess.run(command, capture_output=True, timeout=10).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def look_at_python() -> bool:
    """See whether this Python can install the project."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = re.findall(r'requires-python = ">=(\d+)\.(\d+)', text)[0]
    found = "{}.{}.{}".format(*sys.version_info)
    if sys.version_info >= tuple(map(int, needed)):
        return say("ok", "python", found)
    mend = f"{'.'.join(needed)} or newer is needed: make setup PYTHON=/path/to/python"
    return say("warn" if INSTALLED.exists() else "fail", "python", f"{found}; {mend}")


def look_at_installation() -> bool:
    """See whether `.venv` is there, works and is as new as what it is made from."""
    if not INSTALLED.exists():
        return say("warn", ".venv", "not installed yet: make setup")
    if not works(str(PYTHON), "-c", ""):
        return say("fail", ".venv", "its Python does not run: make clean setup")
    for name in ("pyproject.toml", "uv.lock"):
        file = ROOT / name
        if file.exists() and file.stat().st_mtime > INSTALLED.stat().st_mtime:
            return say("warn", ".venv", f"older than {name}: make setup")
    return say("ok", ".venv", "installed")


def look_at_tools() -> None:
    """See which tools are there that nobody needs."""
    for tool, use in (
        ("uv", "it would run cruft, which brings a newer template"),
        ("docker", "it would build the image, and run it"),
    ):
        if shutil.which(tool) is None:
            say("ok", tool, f"not there, and not needed: {use}")
        elif tool == "docker" and not works("docker", "info"):
            say("warn", tool, f"it does not answer, and is not needed: {use}")
        else:
            say("ok", tool, "it is there")


def main() -> int:
    """Look at the machine, and then at the rest with the Python of `.venv`."""
    results = [look_at_python(), look_at_installation()]
    look_at_tools()
    if all(results) and INSTALLED.exists():
        command = [str(PYTHON), *sys.argv[1:]]
        results.append(subprocess.run(command, cwd=str(ROOT)).returncode == 0)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
