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
from combinations import ENDS, TRANSLATED_ENDS, WRITTEN, Answers
from installing import Install, Installed

GUIDED = ENDS | TRANSLATED_ENDS
each_guided = pytest.mark.parametrize("answers", GUIDED.values(), ids=GUIDED)
each_written = pytest.mark.parametrize("answers", WRITTEN.values(), ids=WRITTEN)

GUIDE = "docs/migrations.md"
BLOCK = re.compile(
    r"^(?P<above>[^\n]*)\n\n```(?P<language>\w+)\n(?P<text>.*?)(?=^```$)",
    re.MULTILINE | re.DOTALL,
)
# What a line above a block says, in each language.
WRITE = ("Write", "Создайте")
CHANGE = ("Change", "Измените")
FILL_IN = ("Fill in", "Заполните")
FILE = re.compile(
    rf"(?P<what>{'|'.join((*WRITE, *CHANGE, *FILL_IN))}) `(?P<path>[^`]+)`:$"
)
IN_ANOTHER_TERMINAL = ("In another terminal:", "В другом терминале:")

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
TIME = r"\d{4}_\d\d_\d\d_\d{4}|\b\d+\.\d s\b"
REVISION = r"(?<![0-9A-Za-z])[0-9a-f]{12}(?![0-9A-Za-z])"
PASSWORD_OR_PORT = r"(?<=//postgres:)[\w-]{22}(?=@)|(?<=@127\.0\.0\.1:)\d{4,5}"
VARIABLE = re.compile(rf"(^…\n|…|{TIME}|{REVISION}|{PASSWORD_OR_PORT})", re.MULTILINE)

END = "-- the command has ended with"
PATIENCE = 300
"""Seconds that one command may take."""


@dataclass(frozen=True)
class Block:
    """A block of the guide, with the line above it."""

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
    fences = re.findall(r"^\s*```", guide, re.MULTILINE)
    assert len(fences) == 2 * len(found), "a block has no line above, or no language"
    for block in found:
        if block.language == "console":
            assert block.text.startswith("$ "), f"no command begins {block}"
        else:
            assert FILE.search(block.above), f"neither run nor written: {block}"
    return found


