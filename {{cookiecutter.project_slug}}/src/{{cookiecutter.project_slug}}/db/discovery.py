"""Import every submodule with a given name, so nothing needs registration."""

from importlib import import_module
from pathlib import Path
from types import ModuleType


def import_submodules(package: str, name: str) -> list[ModuleType]:
    """Import every module called `name` and every module in a folder of that name.

    For "models" that is `models/user.py`, `orders/models.py`, `orders/models/order.py`.

    Args:
        package: The import name of the application, such as "async_app".
        name: The name to look for, at any depth.

    Returns:
        The modules, in the order of their paths.
    """
    (root,) = map(Path, import_module(package).__path__)
    modules = []
    for path in sorted({*root.rglob(f"{name}/**/*.py"), *root.rglob(f"{name}.py")}):
        parts = path.relative_to(root).with_suffix("").parts
        names = parts[:-1] if parts[-1] == "__init__" else parts
        modules.append(import_module(".".join((package, *names))))
    return modules
