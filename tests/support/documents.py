"""Read Markdown documents: their blocks, commands, links and headings."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\]\((?!https?://)(?P<path>[^)#]*)(?:#(?P<heading>[^)]*))?\)")
BLOCK = re.compile(
    r"^(?P<above>[^\n]*)\n\n```(?P<language>\w+)\n(?P<text>.*?)(?=^```$)",
    re.MULTILINE | re.DOTALL,
)

# Verbs of the line above a block that goes into a file, in each language.
WRITE = ("Write", "Создайте")
CHANGE = ("Change", "Измените")
FILL_IN = ("Fill in", "Заполните")
# A block that quotes a file.
FROM = ("From", "Из")
FILE = re.compile(
    rf"(?P<verb>{'|'.join((*WRITE, *CHANGE, *FILL_IN, *FROM))}) `(?P<path>[^`]+)`:$"
)
# Documents whose other Python blocks are typed into `python -m asyncio`, one after another.
PYTHON_SHELLS = ("docs/queries.md",)


@dataclass(frozen=True)
class Block:
    """A block of a document, with the line above it."""

    document: str
    line: int
    above: str
    language: str
    text: str

    @property
    def is_typed_into_python(self) -> bool:
        """True for a block that is typed into a Python shell."""
        return (
            self.document in PYTHON_SHELLS
            and self.language == "python"
            and not FILE.search(self.above)
        )

    def __str__(self) -> str:
        return f"{self.document}, line {self.line}: {self.above}\n\n{self.text}"

    def commands(self) -> Iterator[tuple[str, str]]:
        """Iterate over the commands, each with the output below it."""
        for typed in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, output = typed.partition("\n")
            yield command, output


def blocks(text: str, document: str = "") -> list[Block]:
    """Read all blocks of a document, and fail if a reader could not follow one."""
    found = [
        Block(
            document=document,
            line=text.count("\n", 0, match.start("text")),
            above=match["above"],
            language=match["language"],
            text=match["text"],
        )
        for match in BLOCK.finditer(text)
    ]
    fences = re.findall(r"^\s*```", text, re.MULTILINE)
    assert len(fences) == 2 * len(found), "a block has no line above, or no language"
    for block in found:
        if block.language == "console":
            assert block.text.startswith("$ "), f"no command on the first line: {block}"
        elif not block.is_typed_into_python:
            assert FILE.search(block.above), f"neither run nor written: {block}"
    return found


def consoles(text: str) -> list[Block]:
    """Read the blocks that are typed into a shell."""
    return [
        Block("", 0, match["above"], match["language"], match["text"])
        for match in BLOCK.finditer(text)
        if match["language"] == "console"
    ]


def commands(text: str) -> list[str]:
    """List the shell commands of a document, without comments."""
    return [
        re.sub(r" +#.*", "", command)
        for block in consoles(text)
        for command, _ in block.commands()
    ]


def broken_links(path: Path) -> list[str]:
    """List the links of a document that lead nowhere."""
    text = CODE.sub("", FENCED.sub("", path.read_text(encoding="utf-8")))
    return [
        link[0]
        for link in LINK.finditer(text)
        if not (path.parent / link["path"]).exists()
        or (
            link["heading"]
            and link["heading"] not in headings_of(path.parent / link["path"], path)
        )
    ]


def headings_of(target: Path, path: Path) -> list[str]:
    """List the anchors of a document's headings; a folder means the linking document."""
    text = (path if target.is_dir() else target).read_text(encoding="utf-8")
    found = re.findall(r"^#+ (.*)", FENCED.sub("", text), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in found]


def targets_of(makefile: str) -> list[str]:
    """List the targets of a Makefile."""
    (phony,) = re.findall(r"^\.PHONY: (.*)", makefile, re.MULTILINE)
    return str(phony).split()


def unknown_targets(text: str, targets: Iterable[str]) -> list[str]:
    """List the `make` commands of a document whose target is unknown."""
    typed = [*commands(text), *CODE.findall(FENCED.sub("", text))]
    made = [re.findall(r"^make ([a-z-]+)(?![a-z-]*=)", each) for each in typed]
    return [target for found in made for target in found if target not in targets]


def compile_python(path: Path) -> None:
    """Compile the Python blocks of a document."""
    text = path.read_text(encoding="utf-8")
    for code in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile(code, str(path), "exec", flags=flags)
