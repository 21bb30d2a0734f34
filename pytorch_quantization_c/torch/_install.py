"""The twin under the original's name, for code that imports the original."""
from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

__all__ = ["install"]

PACKAGE = __name__.rpartition(".")[0]
ORIGINAL_VERSION = "2.2.1"


def _normalized(name: str) -> str:
    """A distribution's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


class _Distribution(metadata.Distribution):
    """What importlib.metadata finds of the package that the twin stands for."""

    def __init__(self, name: str) -> None:
        self._texts = {"METADATA": f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\n"
                                   f"Version: {ORIGINAL_VERSION}\n", "top_level.txt": name + "\n"}

    def read_text(self, filename: Any) -> str | None:
        return self._texts.get(str(filename))

    def locate_file(self, path: Any) -> Any:
        return Path(__file__).parent / path


class _Finder:
    """On `sys.meta_path`: imports nothing, knows the distribution of an installed name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        return None

    def find_distributions(self, context: Any = None) -> Iterator[metadata.Distribution]:
        wanted = getattr(context, "name", None)
        mine = wanted is None or _normalized(wanted) == _normalized(self.name)
        return iter([_Distribution(self.name)] if mine else [])


def install(name: str = "pytorch_quantization") -> None:
    """Makes `import name`, and that of every submodule of it, give the twin's modules from now on.

    `importlib.util.find_spec` and `importlib.metadata.version` answer as for an installed 2.2.1, and `__version__` of
    the twin is that version from now on. Calling it again does nothing.

    Args:
        name: the original's package name, or any other without dots.

    Raises:
        ImportError: another package of that name is already imported.
        ValueError: the name is not an identifier.
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
    for module in (twin, modules[".version"]):
        vars(module)["__version__"] = ORIGINAL_VERSION
    if not any(isinstance(each, _Finder) and each.name == name for each in sys.meta_path):
        finders: list[Any] = sys.meta_path
        finders.insert(0, _Finder(name))
