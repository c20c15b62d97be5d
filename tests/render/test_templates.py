"""Test the sources of the template: no block tag in Python, equal fragments per database."""

import ast
import re
from pathlib import Path

import pytest

from support.combinations import DATABASES
from support.render import PROJECT_TREE, TEMPLATE, template_files
from support.source import imports, public_names

TEMPLATES = TEMPLATE / "templates"
SOURCES = template_files(".py", [PROJECT_TREE, TEMPLATES, TEMPLATE / "hooks"])
# A file that is nothing but an include, maybe filtered.
STUB = re.compile(
    r"(\{% filter [^%]+ %\})?\{% include [^%]+ %\}(?(1)\{% endfilter %\})\n"
)
FRAGMENTS = sorted(
    {
        path.relative_to(TEMPLATES / database).as_posix()
        for database in DATABASES
        for path in template_files("", [TEMPLATES / database])
    }
)
# The name of the project, which is all that Jinja fills in inside Python.
NAME = re.compile(r"\{\{ ?cookiecutter\.project_slug ?\}\}")

# Modules that exist once per database, and that shared code imports.
MODULES = (
    "db/settings.py",
    "db/engine.py",
    "db/types.py",
    "db/errors.py",
    "db/bulk.py",
    "db/migration/safety.py",
    "search/backend.py",
    "tests/support/databases.py",
)


def relative(path: Path) -> str:
    """Name a file in the output of the tests."""
    return path.relative_to(TEMPLATE).as_posix()


def module_name(path: str) -> str:
    """Return the name that a file of the package or the tests is imported by."""
    root = "" if path.startswith("tests/") else "async_app/"
    name = (root + path.removeprefix("tests/")).removesuffix(".py")
    return name.removesuffix("/__init__").replace("/", ".")


def modules_of_the_project() -> dict[str, str]:
    """Map the modules of the package and of the tests, but stubs, to their sources."""
    package = PROJECT_TREE / "src" / "{{cookiecutter.project_slug}}"
    folders = {
        package: "",
        PROJECT_TREE / "tests": "tests/",
        TEMPLATES / "samples": "",
        TEMPLATES / "no_samples": "",
    }
    sources = {}
    for folder, prefix in folders.items():
        for path in template_files(".py", [folder]):
            source = path.read_text(encoding="utf-8")
            if not STUB.fullmatch(source):
                place = prefix + path.relative_to(folder).as_posix()
                sources[place] = NAME.sub("async_app", source)
    return sources


def names_used(module: str, sources: dict[str, str]) -> set[str]:
    """Name what sources import from a module, or use of it as attributes."""
    used = set()
    for place, source in sources.items():
        tree = ast.parse(source)
        is_package = place.endswith("__init__.py")
        for each in imports(tree, module_name(place), is_package):
            if each.module == module and each.name:
                used.add(each.name)
            elif f"{each.module}.{each.name}" == module:
                pattern = rf"(?<![.\w]){each.name}\.([A-Za-z_]+)"
                used |= set(re.findall(pattern, source)) - {"py"}
    return used


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_python_has_no_block_tag_but_in_stubs(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert STUB.fullmatch(source) or not re.search(r"\{%|%\}|\{#", source)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_python_is_valid_but_for_the_name_of_the_project(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    if not STUB.fullmatch(source):
        ast.parse(NAME.sub("async_app", source), str(path))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_starts_with_one_sentence(path: Path) -> None:
    source = NAME.sub("async_app", path.read_text(encoding="utf-8"))
    # The first line of a revision is its message.
    if STUB.fullmatch(source) or not source or path.parent.name == "versions":
        return
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring
    assert docstring.splitlines()[0].endswith(".")


def test_both_databases_have_the_same_files() -> None:
    assert FRAGMENTS
    for database in DATABASES:
        assert [
            name for name in FRAGMENTS if not (TEMPLATES / database / name).exists()
        ] == []


@pytest.mark.parametrize("fragment", MODULES)
def test_both_databases_have_the_names_that_are_imported(fragment: str) -> None:
    used = names_used(module_name(fragment), modules_of_the_project())
    assert used, f"no module imports {fragment}"
    for database in DATABASES:
        source = (TEMPLATES / database / fragment).read_text(encoding="utf-8")
        assert used - public_names(source) == set(), database


def test_names_are_found_in_every_form_of_import() -> None:
    sources = {
        "db/database.py": "from .engine import create_engine\n",
        "db/__init__.py": "from .engine import MAX_WRITERS\n",
        "health.py": "from .db import engine\nengine.close()\n",
        "tests/test_health.py": "from async_app.db.engine import connect\n",
    }
    used = names_used("async_app.db.engine", sources)
    assert used == {"create_engine", "MAX_WRITERS", "close", "connect"}


@pytest.mark.parametrize("name", FRAGMENTS)
def test_a_fragment_has_no_jinja_but_the_name(name: str) -> None:
    for database in DATABASES:
        source = (TEMPLATES / database / name).read_text(encoding="utf-8")
        assert not re.search(r"\{\{|\{%|\{#", NAME.sub("async_app", source))


def test_every_fragment_is_included() -> None:
    stubs = "".join(
        path.read_text(encoding="utf-8")
        for path in template_files("", [PROJECT_TREE, TEMPLATES / "samples"])
        if "{% include" in path.read_text(encoding="utf-8")
    )
    assert [name for name in FRAGMENTS if f'"/{name}"' not in stubs] == []


def test_file_names_depend_on_the_slug_only() -> None:
    names = [path.name for path in PROJECT_TREE.rglob("*")]
    assert [name for name in names if "{" in name and not NAME.fullmatch(name)] == []


def test_fragments_have_the_path_that_they_are_rendered_to() -> None:
    package = PROJECT_TREE / "src" / "{{cookiecutter.project_slug}}"
    included = [
        name
        for name in FRAGMENTS
        if not any((root / name).exists() for root in (PROJECT_TREE, package))
    ]
    assert included == []


@pytest.mark.parametrize(
    "path", template_files("", [PROJECT_TREE, TEMPLATES]), ids=relative
)
def test_no_template_uses_the_date_or_chance(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"\{% ?now|random_ascii_string|uuid4\(\) ?\}\}", source)
