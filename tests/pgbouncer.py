"""Runs PgBouncer before a PostgreSQL server, without installing it.

    python tests/pgbouncer.py postgresql://postgres@127.0.0.1:5432/postgres .cache/pgbouncer

Where the machine has none, the package of Debian or Ubuntu is unpacked into a folder.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

# The second is the only library of it that a plain system lacks.
PACKAGES = ("pgbouncer", "libc-ares2")

PATIENCE = 20
"""Seconds that it may take to start."""


class Unavailable(Exception):
    """PgBouncer cannot run here; the message says why."""


@contextmanager
def run(
    server: str, cache: Path, *, mode: str = "transaction", size: int = 4
) -> Iterator[str]:
    """Run PgBouncer on a free port of this machine; yield its address.

    Args:
        server: The address of the server and of the database, as libpq takes it.
        cache: The folder to unpack the package in; it is found there the next time.
        mode: The pool mode: "transaction", "session" or "statement".
        size: How many connections to the server it has.

    Raises:
        Unavailable: It cannot be got or does not start.
    """
    binary, libraries = find(cache)
    there = urlsplit(server)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        user, password = unquote(there.username or "postgres"), there.password
        secret = f" password='{unquote(password)}'" if password else ""
        (folder / "pgbouncer.ini").write_text(f"""\
[databases]
* = host={there.hostname} port={there.port or 5432} user={user}{secret}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 1000
server_login_retry = 1
""")
        # It does not run as root, and the folders above may be closed to others.
        with (
            (folder / "log").open("w+") as log,
            subprocess.Popen(
                [*_unprivileged(), binary, folder / "pgbouncer.ini"],
                env=os.environ | {"LD_LIBRARY_PATH": libraries},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                _wait(process, port, folder / "log")
                yield f"postgresql://{user}@127.0.0.1:{port}{there.path}"
            finally:
                process.terminate()


def find(cache: Path) -> tuple[str, str]:
    """Return the program and the folder of its libraries.

    Raises:
        Unavailable: The machine has none, and there is no package for it.
    """
    if installed := shutil.which("pgbouncer", path=os.defpath + ":/usr/sbin"):
        return installed, ""
    binary = cache / "usr" / "sbin" / "pgbouncer"
    if not binary.exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise Unavailable("no pgbouncer here, and no apt-get to get it with")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            folder = Path(name)
            for package in PACKAGES:
                # As root it would look for an account that may write here.
                options = ["-o", "APT::Sandbox::User=root"]
                _call("apt-get", *options, "download", package, cwd=folder)
            for archive in folder.glob("*.deb"):
                _call("dpkg", "-x", archive.name, "unpacked", cwd=folder)
            # Another run may have been faster.
            shutil.copytree(folder / "unpacked", cache, dirs_exist_ok=True)
    library = next(cache.glob("usr/lib/*/libcares.so.2"), binary)
    return str(binary), str(library.parent)


def _call(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise Unavailable(f"{' '.join(command)}: {reason[0]}")


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-1000:]
                raise Unavailable(f"pgbouncer did not start: {said}") from None
            time.sleep(0.02)


def _unprivileged() -> list[str]:
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise Unavailable("pgbouncer does not run as root, and there is no setpriv")
    return [
        *("setpriv", "--reuid=nobody", "--regid=65534", "--clear-groups"),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"),
    ]


if __name__ == "__main__":
    with run(sys.argv[1], Path(sys.argv[2])) as address:
        print(address, flush=True)
        threading.Event().wait()
