"""Does what the rendered guide to migrations says, from top to bottom, as a reader would.

Blocks of `console` are typed into a shell, and what they show is compared with what it
says. Other blocks go into the file that the line above them names. There is no third kind.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from baking import Bake
from combinations import PROJECTS, Answers
from test_project import Install, Installed, install, uv_environment  # noqa: F401

each_project = pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)

GUIDE = "docs/migrations.md"
BLOCK = re.compile(
    r"^(?P<above>[^\n]*)\n\n```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"(?P<what>Write|Change|Fill in) `(?P<path>[^`]+)`.*:$")
IN_ANOTHER_TERMINAL = "In another terminal:"

# The guide says that it leaves these lines out.
LEFT_OUT = re.compile(
    r"""
    ^(INFO..\[alembic\.runtime\.migration\].(Context.impl|Will.assume)
    |INFO..\[alembic\.runner\].copied.the.database
    |ERROR.\[alembic\.util\.messaging\]
    |embedded.PostgreSQL;.its.data.is.in
    |Running.post.write.hook|..done$
    ).*\n""",
    re.MULTILINE | re.VERBOSE,
)
FAILURE = re.compile(
    r"^FAILED: |^\S*(Error|MissingGreenlet): |not found$", re.MULTILINE
)

# What differs from run to run. An ellipsis stands for anything in a line, or for lines.
TIME = r"\d{4}_\d\d_\d\d_\d{4}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}|\b\d+\.\d s\b"
REVISION = r"(?<![0-9A-Za-z])[0-9a-f]{12}(?![0-9A-Za-z])"
PASSWORD_OR_PORT = r"(?<=//postgres:)[\w-]{22}(?=@)|(?<=@127\.0\.0\.1:)\d+"
VARIABLE = re.compile(rf"(^…\n|…|{TIME}|{REVISION}|{PASSWORD_OR_PORT})", re.MULTILINE)

END = "-- the command has ended with"
PATIENCE = 300
"""Seconds that one command may take."""


@dataclass(frozen=True)
class Block:
    """A block of the guide, with the line of text above it."""

    line: int
    above: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{GUIDE}, line {self.line}: {self.above}\n\n{self.text}"

    def commands(self) -> Iterator[tuple[str, str]]:
        """Go through the commands, each with what it shows."""
        for typed in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, shown = typed.partition("\n")
            yield command, shown


def blocks(guide: str) -> list[Block]:
    """Read all blocks, and fail where one would be overlooked."""
    found = [
        Block(
            line=guide.count("\n", 0, match.start("text")),
            above=match["above"],
            language=match["language"],
            text=match["text"],
        )
        for match in BLOCK.finditer(guide)
    ]
    assert 2 * len(found) == guide.count("```"), "a block stands below no line of text"
    for block in found:
        if block.language == "console":
            assert block.text.startswith("$ "), f"no command begins {block}"
        else:
            assert FILE.search(block.above), f"neither run nor written: {block}"
    return found


class Known:
    """What the guide's ids, passwords and ports are in truth."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.real: dict[str, str] = {}

    def translate(self, text: str) -> str:
        """Put the real ones into a text, for an id that is cut short as well."""
        for shown, real in self.real.items():
            text = text.replace(shown, real)
            if re.fullmatch(REVISION, shown):
                for length in range(4, 12):
                    short = rf"(?<![0-9A-Za-z]){shown[:length]}(?![0-9A-Za-z])"
                    text = re.sub(short, real[:length], text)
        return text

    def agree(self, shown: str, said: str) -> bool:
        """Tell whether what was said is what is shown, and learn the real ones from it."""
        new: list[str] = []

        def pattern(part: str) -> str:
            if part == "…\n":
                return r"(?:.*\n)*?"
            if part == "…":
                return ".*"
            if re.fullmatch(TIME, part):
                return f"(?:{TIME})"
            if part in self.real:
                return re.escape(self.real[part])
            if part in new:
                return f"(?P=new{new.index(part)})"
            new.append(part)
            kind = "[0-9a-f]{12}" if re.fullmatch(REVISION, part) else r"[\w-]+"
            return f"(?P<new{len(new) - 1}>{kind})"

        parts = [
            pattern(part) if number % 2 else re.escape(part)
            for number, part in enumerate(VARIABLE.split(shown))
        ]
        match = re.fullmatch("".join(parts), LEFT_OUT.sub("", said))
        if match:
            self.real |= {part: match[f"new{n}"] for n, part in enumerate(new)}
        return match is not None


