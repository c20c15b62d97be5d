"""Answers that the tests render, by name."""

import json
from itertools import combinations, product
from pathlib import Path

Answers = dict[str, str | bool]

QUESTIONS = json.loads(
    (Path(__file__).parents[2] / "cookiecutter.json").read_text(encoding="utf-8")
)
LABELS = QUESTIONS["__prompts__"]
DATABASES: tuple[str, ...] = tuple(QUESTIONS["database"])
LANGUAGES: tuple[str, ...] = tuple(QUESTIONS["docs_language"])

# Another answer than the default to each question.
OTHER_ANSWERS: Answers = {
    "project_name": "Otherwise",
    "project_slug": "otherwise_named",
    "description": "Something else.",
    "author_name": "Ada Lovelace",
    "author_email": "ada@example.org",
    "license": "Apache-2.0",
    "python_version": "3.12",
    "database": "postgresql",
    "api": True,
    "cache": True,
    "search": True,
    "sample_models": False,
    "docs_language": "ru",
}

# Questions with yes or no for an answer, each of which adds a part to the project.
OPTIONS = [name for name, default in QUESTIONS.items() if isinstance(default, bool)]

# The shortest, the default and the longest name: line lengths and import order depend on it.
SLUGS = ("a", "async_app", "abcdefghij" * 5)


def name_of(answers: Answers) -> str:
    """Name a project by its database and options; "bare" means no sample models."""
    chosen = [name for name in OPTIONS if answers[name] and name != "sample_models"]
    bare = [] if answers["sample_models"] else ["bare"]
    return "-".join([str(answers["database"]), *chosen, *bare])


def project(database: str, *changed: str) -> Answers:
    """Return the default answers for a database, with some options flipped."""
    return {
        "database": database,
        **{name: QUESTIONS[name] is not (name in changed) for name in OPTIONS},
    }


def named(projects: list[Answers]) -> dict[str, Answers]:
    """Map the name of each project to its answers."""
    return {name_of(answers): answers for answers in projects}


# Every project that differs in its files, with the default slug.
PROJECTS = named(
    [
        {"database": database, **dict(zip(OPTIONS, chosen, strict=True))}
        for database, *chosen in product(
            DATABASES, *[(QUESTIONS[name], not QUESTIONS[name]) for name in OPTIONS]
        )
    ]
)

# The same projects with documents in other languages. Their code is the same to the byte
# (tests/render/test_languages.py), so only tests of documents need them.
TRANSLATED: dict[str, Answers] = {
    f"{name}-{language}": {**answers, "docs_language": language}
    for (name, answers), language in product(PROJECTS.items(), LANGUAGES[1:])
}
LOCALIZED = PROJECTS | TRANSLATED

# Every project with every slug.
COMBINATIONS: dict[str, Answers] = {
    f"{name}-{len(slug)}": {**answers, "project_slug": slug}
    for (name, answers), slug in product(PROJECTS.items(), SLUGS)
}

# The default options, and all but one of them flipped: every pair of answers to two options
# occurs. `run_all.py` runs every project.
PAIRS = named(
    [
        project(database, *changed)
        for database in DATABASES
        for changed in [(), *combinations(OPTIONS, max(len(OPTIONS) - 1, 1))]
    ]
)

# The smallest, the default and the largest project of each database.
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

# The largest project of each database in each other language.
TRANSLATED_ENDS = {
    name: answers
    for name, answers in TRANSLATED.items()
    if all(answers[option] for option in OPTIONS)
}
