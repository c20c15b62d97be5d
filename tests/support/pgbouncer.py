"""Run PgBouncer in front of a PostgreSQL server, without installing it.

    python tests/support/pgbouncer.py postgresql://postgres@127.0.0.1:5432/postgres .cache/pgbouncer

If the machine has none, the package of Debian or Ubuntu is unpacked into a folder.
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

# A plain system lacks only one of its libraries.
PACKAGES = ("pgbouncer", "libc-ares2")

START_TIMEOUT_SECONDS = 20


class PgBouncerUnavailableError(Exception):
    """PgBouncer cannot run on this machine; the message gives the reason."""


@contextmanager
def run(
    server: str, cache: Path, *, mode: str = "transaction", size: int = 4
) -> Iterator[str]:
    """Run PgBouncer on a free local port and yield its URL.

    Args:
        server: The URL of the database, as libpq takes it.
        cache: The folder that the package is unpacked into and reused from.
        mode: The pool mode: "transaction", "session" or "statement".
        size: The number of connections to the server.

    Raises:
        PgBouncerUnavailableError: It cannot be found or downloaded, or does not start.
    """
    binary, libraries = find(cache)
    url = urlsplit(server)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        user, password = unquote(url.username or "postgres"), url.password
        secret = f" password='{unquote(password)}'" if password else ""
        (folder / "pgbouncer.ini").write_text(f"""\
[databases]
* = host={url.hostname} port={url.port or 5432} user={user}{secret}

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
        # PgBouncer refuses to run as root, and other users may not read the folders above.
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
                yield f"postgresql://{user}@127.0.0.1:{port}{url.path}"
            finally:
                process.terminate()


def find(cache: Path) -> tuple[str, str]:
    """Return the program and the folder of its libraries.

    Raises:
        PgBouncerUnavailableError: It is not installed, and there is no package for the machine.
    """
    if installed := shutil.which("pgbouncer", path=os.defpath + ":/usr/sbin"):
        return installed, ""
    binary = cache / "usr" / "sbin" / "pgbouncer"
    if not binary.exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise PgBouncerUnavailableError(
                "pgbouncer is not installed, and apt-get is not there to download it"
            )
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            folder = Path(name)
            for package in PACKAGES:
                # Otherwise apt-get, run as root, switches to a user who may not write here.
                options = ["-o", "APT::Sandbox::User=root"]
                _call("apt-get", *options, "download", package, cwd=folder)
            for archive in folder.glob("*.deb"):
                _call("dpkg", "-x", archive.name, "unpacked", cwd=folder)
            # A concurrent run may have unpacked it already.
            shutil.copytree(folder / "unpacked", cache, dirs_exist_ok=True)
    library = next(cache.glob("usr/lib/*/libcares.so.2"), binary)
    return str(binary), str(library.parent)


def _call(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no output"]
        raise PgBouncerUnavailableError(f"{' '.join(command)}: {reason[0]}")


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                output = log.read_text(errors="replace")[-1000:]
                raise PgBouncerUnavailableError(
                    f"pgbouncer did not start: {output}"
                ) from None
            time.sleep(0.02)


def _unprivileged() -> list[str]:
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise PgBouncerUnavailableError(
            "pgbouncer refuses to run as root, and setpriv is not installed"
        )
    return [
        *("setpriv", "--reuid=nobody", "--regid=65534", "--clear-groups"),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"),
    ]


if __name__ == "__main__":
    with run(sys.argv[1], Path(sys.argv[2])) as url:
        print(url, flush=True)
        threading.Event().wait()