class Terminal:
    """A shell that remembers what was exported, activated or changed into."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """Start it in a folder."""
        self.shell = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            bufsize=1,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # As Ctrl-C does, so that what still runs can end what it has started.
        os.killpg(self.shell.pid, signal.SIGINT)
        self.shell.communicate(timeout=PATIENCE)

    def type(self, command: str) -> None:
        """Type a command and wait for nothing."""
        assert self.shell.stdin
        # The newline before the brace ends a comment at the end of the command.
        self.shell.stdin.write(
            f'{{ {command}\n}} < /dev/null\nprintf "%s\\n" "{END} $?"\n'
        )

    def lines(self) -> Iterator[str]:
        """Read what the shell says, line by line."""
        assert self.shell.stdout
        watchdog = threading.Timer(PATIENCE, self.shell.kill)
        watchdog.start()
        try:
            for line in self.shell.stdout:  # `yield from` would close it in the end
                yield line
        finally:
            watchdog.cancel()

    def run(self, command: str) -> tuple[str, int]:
        """Run a command and return what it said, and its exit status."""
        self.type(command)
        said = ""
        for line in self.lines():
            before, end, status = line.partition(END)
            said += before
            if end:
                # Where its script is standard input, bash names the line of it.
                return re.sub(
                    r"^bash: line \d+: ", "bash: ", said, flags=re.MULTILINE
                ), int(status)
        raise AssertionError(f"{command} took the shell with it, which said:\n{said}")

    def run_until(self, command: str, lines: int) -> str:
        """Run a command until it has said some lines, and let it go on."""
        self.type(command)
        said = ""
        for line in self.lines():
            said += line
            if LEFT_OUT.sub("", said).count("\n") == lines:
                return said
        raise AssertionError(f"{command} ended with:\n{said}")


class Reader:
    """Someone who does all that the guide says."""

    def __init__(self, installed: Installed, terminals: ExitStack) -> None:
        """Sit down before a project that is installed."""
        self.project = installed.project.path
        self.env = installed.env | {
            # So that both streams come in the order in which they were written to.
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
        }
        self.known = Known()
        self.terminals = terminals
        self.terminal = self.open_terminal()

    def open_terminal(self) -> Terminal:
        """Open a terminal in the project's folder."""
        return self.terminals.enter_context(Terminal(self.project, self.env))

    def follow(self, block: Block) -> None:
        """Do what one block says."""
        if block.language != "console":
            self.edit(block)
            return
        for command, shown in block.commands():
            typed = self.known.translate(command)
            if block.above == IN_ANOTHER_TERMINAL:
                said, failed = (
                    self.open_terminal().run_until(typed, shown.count("\n")),
                    False,
                )
            else:
                said, status = self.terminal.run(typed)
                failed = status != 0
            context = f"{block}\n$ {typed}\n{said}"
            assert failed == bool(
                FAILURE.search(shown)
            ), f"it {'fails' if failed else 'works'}: {context}"
            if shown:
                assert self.known.agree(
                    shown, said
                ), f"it says something else: {context}"

    def edit(self, block: Block) -> None:
        """Do to a file what the line above a block says."""
        match = FILE.search(block.above)
        assert match
        new = self.known.translate(block.text)
        path = self.project / match["path"]
        if "…" in path.name:
            (path,) = path.parent.glob(path.name.replace("…", "*"))
        if match["what"] == "Write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(new, encoding="utf-8")
            return
        text = path.read_text(encoding="utf-8")
        if match["what"] == "Fill in":
            old = text[text.index("\ndef upgrade") + 1 :]
        else:
            # An empty line is one that did not change: blanks at its end would get lost.
            lines = re.sub(r"^$\n", " \n", new, flags=re.MULTILINE).splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] != "+")
            new = "".join(line[1:] for line in lines if line[0] != "-")
        assert text.count(old) == 1, f"{path} has this {text.count(old)} times: {block}"
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="types into bash")
@each_project
def test_all_that_the_guide_says_is_true(
    install: Install, answers: Answers
) -> None:  # noqa: F811
    installed = install(answers)
    # What `make setup` writes, since uv has installed the same.
    (installed.project.path / ".venv" / "installed").touch()
    with ExitStack() as terminals:
        reader = Reader(installed, terminals)
        for block in blocks(installed.project.read(GUIDE)):
            reader.follow(block)
    installed.run("black", "--check", "--diff", "--quiet", ".")
    installed.run("ruff", "check", "--no-cache", ".")


@each_project
def test_every_block_of_the_guide_is_run_or_written(
    baked: Bake, answers: Answers
) -> None:
    assert len(blocks(baked(**answers).read(GUIDE))) > 30
