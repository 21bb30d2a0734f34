"""The structure of nested model outputs."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["filled", "leaves_of", "template"]


def template(answer: object, is_array: Callable[[Any], bool]) -> Any:
    """The tuples, lists and dictionaries of an output, with ... instead of each array."""
    if isinstance(answer, Mapping):
        return {key: template(value, is_array) for key, value in answer.items()}
    if isinstance(answer, tuple | list):
        return _like(answer, [template(each, is_array) for each in answer])
    return ... if is_array(answer) else answer


def _like(answer: object, inside: list[Any]) -> Any:
    if hasattr(answer, "_fields"):
        return type(answer)(*inside)
    return tuple(inside) if isinstance(answer, tuple) else inside


def filled(made: object, arrays: Iterator[Any]) -> Any:
    """A template with arrays."""
    if made is ...:
        return next(arrays)
    if isinstance(made, dict):
        return {key: filled(value, arrays) for key, value in made.items()}
    return _like(made, [filled(each, arrays) for each in made]) if isinstance(made, tuple | list) else made


def leaves_of(answer: object) -> Iterator[Any]:
    """What is inside, in the order of `filled`."""
    if isinstance(answer, Mapping):
        answer = answer.values()
    elif not isinstance(answer, tuple | list):
        yield answer
        return
    for each in answer:
        yield from leaves_of(each)
