"""Test the architecture of rendered projects: layers, circles, empty functions, private names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.combinations import ENDS, PROJECTS, Answers
from support.render import Render, RenderedProject
from support.source import Import, functions, imports, is_empty

each_project = pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)

# The parts of a package, each of which imports only parts above it. Routes and dependencies
# of the cache and the search add to the API, which finds them.
LAYERS = (
    {"db"},
    {"settings", "models"},
    {"migrations"},
    {"seeds", "health"},
    {"api"},
    {"cache", "search"},
    {"cli"},
    {"__main__"},
)
RANKS = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}

# Private names of other libraries, per database: (library, name, file of the package).
ALEMBIC_NAMES = {
    ("alembic", "_repr_type", "db/migration/autogenerate.py"),
    ("alembic", "_migrations_fn", "db/migration/runner.py"),
}
PRIVATE_NAMES: dict[str, set[tuple[str, str, str]]] = {
    "sqlite": {
        *ALEMBIC_NAMES,
        ("aiosqlite", "_conn", "db/driver.py"),
        ("aiosqlite", "_thread", "db/driver.py"),
    },
    "postgresql": {
        *ALEMBIC_NAMES,
        ("sqlalchemy", "_invalidate_schema_cache_asof", "db/migration/safety.py"),
    },
}
MAX_PRIVATE_NAMES = 5


def modules(project: RenderedProject) -> Iterator[tuple[str, ast.Module, bool]]:
    """Iterate over the modules of a package: name, tree, and whether it is a package."""
    for path in sorted(project.package.rglob("*.py")):
        parts = path.relative_to(project.path / "src").with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        yield name, ast.parse(path.read_bytes(), path.name), is_package


def own_imports(
    slug: str, modules: Iterator[tuple[str, ast.Module, bool]]
) -> Iterator[tuple[str, Import]]:
    """Iterate over the imports from the package of the modules."""
    for name, tree, is_package in modules:
        for each in imports(tree, name, is_package):
            if each.module.split(".")[0] == slug:
                yield name, each


def part_of(module: str, slug: str) -> str:
    """Return the part of the package that a module belongs to, "" for the package itself."""
    return module.removeprefix(slug).strip(".").split(".")[0]


def imported_parts(each: Import, slug: str) -> str:
    """Return the part of the package that an import takes from."""
    part = part_of(each.module, slug)
    return part or str(each.name or "")


def imports_against_the_layers(
    slug: str, modules: Iterator[tuple[str, ast.Module, bool]]
) -> list[str]:
    """List the imports from a part below, or beside."""
    wrong = []
    for name, each in own_imports(slug, modules):
        here, there = part_of(name, slug), imported_parts(each, slug)
        if here != there and not RANKS.get(there, 99) < RANKS.get(here, 99):
            wrong.append(f"{name}:{each.line} imports {there}")
    return wrong


def circles(
    slug: str, modules: list[tuple[str, ast.Module, bool]]
) -> list[tuple[str, ...]]:
    """List the circles of imports between modules, but those for types only."""
    names = {name for name, _, _ in modules}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for name, each in own_imports(slug, iter(modules)):
        if not each.for_types_only:
            *_, target = [target for target in each.targets if target in names] or [""]
            # A package and its modules may import each other's names.
            if target and target != name:
                graph[name].add(target)
    found: list[tuple[str, ...]] = []
    for start in sorted(graph):
        paths: list[tuple[str, ...]] = [(start, each) for each in sorted(graph[start])]
        seen: set[str] = set()
        while paths:
            path = paths.pop()
            if path[-1] == start:
                found.append(path)
                break
            if path[-1] not in seen:
                seen.add(path[-1])
                paths += [(*path, each) for each in sorted(graph[path[-1]])]
    return found


def parsed(**sources: str) -> list[tuple[str, ast.Module, bool]]:
    """Parse modules of a package called app, with two underscores for a dot."""
    return [
        (f"app.{name.replace('__', '.')}", ast.parse(source), False)
        for name, source in sources.items()
    ]


@each_project
def test_the_data_layer_imports_nothing_of_the_application(
    rendered: Render, answers: Answers
) -> None:
    project = rendered(**answers)
    assert [
        f"{name}:{each.line}"
        for name, each in own_imports(project.slug, modules(project))
        if part_of(name, project.slug) == "db"
        and part_of(each.module, project.slug) != "db"
    ] == []


@each_project
def test_imports_point_one_way(rendered: Render, answers: Answers) -> None:
    project = rendered(**answers)
    assert imports_against_the_layers(project.slug, modules(project)) == []


@each_project
def test_no_imports_go_in_a_circle(rendered: Render, answers: Answers) -> None:
    project = rendered(**answers)
    assert circles(project.slug, [*modules(project)]) == []


@pytest.mark.parametrize(
    "sources",
    [
        {"db__engine": "from ..settings import Settings"},
        {"models__user": "from ..api.schemas import UserRead"},
        {"cache__client": "from ..search import queries"},
        {"settings": "from . import cli"},
        {"db__engine": "def f():\n    from app.models import User"},
    ],
)
def test_an_import_against_the_layers_is_found(sources: dict[str, str]) -> None:
    assert len(imports_against_the_layers("app", iter(parsed(**sources)))) == 1


def test_a_circle_is_found() -> None:
    a, b = "from .b import x", "from .c import x"
    assert circles("app", parsed(a=a, b=b, c="from .a import x"))
    assert not circles("app", parsed(a=a, b=b, c="x = 1"))
    for_types = "if TYPE_CHECKING:\n    from .a import x"
    assert not circles("app", parsed(a=a, b=b, c=for_types))


# Functions


def empty_functions(source: str) -> list[str]:
    """Name the functions that do nothing, but those of protocols, overloads and interfaces."""
    return [
        function.name
        for function, owner in functions(ast.parse(source))
        if is_empty(function)
        and not (owner and any("Protocol" in ast.unparse(each) for each in owner.bases))
        and not any(
            ast.unparse(each).split(".")[-1] in ("overload", "abstractmethod")
            for each in function.decorator_list
        )
    ]


@each_project
def test_no_function_does_nothing(rendered: Render, answers: Answers) -> None:
    project = rendered(**answers)
    assert {
        name: empty
        for name in project.files("*.py")
        # A route or a task of a test may do nothing.
        if not Path(name).match("test_*.py")
        and (empty := empty_functions(project.read(name)))
    } == {}


@pytest.mark.parametrize("body", ["pass", "...", '"""Do nothing."""', "return None"])
def test_a_function_that_does_nothing_is_found(body: str) -> None:
    assert empty_functions(f"class A:\n    async def f(self):\n        {body}\n")
    protocol = f"class A(Protocol):\n    def f(self):\n        {body}\n"
    assert not empty_functions(protocol)
    assert not empty_functions("def f():\n    return 1\n")


# Private names


def own_names(trees: list[ast.Module]) -> set[str]:
    """Name what modules define: functions, classes, variables, attributes and arguments."""
    names = set()
    for tree in trees:
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    names.add(name)
                case ast.ClassDef(name=name):
                    names.add(name)
                case ast.Name(id=name, ctx=ast.Store()):
                    names.add(name)
                case ast.Attribute(
                    value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()
                ):
                    names.add(name)
                case ast.arg(arg=name):
                    names.add(name)
    return names


def private_names(tree: ast.Module, own: set[str]) -> Iterator[str]:
    """Iterate over names with one underscore that a module uses and the package lacks."""
    for node in ast.walk(tree):
        found: list[str] = []
        match node:
            case ast.Attribute(attr=name):
                found = [name]
            case ast.Import(names=aliases):
                found = [part for each in aliases for part in each.name.split(".")]
            case ast.ImportFrom(module=module, level=0, names=aliases):
                found = [*(module or "").split("."), *(each.name for each in aliases)]
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr"),
                args=[_, ast.Constant(value=str(name)), *_],
            ):
                found = [name]
        for name in found:
            if name.startswith("_") and not name.startswith("__") and name not in own:
                yield name


def uses_of_private_names(project: RenderedProject) -> set[tuple[str, str]]:
    """Return the private names of other libraries that a package uses, with their files."""
    trees = {
        path: ast.parse(path.read_bytes()) for path in project.package.rglob("*.py")
    }
    own = own_names([*trees.values()])
    return {
        (name, path.relative_to(project.package).as_posix())
        for path, tree in trees.items()
        for name in private_names(tree, own)
    }


@pytest.mark.parametrize("answers", ENDS.values(), ids=ENDS)
def test_private_names_are_listed(rendered: Render, answers: Answers) -> None:
    project = rendered(**answers)
    listed = {each[1:] for each in PRIVATE_NAMES[str(answers["database"])]}
    assert uses_of_private_names(project) == listed


def test_the_default_project_uses_few_private_names(rendered: Render) -> None:
    assert len(uses_of_private_names(rendered())) <= MAX_PRIVATE_NAMES


@pytest.mark.parametrize(
    "source",
    [
        "connection._protocol",
        "from asyncpg._testbase import x",
        "from sqlalchemy.engine import _x",
        "import sqlalchemy.pool._x",
        'getattr(connection, "_protocol")',
    ],
)
def test_a_private_name_is_found(source: str) -> None:
    assert [*private_names(ast.parse(source), set())]
    assert not [*private_names(ast.parse("self._own"), {"_own"})]
