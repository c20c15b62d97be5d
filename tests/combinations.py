"""The answers that the tests render, by name."""

from itertools import product

Answers = dict[str, str | bool]

DATABASES = ("sqlite", "postgresql")

# Line lengths and the order of imports depend on the name: the shortest, the default, the
# longest.
SLUGS = ("a", "async_app", "abcdefghij" * 5)

# Each project that differs in its files, with the default name.
PROJECTS: dict[str, Answers] = {
    f"{database}{'' if sample_models else '-bare'}": {
        "database": database,
        "sample_models": sample_models,
    }
    for database, sample_models in product(DATABASES, (True, False))
}

# Every project under every name.
COMBINATIONS: dict[str, Answers] = {
    f"{name}-{len(slug)}": {**answers, "project_slug": slug}
    for (name, answers), slug in product(PROJECTS.items(), SLUGS)
}