class Known:
    """What the guide's ids, password and port are in truth."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.real: dict[str, str] = {}

    def translate(self, text: str) -> str:
        """Put the real ones into a text, for an id that is cut short as well."""
        for shown, real in self.real.items():
            text = text.replace(shown, real)
            if re.fullmatch(REVISION, shown):
                short = rf"(?<![0-9A-Za-z]){shown[:4]}(?![0-9A-Za-z])"
                text = re.sub(short, real[:4], text)
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
            errors="backslashreplace",
            bufsize=1,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # As Ctrl-C does, so that what still runs can end what it has started.
        self.end(signal.SIGINT)
        self.shell.communicate(timeout=PATIENCE)

    def end(self, how: signal.Signals) -> None:
        """End the shell and what it runs."""
        if self.shell.poll() is None:
            os.killpg(self.shell.pid, how)

    def type(self, command: str) -> None:
        """Type a command and wait for nothing."""
        assert self.shell.stdin
        # The line ends before the brace because the command may end in a comment.
        self.shell.stdin.write(
            f'{{ {command}\n}} < /dev/null\nprintf "%s\\n" "{END} $?"\n'
        )

    def lines(self) -> Iterator[str]:
        """Read what the shell says, line by line."""
        assert self.shell.stdout
        watchdog = threading.Timer(PATIENCE, self.end, [signal.SIGKILL])
        watchdog.start()
        try:
            # Not `yield from`, which would close it in the end.
            for line in self.shell.stdout:  # noqa: UP028
                yield line
        finally:
            watchdog.cancel()

    def run(self, command: str) -> tuple[str, int]:
        """Run a command and return what it said, and its exit status."""
        self.type(command)
        said = ""
        for line in self.lines():
            before, end, status = line.partition(END)
            # A shell that is not typed into names the line as well.
            said += re.sub(r"^bash: line \d+: ", "bash: ", before)
            if end:
                return said, int(status)
        raise AssertionError(f"{command}: it ended the shell, which said\n{said}")

    def run_on(self, command: str, lines: int) -> str:
        """Run a command until it has said some lines, and let it run on."""
        self.type(command)
        said = ""
        for line in self.lines():
            assert END not in line, f"{command}: it ended, and said\n{said}"
            said += line
            if LEFT_OUT.sub("", said).count("\n") == lines:
                return said
        raise AssertionError(f"{command}: it ended the shell, which said\n{said}")


class Reader:
    """Someone who does all that the guide says."""

    def __init__(self, installed: Installed, terminals: ExitStack) -> None:
        """Sit down before a project that is installed."""
        self.project = installed.project.path
        # The guide needs psql, and the embedded server brings one along.
        brought = self.project.glob(".venv/lib/*/site-packages/*/pginstall*/bin")
        self.env = installed.env | {
            "PATH": ":".join([installed.env["PATH"], *map(str, brought)]),
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
            status = 0
            if block.above in IN_ANOTHER_TERMINAL:
                said = self.open_terminal().run_on(typed, shown.count("\n"))
            else:
                said, status = self.terminal.run(typed)
            context = f"{block}\n$ {typed}\n{said}"
            if FAILURE.search(shown):
                assert status, f"it should fail: {context}"
            else:
                assert not status, f"it fails with {status}: {context}"
            if shown:
                assert self.known.agree(shown, said), f"it says otherwise: {context}"

    def edit(self, block: Block) -> None:
        """Do to a file what the line above a block says."""
        match = FILE.search(block.above)
        assert match
        new = self.known.translate(block.text)
        path = self.project / match["path"]
        if match["what"] in WRITE:
            path.write_text(new, encoding="utf-8")
            return
        (path,) = path.parent.glob(path.name.replace("…", "*"))
        text = path.read_text(encoding="utf-8")
        if match["what"] in FILL_IN:
            old = text[text.index("def upgrade") :]
        else:
            # An empty line did not change: the blank that says so would get lost.
            lines = re.sub("^\n", " \n", new, flags=re.MULTILINE).splitlines(True)
            old = "".join(line[1:] for line in lines if line[0] != "+")
            new = "".join(line[1:] for line in lines if line[0] != "-")
        assert text.count(old) == 1, f"{path} has this {text.count(old)} times: {block}"
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="types into bash")
@each_guided
def test_what_the_guide_says_is_what_happens(
    install: Install, answers: Answers
) -> None:
    installed = install(answers)
    # `make setup` has nothing to do, since uv has installed the same.
    (installed.project.path / ".venv" / "installed").touch()
    with ExitStack() as terminals:
        reader = Reader(installed, terminals)
        for block in blocks(installed.project.read(GUIDE)):
            reader.follow(block)
    # And what came of it is what the project demands of its migrations and its code.
    installed.run("pytest", "-q", "-p", "no:cacheprovider", "tests/test_migrations.py")
    installed.run("black", "--check", "--diff", "--quiet", ".")
    installed.run("ruff", "check", "--no-cache", ".")


@each_written
def test_every_block_of_the_guide_is_run_or_written(
    baked: Bake, answers: Answers
) -> None:
    assert len(blocks(baked(**answers).read(GUIDE))) > 30


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("text:\n\n```console\nalembic current\n```\n", "no command begins"),
        ("text:\n\n```python\nprint()\n```\n", "neither run nor written"),
        ("text:\n\n```\n$ alembic current\n```\n", "no language"),
        ("text:\n```console\n$ alembic current\n```\n", "no line above"),
        ("- text:\n\n  ```console\n  $ alembic current\n  ```\n", "no line above"),
    ],
)
def test_a_block_that_would_be_overlooked_is_an_error(wrong: str, why: str) -> None:
    right = "text:\n\n```console\n$ alembic current\n```\n\n"
    assert len(blocks(right)) == 1
    with pytest.raises(AssertionError, match=why):
        blocks(right + wrong)


def test_what_differs_from_run_to_run_is_learned_once() -> None:
    known = Known()
    new = "Generating …/2026_03_02_0915-4c1e8a07b2d9_x.py ...  done\n"
    said = "Generating /home/2030_12_31_2359-aaaabbbbcccc_x.py ...  done\n"
    assert not known.agree(new, said.replace("done", "FAILED"))
    assert not known.agree(new, said + "and more\n")
    assert known.agree(new, said)
    assert known.translate("-r 4c1e:4c1e8a07b2d9") == "-r aaaa:aaaabbbbcccc"
    assert known.agree("…\n4c1e8a07b2d9 (head)\n", "a\nb\naaaabbbbcccc (head)\n")
    assert not known.agree("4c1e8a07b2d9 (head)\n", "bbbbbbbbcccc (head)\n")
    assert not known.agree("applied 1/1 in 0.0 s\n", "applied 1/2 in 0.0 s\n")
    assert known.agree("applied 1/1 in 0.0 s\n", "applied 1/1 in 17.3 s\n")
