"""The answers that the tests render, by name."""

import json
from itertools import combinations, product
from pathlib import Path

Answers = dict[str, str | bool]

QUESTIONS = json.loads(
    (Path(__file__).parents[1] / "cookiecutter.json").read_text(encoding="utf-8")
)
DATABASES: tuple[str, ...] = tuple(QUESTIONS["database"])
LANGUAGES: tuple[str, ...] = tuple(QUESTIONS["docs_language"])

# The optional parts: the questions that are answered with yes or no.
OPTIONS = [name for name, default in QUESTIONS.items() if isinstance(default, bool)]

# Line lengths and the order of imports depend on the name: the shortest, the default, the
# longest.
SLUGS = ("a", "async_app", "abcdefghij" * 5)


def name_of(answers: Answers) -> str:
    """Name a project by what it adds to the database, and "bare" if without samples."""
    chosen = [name for name in OPTIONS if answers[name] and name != "sample_models"]
    bare = [] if answers["sample_models"] else ["bare"]
    return "-".join([str(answers["database"]), *chosen, *bare])


def project(database: str, *changed: str) -> Answers:
    """Answer as by default, but for the options that are changed."""
    return {
        "database": database,
        **{name: QUESTIONS[name] is not (name in changed) for name in OPTIONS},
    }


def named(projects: list[Answers]) -> dict[str, Answers]:
    """Map the name of each project to its answers."""
    return {name_of(answers): answers for answers in projects}


# Each project that differs in its files, with the default name.
PROJECTS = named(
    [
        {"database": database, **dict(zip(OPTIONS, chosen, strict=True))}
        for database, *chosen in product(
            DATABASES, *[(QUESTIONS[name], not QUESTIONS[name]) for name in OPTIONS]
        )
    ]
)

# The same with documents that are not in English. The code is the same to the byte, as
# tests/test_languages.py holds, so that only tests of documents need these.
TRANSLATED: dict[str, Answers] = {
    f"{name}-{language}": {**answers, "docs_language": language}
    for (name, answers), language in product(PROJECTS.items(), LANGUAGES[1:])
}
WRITTEN = PROJECTS | TRANSLATED

# Every project under every name.
COMBINATIONS: dict[str, Answers] = {
    f"{name}-{len(slug)}": {**answers, "project_slug": slug}
    for (name, answers), slug in product(PROJECTS.items(), SLUGS)
}

# With nothing changed, and with all but one option changed: these hold each answer to an
# option beside each answer to every other. `matrix.py` runs every project.
PAIRS = named(
    [
        project(database, *changed)
        for database in DATABASES
        for changed in [(), *combinations(OPTIONS, max(len(OPTIONS) - 1, 1))]
    ]
)

# The least, the default, and the most, where more would be the same again.
ENDS = named(
    [
        project(database, *changed)
        for database in DATABASES
        for changed in [
            (),
            ("sample_models",),
            tuple(name for name in OPTIONS if not QUESTIONS[name]),
        ]
    ]
)

# The most of each database, in each other language.
TRANSLATED_ENDS = {
    name: answers
    for name, answers in TRANSLATED.items()
    if all(answers[option] for option in OPTIONS)
}
