"""The twin under the original's name, for code that imports the original."""
from __future__ import annotations

import pkgutil
import sys
from importlib import import_module

__all__ = ["install"]

PACKAGE = __name__.rpartition(".")[0]


def install(name: str = "pytorch_quantization") -> None:
    """Makes `import name`, and that of every submodule of it, give the twin's modules from now on.

    Calling it again does nothing.

    Args:
        name: the original's package name, or any other without dots.

    Raises:
        ImportError: another package of that name is already imported.
        ValueError: the name is no identifier.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"Expected `name` to be the name of a package without dots, got {name!r}")
    twin = sys.modules[PACKAGE]
    present = sys.modules.get(name)
    if present is not None and present is not twin:
        raise ImportError(f"{name} is already imported, from {getattr(present, '__file__', None) or 'a built-in'}: "
                          f"call {PACKAGE}.install() before anything imports {name}, or uninstall that package")
    found = pkgutil.walk_packages(twin.__path__, f"{PACKAGE}.")
    modules = {each.name.removeprefix(PACKAGE): import_module(each.name) for each in found}
    sys.modules.update({name + suffix: module for suffix, module in {"": twin, **modules}.items()})
