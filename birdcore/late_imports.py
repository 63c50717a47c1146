"""Public names of a package that are imported when they are used first (PEP 562).

`import birdcore` and the commands that only look at a store stay quick in this way: torch, timm and
pyarrow take seconds to import.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def late_imports(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: Its `__name__`.
        modules: The names that each module of the package gives.
    """
    module_of = {name: module for module, names in modules.items() for name in names}

    def imported(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{module_of[name]}"), name)

    return imported
