"""Words that docstrings, comments, messages and documents avoid, each with a better one."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from support.source import comments, docstrings, strings

MAX_TEST_NAME_LENGTH = 60

FIRST_WORDS = (
    *("how", "that", "what", "when", "where"),
    *("whether", "which", "who", "whoever", "why"),
)

# English words, as regular expressions. Acronyms such as SQL's BEGIN are not meant.
ENGLISH = {
    r"(?<!email )(?<!IP )address(es)?\b": "URL",
    r"\banew\b": "again",
    r"\b(am|are|be|been|goes|gone|is|was|went|were) away\b": "unreachable",
    r"\b(began|begins?|begun|beginning)\b(?! (a |the |its |new )*(transaction|savepoint))": "start",
    r"\b(comes?|came|coming|brings?|brought|bringing) along\b": "has, includes",
    r"\bconstraints? (that )?(is|are|was|were)? ?broken\b|\bbreaks? (a|the) constraint\b": "violate",
    r"\b(lies|stands)\b(?! for\b)": "is in",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bnobody\b": "no caller, no user, none",
    r"\bof (its|my|one's|our|their|your) own\b": "its own …",
    r"\b(take|takes|taken|taking|took)( \w+){0,3} back\b": "revert, downgrade",
    r"(?<!in )\bturns?\b(?! (\w+ )?(off|on|out|into)\b)": "slot, become, page",
    r"\bwhoever\b": "the caller, the user, who",
}

# Russian phrases that read as a translation.
RUSSIAN = {
    r"\bвыполн\w+ (?:\w+ )?(миграци|ревизи)\w*": "применить",
    r"\bголов(а|ы|у|е|ой|ам|ами|ах)?\b": "head",
    r"настроить снаружи": "через окружение",
    r"не да(ё|е)т писать": "запрещает запись",
    r"базу и больше ничего": "менять только базу, без других побочных эффектов",
    r"с тех пор изменилось": "с момента создания проекта",
    r"назван своим ключом": "вопрос указывают по ключу",
    r"с прежними ответами": "с теми же ответами, что при создании",
    r"\bпоставят\b": "установят",
    r"стоит вместо остальных строк": "заменяет пропущенные строки",
    r"открывает API на": "поднимает API на",
    r"на один раз": "для разового использования",
    r"[Пп]редел байтов": "ограничения: размер запроса в байтах",
    r"вид данных в кэше": "формат",
    r"не задан — никто": "если не задан, запись закрыта для всех",
    r"отказывается от ревизий": "не создаёт ревизий, при которых теряются данные",
    r"[Сс]толбц\w+ без NULL": "столбцу NOT NULL",
    r"\*\*пакет\*\*": "пакетный режим (batch)",
    r"[Пп]ока базой пользуются": "миграции под нагрузкой",
    r"\bона отступает": "прекращает ожидание",
    r"\*\*сжатие\*\*|сжати\w \(contract\)": "сокращение (contract)",
    r"называет всё, что задержало бы": "показывает всё, что может их заблокировать",
    r"вызывает ошибку, в которой": "бросает исключение с объяснением",
    r"\bсто(и|я)т следом": "ссылаются на одну предыдущую ревизию",
    r"встанет следом": "пойдёт после чужой",
    r"выстраиваются по возрасту": "упорядочены по дате",
    r"наследует ли": "наследуется ли",
    r"вс(ё|е) бы пропало": "изменения были бы потеряны",
    r"выполняет кто-то один": "одновременно работает один процесс",
    r"ничто не обновляет": "если базу перед этим не обновить",
}

INLINE_CODE = re.compile(r"`+[^`]*`+")
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
# A string with this many words is a message.
MIN_MESSAGE_WORDS = 3


def banned_words(text: str, words: Mapping[str, str]) -> list[tuple[int, str]]:
    """List the banned words of a text, each with its line and a better word; skip code."""
    prose = text
    for code in (FENCED, INLINE_CODE):
        prose = code.sub(lambda match: "\n" * match[0].count("\n"), prose)
    prose = re.sub(r"\n[ \t]+", "\n", prose)
    return [
        (
            prose.count("\n", 0, match.start()),
            f"{' '.join(match[0].split())} -> {better}",
        )
        for pattern, better in words.items()
        # A phrase may be broken across lines.
        for match in re.finditer(pattern.replace(" ", r"\s"), prose, re.IGNORECASE)
        if not match[0].isupper()
    ]


def bad_first_word(docstring: str) -> str:
    """Return the first word of a docstring if it makes the docstring no sentence."""
    word = re.sub(r"\W*(\w*).*", r"\1", docstring, count=1, flags=re.DOTALL)
    return word if word.lower() in FIRST_WORDS else ""


def texts(name: str, source: str) -> Iterator[tuple[int, str]]:
    """Iterate over the texts for people in a file, with their lines."""
    match PurePath(name).suffix:
        case ".py":
            tree = ast.parse(source, name)
            yield from docstrings(tree)
            yield from comments(source)
            if not name.startswith("tests/"):
                for line, text in strings(tree):
                    if len(re.findall(r"[a-z]{2,} ", f"{text} ")) >= MIN_MESSAGE_WORDS:
                        yield line, text
        case ".md":
            yield 1, source
        case _:
            for number, comment in enumerate(source.splitlines(), 1):
                if "#" in comment:
                    yield number, comment.partition("#")[2]


def findings_in_words(
    name: str, source: str, words: Mapping[str, str] = ENGLISH
) -> list[str]:
    """List the banned words of a file."""
    return [
        f"{name}:{line + offset}: {word}"
        for line, text in texts(name, source)
        for offset, word in banned_words(text, words)
    ]


def findings_in_docstrings(name: str, source: str) -> list[str]:
    """List the docstrings of a module that start with a banned word."""
    return [
        f"{name}:{line}: {text.partition(chr(10))[0]}"
        for line, text in docstrings(ast.parse(source, name))
        if bad_first_word(text)
    ]


def long_test_names(name: str, source: str) -> list[str]:
    """List the tests of a module with a name that is too long."""
    return [
        f"{name}:{node.lineno}: {node.name} ({len(node.name)})"
        for node in ast.walk(ast.parse(source, name))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len(node.name) > MAX_TEST_NAME_LENGTH
    ]
