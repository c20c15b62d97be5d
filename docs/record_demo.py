"""Record the picture in the README: run a rendered project, and draw its output as an SVG.

    .venv/bin/python docs/record_demo.py            write docs/demo.svg
    .venv/bin/python docs/record_demo.py --check    exit with 1 if a new run differs

The transcript is also the description of the picture, for screen readers and for `--check`,
which compares transcripts without their times and counts.
"""

import html
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

TEMPLATE = Path(__file__).resolve().parents[1]
PICTURE = TEMPLATE / "docs" / "demo.svg"
COLUMNS = 100
TIMEOUT_SECONDS = 600

COMMANDS = (
    'uvx cookiecutter gh:org/repo --no-input project_name="Book Club"',
    "cd book_club",
    "make --silent run",
    ".venv/bin/python -m pytest -q | tail -1",
    "sed -i 's/bio: /about: /' src/book_club/models/profile.py",
    '.venv/bin/alembic revision --autogenerate -m "rename bio"',
)

REPLACEMENTS = {
    "uvx cookiecutter gh:org/repo": f"'{sys.executable}' -m cookiecutter '{TEMPLATE}'",
}
"""Real commands for those that would download the template."""

STYLES = {
    r"^\$ .*": "bold bright_white",
    r"^INFO .*": "bright_black",
    r"^(ERROR|FAILED).*": "bright_red",
    r"^(write|read|undo|page) ": "bright_cyan",
    r"^\d+ passed.*": "bright_green",
}

VARIABLE = re.compile(r"\b\d+\.\d+ ?s\b( \([\d:]+\))?|\b\d+ passed\b")
FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
DESCRIPTION = re.compile(r"<desc>(.*?)</desc>", re.DOTALL)


def record() -> str:
    """Render a project into a temporary folder, run the commands, and return a transcript.

    Raises:
        RuntimeError: The shell ended before the last command.
    """
    environment = {
        # The Makefile finds uv there, which installs in a fifth of the time.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "UV_CACHE_DIR": str(TEMPLATE / ".cache" / "uv"),
        "PYTHONUNBUFFERED": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        shell = subprocess.run(
            ["bash"],
            input=_script(),
            cwd=folder,
            env=os.environ | environment | {"HOME": folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    transcript = "".join(_without_duplicates(shell.stdout))
    if f"$ {COMMANDS[-1]}" not in transcript:
        raise RuntimeError(f"the recording ended early:\n{transcript}")
    return transcript


def _script() -> str:
    """Return the shell script that shows each command and runs it."""
    lines = ["unset VIRTUAL_ENV PYTHONPATH PYTHONHOME"]
    for command in COMMANDS:
        real = command
        for shown, replacement in REPLACEMENTS.items():
            real = real.replace(shown, replacement)
        lines += [f"cat <<'END'\n$ {command}\nEND", f"{{ {real}; }} < /dev/null"]
    return "\n".join(lines) + "\n"


def _without_duplicates(output: str) -> Iterator[str]:
    """Drop Alembic's log line of an error that it also prints."""
    for line in output.splitlines(keepends=True):
        if not line.startswith("ERROR [alembic.util.messaging]"):
            yield line


def draw(transcript: str) -> str:
    """Return the transcript as an SVG that loads nothing from the network."""
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True
    )
    for line in transcript.splitlines():
        text = Text(line)
        for pattern, style in STYLES.items():
            text.highlight_regex(pattern, style)
        console.print(text)
    svg = FONT.sub("", console.export_svg(title="book_club", unique_id="demo"))
    head, tag, body = svg.partition(">\n")
    return f"{head}{tag}    <desc>{html.escape(transcript)}</desc>\n{body}"


def main(arguments: list[str]) -> int:
    """Write the picture, or check it, and return the exit status."""
    transcript = record()
    if "--check" not in arguments:
        PICTURE.write_text(draw(transcript), encoding="utf-8", newline="\n")
        return 0
    recorded = DESCRIPTION.search(PICTURE.read_text(encoding="utf-8"))
    old = html.unescape(recorded[1]) if recorded else ""
    if VARIABLE.sub("…", old) == VARIABLE.sub("…", transcript):
        return 0
    print(f"{PICTURE.name} is not current: python docs/record_demo.py\n{transcript}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
