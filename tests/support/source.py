"""Read Python source: imports, docstrings, comments, functions, lines of code."""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """An import of a module, or of a name from a module, with absolute names."""

    module: str
    name: str | None
    line: int
    for_types_only: bool

    @property
    def targets(self) -> tuple[str, ...]:
        """The modules that this may import: the module, and the name if it is a submodule."""
        return (
            (self.module,)
            if self.name is None
            else (self.module, f"{self.module}.{self.name}")
        )


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[Import]:
    """Iterate over the imports of a module.

    Args:
        tree: The parsed module.
        module: Its absolute name.
        is_package: Whether it is the `__init__.py` of a package.
    """
    for node, for_types_only in _with_type_checking(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno, for_types_only)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                # One dot is the package of a module, which is a package's own name.
                kept = len(parents) - node.level + is_package
                base = ".".join([*parents[:kept], *filter(None, [node.module])])
            for alias in node.names:
                yield Import(base, alias.name, node.lineno, for_types_only)


def _with_type_checking(
    node: ast.AST, inside: bool = False
) -> Iterator[tuple[ast.AST, bool]]:
    yield node, inside
    checked: list[ast.stmt] = []
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        checked = node.body
    for child in ast.iter_child_nodes(node):
        yield from _with_type_checking(child, inside or child in checked)


def functions(tree: ast.AST) -> Iterator[tuple[Function, ast.ClassDef | None]]:
    """Iterate over all functions, each with the class that it is a method of."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield child, node if isinstance(node, ast.ClassDef) else None


def is_empty(function: Function) -> bool:
    """Tell whether the body of a function does nothing."""
    return all(
        isinstance(statement, ast.Pass)
        or (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
        )
        or (
            isinstance(statement, ast.Return)
            and (statement.value is None or ast.unparse(statement.value) == "None")
        )
        for statement in function.body
    )


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Iterate over docstrings, those under constants too, with their lines."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.lineno, node.value.value


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Iterate over comments, consecutive lines joined, with their lines."""
    first, last, text = 0, 0, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, words = token.start[0], token.string.lstrip("#! ")
            if text and line == last + 1:
                text, last = f"{text} {words}", line
                continue
            if text:
                yield first, text
            first, last, text = line, line, words
    if text:
        yield first, text


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Iterate over string literals but docstrings, with their lines."""
    aside = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in aside
        ):
            yield node.lineno, node.value


def lines_of_code(source: str) -> int:
    """Count lines with code: no docstrings, no comments, no blank lines."""
    texts = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    aside = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {
        line
        for token in tokens
        if token.type not in (*aside, tokenize.DEDENT, tokenize.ENDMARKER)
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(code - texts)


def public_names(source: str) -> set[str]:
    """Name the values, functions and classes of a module, and the methods of its classes.

    Fields are left out: the fields of settings differ per database.
    """
    names = set()
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=name, body=body):
                names.add(name)
                for each in body:
                    if isinstance(each, Function):
                        names.add(f"{name}.{each.name}")
            case ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.ImportFrom(names=imported):
                names |= {each.name for each in imported if each.asname == each.name}
    return {name for name in names if not name.split(".")[-1].startswith("_")}
