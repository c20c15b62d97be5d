"""Compare the documents of each language with the English ones, part by part.

A part is a heading, a paragraph, an item, a row of a table, or a block. Code, links, numbers
and the number of strong words must be the same in both.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import pytest

from support.combinations import LANGUAGES, TRANSLATED, Answers
from support.documents import CODE, headings_of
from support.render import TEMPLATE, Render, RenderedProject, questions, template_files

each_translated = pytest.mark.parametrize(
    "answers", TRANSLATED.values(), ids=TRANSLATED
)
each_language = pytest.mark.parametrize("language", LANGUAGES)

# Translated files of a project, and their names in templates/<language>/.
DOCUMENTS = {
    "AGENTS.md": "AGENTS.md",
    "README.md": "README.md",
    "docs/from-the-tutorials.md": "docs/from-the-tutorials.md",
    "docs/migrations.md": "docs/migrations.md",
    "docs/models.md": "docs/models.md",
    "docs/queries.md": "docs/queries.md",
    "docs/testing.md": "docs/testing.md",
    ".env.example": "env.example",
}
# The Makefile imports its help.
HELP = "make_help.txt"

# Parts that are answers, which are not translated.
ANSWERED = (questions()["project_name"], questions()["description"])

LETTERS = {"ru": re.compile("[А-Яа-яЁё]")}

# Words that need ё.
WITH_YO = """
    её неё чьё своё моё ещё вперёд путём причём черёд объём объёма подъём нём трёх
    четырёх счёт счёта счёте расчёт отчёт учёт учётом учёта идёт найдёт придёт пойдёт
    пройдёт перейдёт уйдёт войдёт даёт выдаёт создаёт отдаёт ждёт ведёт приведёт берёт
     живёт пришлёт прочтёт учтёт сочтёт вернёт вернётся начнёт начнётся остаётся
    удаётся встаёт удалён включён отключён подключён применён сохранён определён
    заведён приведён перенесён жёстко надёжный надёжно
    """

LINK = re.compile(r"\]\((?P<path>[^)#]*)(?:#(?P<heading>[^)]*))?\)")
# A block, a row, or lines up to a blank one or to the next part.
PART = re.compile(
    r"^```(?P<language>\w+)\n(?P<block>.*?)^```$"
    r"|^(?P<heading>#+) [^\n]*"
    r"|^(?P<row>\|[^\n]*)"
    r"|^(?P<item>- )?(?!```)\S[^\n]*(?:\n(?!- |\||```|\n)[^\n]+)*",
    re.MULTILINE | re.DOTALL,
)
SETTING = re.compile(r"^# ([A-Z_]+=|python -c ).*", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """A part of a document: its kind, the texts that translations keep, and its place."""

    kind: str
    kept: tuple[str, ...]
    line: int
    text: str

    @property
    def words(self) -> str:
        """The text to translate."""
        return "" if self.kind.startswith("block") else CODE.sub("", self.text)


def without_comments(language: str, block: str) -> str:
    """Remove the comments of a block, which may be translated.

    Docstrings are the same in every language, since other guides show changes to the same files.
    """
    if language == "console":
        return re.sub(r"^(\$ .*?) +# .*", r"\1", block, flags=re.MULTILINE)
    if language == "python":
        return re.sub(r"^( *)# .*", r"\1#", block, flags=re.MULTILINE)
    return block


def kept_of(text: str, path: Path) -> tuple[str, ...]:
    """List the code, links, numbers and strong words of a text."""
    words = CODE.sub("", text)
    links = []
    for link in LINK.finditer(words):
        target = link["path"]
        if link["heading"]:
            # Headings are translated, so compare their positions.
            headings = headings_of(path.parent / target, path)
            target += f"#{headings.index(link['heading'])}"
        links.append(f"link {target}")
    return (
        *sorted(f"`{code}`" for code in CODE.findall(text)),
        *sorted(links),
        *sorted(re.findall(r"\d+(?:[.:]\d+)*", LINK.sub("", words))),
        *["strong"] * (words.count("**") // 2),
    )


def parts_of_markdown(path: Path) -> Iterator[Part]:
    """Iterate over the parts of a Markdown document."""
    text = path.read_text(encoding="utf-8")
    kept: tuple[str, ...]
    for match in PART.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match["language"]:
            kind = f"block of {match['language']}"
            kept = (without_comments(match["language"], match["block"]),)
        elif match["row"]:
            kind = f"row of {match['row'].count('|')}"
            cells = match["row"].split(" | ")
            kept = tuple(
                f"{n}: {each}"
                for n, cell in enumerate(cells)
                for each in kept_of(cell, path)
            )
        else:
            kind = match["heading"] or match["item"] or "paragraph"
            kept = kept_of(match[0], path)
        yield Part(kind, kept, line, match[0])


def parts_of_example(path: Path) -> Iterator[Part]:
    """Iterate over the parts of .env.example: a comment, or a setting with its default."""
    comment = Part("comment", (), 0, "")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        is_comment = line.startswith("# ") and not SETTING.match(line)
        if comment.text and not is_comment:
            # Code has no backticks here.
            kept = re.findall(r"[A-Z_{}.]*_[A-Z_{}]+|\.env\.\w+|\d+", comment.text)
            yield replace(comment, kept=tuple(sorted(kept)))
            comment = Part("comment", (), 0, "")
        if is_comment:
            comment = replace(
                comment, line=comment.line or number, text=f"{comment.text}{line}\n"
            )
        else:
            yield Part("block of settings", (line,), number, line)


def parts(project: RenderedProject, name: str) -> list[Part]:
    """Read all parts of a document, and fail if a word belongs to none."""
    read = parts_of_markdown if name.endswith(".md") else parts_of_example
    found = list(read(project.path / name))
    overlooked = project.read(name).split()
    for part in found:
        del overlooked[: len(part.text.split())]
    assert not overlooked
    return found


def differences(english: list[Part], translated: list[Part], language: str) -> str:
    """Describe the first part of a translation that differs from English, if any."""
    for one, other in zip_longest(english, translated):
        if not one or not other:
            return f"only {'English' if one else language}: {one or other}"
        if (one.kind, one.kept) != (other.kind, other.kept):
            return f"not the same:\n{one}\n{other}"
        if one.text.lstrip("# ") in ANSWERED:
            continue
        if re.search("[a-z]{3}", LINK.sub("", one.words)):
            if not LETTERS[language].search(other.words):
                return f"not translated: {other}"
            if LETTERS[language].search(one.words):
                return f"not English: {one}"
    return ""


def in_english(answers: Answers) -> Answers:
    """Remove the language from answers."""
    return {
        question: answer
        for question, answer in answers.items()
        if question != "docs_language"
    }


@each_translated
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_translation_has_the_same_parts(
    rendered: Render, answers: Answers, name: str
) -> None:
    language = str(answers["docs_language"])
    english = parts(rendered(**in_english(answers)), name)
    assert len(english) > 5
    translated = parts(rendered(**answers), name)
    where = f"templates/{LANGUAGES[0]}/ and templates/{language}/{DOCUMENTS[name]}"
    difference = differences(english, translated, language)
    assert not difference, f"{where}, lines as rendered: {difference}"


@each_translated
def test_a_language_changes_only_documents(rendered: Render, answers: Answers) -> None:
    translated = rendered(**answers).contents()
    english = rendered(**in_english(answers)).contents()
    assert list(translated) == list(english)
    changed = {name for name in english if translated[name] != english[name]}
    assert changed == {*DOCUMENTS, "Makefile"}


@each_translated
def test_a_language_changes_only_the_help_of_make(
    rendered: Render, answers: Answers
) -> None:
    english, translated = (
        [line.partition(" ## ") for line in project.read("Makefile").splitlines()]
        for project in (rendered(**in_english(answers)), rendered(**answers))
    )
    assert [line[:2] for line in translated] == [line[:2] for line in english]
    letters = LETTERS[str(answers["docs_language"])]
    helps = [line[2] for line in translated if line[1]]
    assert [each for each in helps if not letters.search(each)] == []


def test_english_is_the_default_language(rendered: Render) -> None:
    assert rendered(docs_language="en").contents() == rendered().contents()


@each_language
def test_each_language_has_all_documents(language: str) -> None:
    folder = TEMPLATE / "templates" / language
    existing = {
        path.relative_to(folder).as_posix() for path in template_files("", [folder])
    }
    assert existing == {*DOCUMENTS.values(), HELP}


@pytest.mark.parametrize("name", DOCUMENTS.values())
def test_russian_typography(name: str) -> None:
    text = (TEMPLATE / "templates" / "ru" / name).read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", text)
    prose = CODE.sub("", SETTING.sub("", text))
    wrong = {
        "a quotation mark that is not «»": r'["“”„]',
        "a hyphen for a dash": r" --? |–",
        "the reader addressed in person": r"(?i)\b(вы|вам|вас|вами|ваш\w*)\b",
        "е for ё": rf"(?i)\b({'|'.join(WITH_YO.replace('ё', 'е').split())})\b",
    }
    found = {
        why: [match[0] for match in re.finditer(pattern, prose)]
        for why, pattern in wrong.items()
    }
    assert {why: words for why, words in found.items() if words} == {}
