"""Find a Redis server, or unpack the package of Debian or Ubuntu without installing it."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# redis-tools has the server itself; the others are libraries that a plain system lacks.
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


class RedisUnavailableError(Exception):
    """No Redis server can run on this machine; the message gives the reason."""


def variables(cache: Path) -> dict[str, str]:
    """Return the environment variables that `redis-server` needs to be found and to run.

    Args:
        cache: The folder that the packages are unpacked into and reused from.

    Raises:
        RedisUnavailableError: It is not installed, and there is no package for the machine.
    """
    if shutil.which("redis-server"):
        return {"PATH": os.environ["PATH"]}
    folder = cache / "usr" / "bin"
    if not (folder / "redis-server").exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise RedisUnavailableError(
                "redis-server is not installed, and apt-get is not there to download it"
            )
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            # Otherwise apt-get, run as root, switches to a user who may not write here.
            options = ["-o", "APT::Sandbox::User=root"]
            _call("apt-get", *options, "download", *PACKAGES, cwd=Path(name))
            for archive in Path(name).glob("*.deb"):
                _call("dpkg", "-x", archive.name, "unpacked", cwd=Path(name))
            # A concurrent run may have unpacked it already.
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
        raise RedisUnavailableError(
            f"redis-server does not run: {getattr(error, 'stderr', error)}"
        ) from None
    return found


@contextmanager
def run(variables: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Run a server on a free local port, and yield its URL.

    Args:
        variables: The environment variables that `variables()` returns.
        folder: The folder of its log.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = shutil.which("redis-server", path=variables["PATH"])
    assert program
    options = ("--bind", "127.0.0.1", "--port", f"{port}", "--save", "")
    with (
        (folder / "redis.log").open("wb") as log,
        subprocess.Popen(
            [program, *options], cwd=folder, env=variables, stdout=log, stderr=log
        ) as process,
    ):
        try:
            for _ in range(200):
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert process.poll() is None, (folder / "redis.log").read_text()
                    time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def _call(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no output"]
        raise RedisUnavailableError(f"{' '.join(command)}: {reason[0]}")
