"""How what belongs together is found where it lies, without being registered."""

from importlib import import_module
from pathlib import Path
from types import ModuleType


def load(kind: str) -> list[ModuleType]:
    """Import every module of a kind, such as "models", and return them by their path.

    It is found as any module of a folder of that name, and as a file of that name, at
    any depth: `models/user.py`, `orders/models.py`, `orders/models/order.py`.
    """
    package = Path(__file__).parent
    found = {*package.rglob(f"{kind}/**/*.py"), *package.rglob(f"{kind}.py")}
    modules = []
    for path in sorted(found):
        parts = path.relative_to(package).with_suffix("").parts
        names = parts[:-1] if parts[-1] == "__init__" else parts
        modules.append(import_module(f"{__package__}.{'.'.join(names)}"))
    return modules
