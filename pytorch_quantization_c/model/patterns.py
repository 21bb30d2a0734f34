"""Which layers of a model a user's patterns select."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from .._core.descriptor import ScaledQuantDescriptor
from .._core.errors import shown

__all__ = ["Pattern", "chosen_by", "patterns_of"]


class Pattern(NamedTuple):
    """A pattern as it was given, and the names that it matches."""

    text: str
    names: frozenset[str]


def patterns_of(argument: str, given: str | Iterable[str], names: Sequence[str]) -> list[Pattern]:
    """The patterns of an argument of `replace`, matched with the names of all modules.

    Raises:
        TypeError: something else than a pattern or a list of patterns.
        ValueError: a bad expression, or a pattern that matches no name.
    """
    if not isinstance(given, str | Iterable):
        raise _refusal(argument, given)
    found = []
    for text in [given] if isinstance(given, str) else given:
        if not isinstance(text, str):
            raise _refusal(argument, text)
        test = _test(argument, text)
        matched = frozenset(filter(test, names))
        if text != "*" and not matched:
            raise ValueError(f"Expected each pattern of `{argument}` to match the name of a layer, {shown(text)} "
                             f"matches none of: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}")
        found.append(Pattern(text, matched))
    return found


def chosen_by(patterns: list[Pattern]) -> frozenset[str]:
    """The names that any of the patterns matches."""
    return frozenset().union(*(pattern.names for pattern in patterns))


def _refusal(argument: str, value: Any) -> TypeError:
    hint = ""
    if isinstance(value, ScaledQuantDescriptor):
        hint = ": name the argument, quant_desc_input=... or quant_desc_weight=..."
    elif hasattr(value, "named_modules") or isinstance(value, type):
        hint = ": layers are chosen by their names in model.named_modules()"
    return TypeError(f"Expected `{argument}` to be a pattern or a list of patterns, got {shown(value)}{hint}")


def _test(argument: str, pattern: str) -> Callable[[str], bool]:
    """Whether a name is selected. A glob also selects the layers inside containers that it matches."""
    if not pattern.startswith("re:"):
        return lambda name: any(fnmatchcase(each, pattern) for each in _with_containers(name))
    try:
        expression = re.compile(pattern[3:])
    except re.error as problem:
        raise ValueError(f"Expected `{argument}` to hold regular expressions after 're:', got {shown(pattern)}: "
                         f"{problem}") from None
    return lambda name: expression.match(name) is not None


def _with_containers(name: str) -> list[str]:
    """A name, and those of all modules around it but the model itself."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
