"""Follow a document as a reader would: type its commands, compare their output, edit files.

Blocks of `console` are typed into a shell, and their output is compared with the one shown.
Other blocks go into the file that the line above them names, or are quoted from it. In documents
for a Python shell, Python blocks without such a line run one after another.
"""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Self

from support.documents import FILE, FILL_IN, FROM, WRITE, Block
from support.installing import Installed

IN_ANOTHER_TERMINAL = ("In another terminal:", "В другом терминале:")

# Lines that the guide leaves out, as it says.
OMITTED_LINES = re.compile(
    r"""
    ^(INFO..\[alembic\.runtime\.migration\].(Context.impl|Will.assume)
    |INFO..\[alembic\.runner\].copied.the.database
    |ERROR.\[alembic\.util\.messaging\]
    |embedded.PostgreSQL;.its.data.is.in
    |Running.post.write.hook|..done$
    ).*\n""",
    re.MULTILINE | re.VERBOSE,
)
NO_OMITTED_LINES = re.compile("(?!)")
FAILURE = re.compile(
    r"^FAILED: |^CONFLICT |^\S*(Error|MissingGreenlet): |not found$", re.MULTILINE
)

# Parts of the output that differ from run to run. An ellipsis stands for the rest of a line,
# or for whole lines.
TIME = r"\d{4}_\d\d_\d\d_\d{4}|\b\d+\.\d s\b"
REVISION = r"(?<![0-9A-Za-z])[0-9a-f]{12}(?![0-9A-Za-z])"
PASSWORD_OR_PORT = r"(?<=//postgres:)[\w-]{22}(?=@)|(?<=@127\.0\.0\.1:)\d{4,5}"
VARIABLE = re.compile(rf"(^…\n|…|{TIME}|{REVISION}|{PASSWORD_OR_PORT})", re.MULTILINE)

# Runs the blocks of sys.argv[1] in one namespace, as `python -m asyncio` does.
PYTHON_SHELL = """
import ast, asyncio, inspect, json, sys

async def main():
    names = {"__name__": "__main__"}
    for number, block in enumerate(json.loads(sys.argv[1]), 1):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        result = eval(compile(block, f"block {number}", "exec", flags=flags), names)
        if inspect.iscoroutine(result):
            await result
    await names["database"].close()

asyncio.run(main())
"""

END = "-- exit status:"
COMMAND_TIMEOUT_SECONDS = 300


class Substitutions:
    """The ids, password and port of a document, mapped to those of this run."""

    def __init__(self, omitted_lines: re.Pattern[str] = OMITTED_LINES) -> None:
        """Create an empty mapping."""
        self.omitted_lines = omitted_lines
        self.actual: dict[str, str] = {}

    def translate(self, text: str) -> str:
        """Substitute ids, also those that are cut short, password and port in a text."""
        for shown, actual in self.actual.items():
            text = text.replace(shown, actual)
            if re.fullmatch(REVISION, shown):
                short = rf"(?<![0-9A-Za-z]){shown[:4]}(?![0-9A-Za-z])"
                text = re.sub(short, actual[:4], text)
        return text

    def matches(self, shown: str, output: str) -> bool:
        """Compare output with the one shown, and learn new substitutions if it matches."""
        new: list[str] = []

        def pattern(part: str) -> str:
            if part == "…\n":
                return r"(?:.*\n)*?"
            if part == "…":
                return ".*"
            if re.fullmatch(TIME, part):
                return f"(?:{TIME})"
            if part in self.actual:
                return re.escape(self.actual[part])
            if part in new:
                return f"(?P=new{new.index(part)})"
            new.append(part)
            kind = "[0-9a-f]{12}" if re.fullmatch(REVISION, part) else r"[\w-]+"
            return f"(?P<new{len(new) - 1}>{kind})"

        parts = [
            pattern(part) if number % 2 else re.escape(part)
            for number, part in enumerate(VARIABLE.split(shown))
        ]
        match = re.fullmatch("".join(parts), self.omitted_lines.sub("", output))
        if match:
            self.actual |= {part: match[f"new{n}"] for n, part in enumerate(new)}
        return match is not None

    def has_lines_of(self, shown: str, output: str) -> bool:
        """Tell whether output has as many lines as the one shown."""
        lines = self.omitted_lines.sub("", output).count("\n")
        return lines == shown.count("\n")


