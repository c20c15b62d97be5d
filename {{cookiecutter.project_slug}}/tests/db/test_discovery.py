"""Tests of the discovery of modules."""

from {{cookiecutter.project_slug}}.db import discovery
from {{cookiecutter.project_slug}}.db.discovery import (
    import_submodules,
)

PACKAGE = discovery.__name__.partition(".")[0]


def test_every_module_with_the_name_is_found_once() -> None:
    found = [module.__name__ for module in import_submodules(PACKAGE, "settings")]
    assert f"{PACKAGE}.settings" in found
    assert f"{PACKAGE}.db.settings" in found
    assert len(found) == len(set(found))


def test_an_unknown_name_finds_nothing() -> None:
    assert import_submodules(PACKAGE, "nothing") == []
