"""Tests of the sources of the template: which by include, whether by table, nothing else."""

import ast
import re
from pathlib import Path

import pytest
from baking import PROJECT_TREE, TEMPLATE, template_files
from combinations import DATABASES

TEMPLATES = TEMPLATE / "templates"
SOURCES = template_files(".py", [PROJECT_TREE, TEMPLATES, TEMPLATE / "hooks"])
# A whole file that is an include, or one with another text in place of a part of it.
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
# What Jinja fills in inside Python: the name of the project, in imports and strings.
NAME = re.compile(r"\{\{ ?cookiecutter\.project_slug ?\}\}")


def relative(path: Path) -> str:
    """Name a file in the output of the tests."""
    return path.relative_to(TEMPLATE).as_posix()


def public_names(source: str) -> set[str]:
    """Name what a module offers: values, functions, and classes with their methods.

    The fields of a class may differ: those of the settings do, by their nature.
    """
    names = set()
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=name, body=body):
                names.add(name)
                for each in body:
                    if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                        names.add(f"{name}.{each.name}")
            case ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.ImportFrom(names=imported):
                names |= {each.name for each in imported if each.asname == each.name}
    return {name for name in names if not name.split(".")[-1].startswith("_")}


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_python_carries_no_block_tag_but_a_whole_file_that_is_one_include(
    path: Path,
) -> None:
    source = path.read_text(encoding="utf-8")
    assert STUB.fullmatch(source) or not re.search(r"\{%|%\}|\{#", source)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_python_is_valid_as_it_lies_but_for_the_name_of_the_project(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    if not STUB.fullmatch(source):
        ast.parse(NAME.sub("async_app", source), str(path))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_begins_with_one_sentence(path: Path) -> None:
    source = NAME.sub("async_app", path.read_text(encoding="utf-8"))
    # The first line of a revision is the message that it was made with.
    revisions = ("first_migration.py", "create_documents.py")
    if STUB.fullmatch(source) or not source or path.name in revisions:
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


def test_both_databases_offer_what_the_project_uses_of_them() -> None:
    # What is used under the name of the module, as in `dialect.create_engine`, and how it
    # is called in the templates, for a module of the package and one of migrations/.
    for module, folder, fragment in (
        ("dialect", "*.py", "dialect.py"),
        ("dialect", "models/*.py", "dialect.py"),
        ("dialect", "migrations/*.py", "migrations_dialect.py"),
        ("dialect", "search/*.py", "search_dialect.py"),
        ("scratch", "../../tests/conftest.py", "scratch.py"),
    ):
        package = PROJECT_TREE / "src" / "{{cookiecutter.project_slug}}"
        sources = [path.read_text(encoding="utf-8") for path in package.glob(folder)]
        used = set(
            re.findall(rf"(?<![.\w]){module}\.([A-Za-z_]+)", "".join(sources))
        ) - {"py"}
        assert used, fragment
        for database in DATABASES:
            source = (TEMPLATES / database / fragment).read_text(encoding="utf-8")
            assert used - public_names(source) == set(), database


@pytest.mark.parametrize("name", FRAGMENTS)
def test_a_fragment_carries_nothing_of_jinja_but_the_name(name: str) -> None:
    for database in DATABASES:
        source = (TEMPLATES / database / name).read_text(encoding="utf-8")
        assert not re.search(r"\{\{|\{%|\{#", NAME.sub("async_app", source))


def test_every_fragment_is_included_somewhere() -> None:
    stubs = "".join(
        path.read_text(encoding="utf-8")
        for path in template_files("", [PROJECT_TREE, TEMPLATES / "samples"])
        if "{% include" in path.read_text(encoding="utf-8")
    )
    assert [name for name in FRAGMENTS if f'"/{name}"' not in stubs] == []


def test_no_name_of_a_folder_or_file_depends_on_an_answer_but_the_slug() -> None:
    names = [path.name for path in PROJECT_TREE.rglob("*")]
    assert [name for name in names if "{" in name and not NAME.fullmatch(name)] == []


@pytest.mark.parametrize(
    "path", template_files("", [PROJECT_TREE, TEMPLATES]), ids=relative
)
def test_no_template_asks_for_the_day_or_for_chance(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"\{% ?now|random_ascii_string|uuid4\(\) ?\}\}", source)
