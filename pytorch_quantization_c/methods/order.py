"""The methods, what each needs, and the recommended order."""
from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from .._core.errors import shown

__all__ = ["METHODS", "MODULE_METHODS", "checked_methods"]

#: In the recommended order: what changes the float model, then ranges, rounding and biases.
METHODS = ("equalization", "bias_absorption", "activation_equalization", "smoothquant", "awq", "weight_mse", "gptq",
           "sequential_gptq", "adaround", "bias_correction")
MODULE_METHODS = tuple(each for each in METHODS if each != "sequential_gptq")     # graphs alone have that one
NEED_DATA = tuple(each for each in METHODS if each not in ("equalization", "weight_mse"))
EXCLUSIVE = (("gptq", "sequential_gptq"), ("gptq", "adaround"), ("sequential_gptq", "adaround"), ("smoothquant", "awq"))
ROUND_WEIGHTS = frozenset({"gptq", "sequential_gptq", "adaround"})
MAX_MSE_BITS = 4       # "weight_mse" is a default up to this width


def checked_methods(methods: Any, known: Iterable[str] = METHODS) -> tuple[str, ...]:
    """The names, in the order given; a UserWarning for an unusual order.

    Raises:
        ValueError: a name that is not known, or one given twice.
        TypeError: no iterable of names.
    """
    names = tuple(known)
    if isinstance(methods, str) or not isinstance(methods, Iterable):
        raise ValueError(f"Expected `methods` to be a tuple of names out of {names}, got {shown(methods)}")
    given = tuple(methods)
    unknown = [each for each in given if each not in names]
    if unknown:
        raise ValueError(f"Expected `methods` to be a tuple of names out of {names}, got {shown(given)}")
    if len(set(given)) < len(given):
        raise ValueError(f"Expected `methods` to have each name once, got {shown(given)}")
    _warn_of_order(given)
    return given


def _warn_of_order(given: tuple[str, ...]) -> None:
    for one, other in zip(given, given[1:], strict=False):
        if METHODS.index(one) > METHODS.index(other):
            warnings.warn(f"An unusual order: {other!r} after {one!r} undoes part of it; recommended is "
                          f"{tuple(sorted(given, key=METHODS.index))}", UserWarning, stacklevel=4)
            return
    for pair in EXCLUSIVE:
        if set(pair) <= set(given):
            warnings.warn(f"Of {pair[0]!r} and {pair[1]!r} the later one undoes the earlier one: one is enough",
                          UserWarning, stacklevel=4)