class Terminal:
    """A shell that keeps its variables, environment and folder from command to command."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """Start the shell in a folder."""
        self.shell = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
            bufsize=1,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Like Ctrl-C, so that running commands can stop the processes they started.
        self.end(signal.SIGINT)
        self.shell.communicate(timeout=COMMAND_TIMEOUT_SECONDS)

    def end(self, number: signal.Signals) -> None:
        """Send a signal to the shell and all its commands."""
        if self.shell.poll() is None:
            os.killpg(self.shell.pid, number)

    def type(self, command: str) -> None:
        """Type a command without waiting for it."""
        assert self.shell.stdin
        # The command may end in a comment, so the brace needs its own line.
        self.shell.stdin.write(
            f'{{ {command}\n}} < /dev/null\nprintf "%s\\n" "{END} $?"\n'
        )

    def lines(self) -> Iterator[str]:
        """Iterate over the lines of the shell's output."""
        assert self.shell.stdout
        watchdog = threading.Timer(COMMAND_TIMEOUT_SECONDS, self.end, [signal.SIGKILL])
        watchdog.start()
        try:
            # `yield from` would close the stream at the end.
            for line in self.shell.stdout:  # noqa: UP028
                yield line
        finally:
            watchdog.cancel()

    def run(self, command: str) -> tuple[str, int]:
        """Run a command and return its output and its exit status."""
        self.type(command)
        output = ""
        for line in self.lines():
            before, end, status = line.partition(END)
            # A shell that is not interactive adds the number of the line.
            output += re.sub(r"^bash: line \d+: ", "bash: ", before)
            if end:
                return output, int(status)
        raise AssertionError(f"{command}: ended the shell, output:\n{output}")

    def start(self, command: str, is_complete: Callable[[str], bool]) -> str:
        """Start a command and return its first output that is complete."""
        self.type(command)
        output = ""
        for line in self.lines():
            assert END not in line, f"{command}: ended, output:\n{output}"
            output += line
            if is_complete(output):
                return output
        raise AssertionError(f"{command}: ended the shell, output:\n{output}")


class Reader:
    """A person at a terminal who does everything that a document says."""

    def __init__(
        self,
        installed: Installed,
        terminals: ExitStack,
        omitted_lines: re.Pattern[str] = OMITTED_LINES,
    ) -> None:
        """Open a terminal in the folder of an installed project."""
        self.project = installed.project.path
        # The guide needs psql, and the embedded server's package has one.
        psql = self.project.glob(".venv/lib/*/site-packages/*/pginstall*/bin")
        self.env = installed.env | {
            "PATH": ":".join([installed.env["PATH"], *map(str, psql)]),
            # Otherwise stdout and stderr arrive in another order than they were written.
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            **{f"GIT_{who}_NAME": "Ada" for who in ("AUTHOR", "COMMITTER")},
            **{
                f"GIT_{who}_EMAIL": "ada@example.com" for who in ("AUTHOR", "COMMITTER")
            },
        }
        self.substitutions = Substitutions(omitted_lines)
        self.terminals = terminals
        self.terminal = self.open_terminal()

    def open_terminal(self) -> Terminal:
        """Open another terminal in the project's folder."""
        return self.terminals.enter_context(Terminal(self.project, self.env))

    def follow(self, block: Block) -> None:
        """Run or write one block."""
        if block.language != "console":
            self.edit(block)
            return
        for command, shown in block.commands():
            typed = self.substitutions.translate(command)
            status = 0
            if block.above in IN_ANOTHER_TERMINAL:
                is_complete = partial(self.substitutions.has_lines_of, shown)
                output = self.open_terminal().start(typed, is_complete)
            else:
                output, status = self.terminal.run(typed)
            context = f"{block}\n$ {typed}\n{output}"
            if FAILURE.search(shown):
                assert status, f"should fail: {context}"
            else:
                assert not status, f"failed with status {status}: {context}"
            if shown:
                matches = self.substitutions.matches(shown, output)
                assert matches, f"other output: {context}"

    def edit(self, block: Block) -> None:
        """Write, change or quote a file as the line above a block says."""
        match = FILE.search(block.above)
        assert match
        new = self.substitutions.translate(block.text)
        path = self.project / match["path"]
        if match["verb"] in FROM:
            assert new in path.read_text(encoding="utf-8"), f"not in {path}: {block}"
            return
        if match["verb"] in WRITE:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(new, encoding="utf-8")
            return
        (path,) = path.parent.glob(path.name.replace("…", "*"))
        text = path.read_text(encoding="utf-8")
        if match["verb"] in FILL_IN:
            old = text[text.index("def upgrade") :]
        else:
            # Editors strip the blank that marks an empty line as unchanged.
            lines = re.sub("^\n", " \n", new, flags=re.MULTILINE).splitlines(True)
            old = "".join(line[1:] for line in lines if line[0] != "+")
            new = "".join(line[1:] for line in lines if line[0] != "-")
        assert text.count(old) == 1, f"{path}: {text.count(old)} matches for {block}"
        path.write_text(text.replace(old, new), encoding="utf-8")


def follow(
    blocks: Iterable[Block],
    installed: Installed,
    actual: Mapping[str, str] | None = None,
    omitted_lines: re.Pattern[str] = OMITTED_LINES,
) -> None:
    """Follow blocks in a project that uv installed.

    Args:
        blocks: The blocks, in their order.
        installed: The project.
        actual: Replacements for texts that a document cannot know, such as a URL.
        omitted_lines: The lines of output that the document leaves out.
    """
    # Tell `make setup` that everything is installed.
    (installed.project.path / ".venv" / "installed").touch()
    with ExitStack() as terminals:
        reader = Reader(installed, terminals, omitted_lines)
        reader.substitutions.actual |= actual or {}
        typed_into_python = []
        for block in blocks:
            if block.is_typed_into_python:
                typed_into_python.append(block.text)
            else:
                reader.follow(block)
    if typed_into_python:
        program = ("-W", "error", "-c", PYTHON_SHELL, json.dumps(typed_into_python))
        installed.run_with_database(installed.python, *program)
