"""Finds a Redis server, or unpacks the package of Debian or Ubuntu without installing it."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

# The server itself is in the second; the others are libraries that a plain system lacks.
PACKAGES = (
    "redis-server",
    "redis-tools",
    "libatomic1",
    "libjemalloc2",
    "liblua5.1-0",
    "liblzf1",
    "lua-bitop",
    "lua-cjson",
)


class Unavailable(Exception):
    """There is no server for this machine; the message says why."""


def variables(cache: Path) -> dict[str, str]:
    """Return the environment variables with which `redis-server` is found and runs.

    Args:
        cache: The folder to unpack the packages in; they are found there the next time.

    Raises:
        Unavailable: The machine has none, and there is no package for it.
    """
    if shutil.which("redis-server"):
        return {"PATH": os.environ["PATH"]}
    folder = cache / "usr" / "bin"
    if not (folder / "redis-server").exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise Unavailable("no redis-server here, and no apt-get to get it with")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            # As root it would look for an account that may write here.
            options = ["-o", "APT::Sandbox::User=root"]
            _call("apt-get", *options, "download", *PACKAGES, cwd=Path(name))
            for archive in Path(name).glob("*.deb"):
                _call("dpkg", "-x", archive.name, "unpacked", cwd=Path(name))
            # Another run may have been faster.
            shutil.copytree(
                Path(name) / "unpacked", cache, symlinks=True, dirs_exist_ok=True
            )
    libraries = {str(each.parent) for each in cache.glob("usr/lib/*/*.so*")}
    found = {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "LD_LIBRARY_PATH": os.pathsep.join(sorted(libraries)),
    }
    try:
        subprocess.run(
            [folder / "redis-server", "--version"],
            env=os.environ | found,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(
            f"redis-server does not run: {getattr(error, 'stderr', error)}"
        ) from None
    return found


def _call(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise Unavailable(f"{' '.join(command)}: {reason[0]}")
