"""Names of a package that are imported on first use."""
from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["on_request"]


def on_request(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package for modules that are imported when they, or one of the names in them,
    are first asked for. `homes`: by module, the names with spaces between."""
    home_of = {name: home for home, names in homes.items() for name in names.split()}
    home_of |= {home: home for home in homes if "." not in home}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{home_of[name]}")
        found = module if name == home_of[name] else getattr(module, name)
        setattr(sys.modules[package], name, found)
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of})

    return get, names
