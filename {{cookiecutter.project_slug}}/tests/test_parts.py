"""Tests of how modules are found."""

from {{cookiecutter.project_slug}} import parts


def test_every_module_of_a_kind_is_found_once() -> None:
    found = [module.__name__.partition(".")[2] for module in parts.load("models")]
    assert found[:2] == ["models", "models.base"]
    assert len(found) == len(set(found))


def test_a_kind_that_nothing_is_of_gives_nothing() -> None:
    assert parts.load("nothing") == []
