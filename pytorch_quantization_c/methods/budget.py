"""The format of each layer within a budget: the least noise, as far as a greedy choice finds it."""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .._core.errors import shown

__all__ = ["FLOAT", "Budget", "OverBudget", "check_drop", "checked_formats", "cheapest", "format_name", "given_budget",
           "is_number"]

FLOAT = 32      # bits of a layer that stays float

Costs = Mapping[str, Mapping[int, float]]


class Budget(NamedTuple):
    """What a search may spend.

    Attributes:
        name: "effective_bits", "macs" or "milliseconds".
        limit: the most that may be spent; of `macs` a share of the float model's if `is_share`.
        is_share: whether `limit` is a part of what the float model takes.
    """

    name: str
    limit: float
    is_share: bool = False

    def __str__(self) -> str:
        """As text, for messages."""
        if self.name == "effective_bits":
            return f"at most {self.limit:g} bits a weight"
        if self.name == "macs":
            return f"at most {self.limit:.4g}{' of the' if self.is_share else ''} multiplications of 32 bits"
        return f"at most {self.limit:g} milliseconds"


class OverBudget(ValueError):
    """Even the narrowest formats cost more, `least`."""

    def __init__(self, least: float) -> None:
        super().__init__(f"Expected a budget >= {least:.6g}, that of the narrowest formats")
        self.least = least


def given_budget(**values: Any) -> Budget:
    """The one budget that was given, out of those that a function has.

    Raises:
        TypeError: none, or more than one.
        ValueError: not a finite number above 0 or, for `macs`, a text such as "20%".
    """
    given = [(name, value) for name, value in values.items() if value is not None]
    if len(given) != 1:
        raise TypeError(f"Expected one of `{'`, `'.join(values)}`, got "
                        f"{', '.join(name for name, _ in given) or 'none'}")
    name, value = given[0]
    is_share = name == "macs" and isinstance(value, str) and value.endswith("%")
    number: Any = _percent(value) if is_share else value
    if not is_number(number) or not 0 < number < math.inf:
        also = " or a share as '20%'" if name == "macs" else ""
        raise ValueError(f"Expected `{name}` to be a number above 0{also}, got {shown(value)}")
    return Budget(name, float(number), is_share)


def _percent(text: str) -> float:
    try:
        return float(text[:-1]) / 100
    except ValueError:
        return math.nan


def is_number(value: Any) -> bool:
    """Whether a value is a real number, Python's or NumPy's, and not a bool."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_drop(max_drop: Any, metric: Any) -> None:
    """ValueError, TypeError for an invalid `max_drop` or `metric`."""
    if not is_number(max_drop) or not 0 <= max_drop < math.inf:
        raise ValueError(f"Expected `max_drop` to be a number >= 0, got {shown(max_drop)}")
    if not callable(metric):
        raise TypeError(f"Expected `metric` to be callable, got {type(metric).__name__}")


def checked_formats(formats: Any) -> tuple[int, ...]:
    """Different numbers of bits, the most first; FLOAT for "float"."""
    iterable = isinstance(formats, Iterable) and not isinstance(formats, str) and getattr(formats, "ndim", 1) == 1
    given: tuple[Any, ...] = tuple(formats) if iterable else ()
    if not given or not all(map(_is_format, given)):
        raise ValueError(f"Expected `formats` to be numbers of bits from 2 to 8, or 'float', got {shown(formats)}")
    found = tuple(sorted({FLOAT if isinstance(each, str) else int(each) for each in given}, reverse=True))
    if found == (FLOAT,):
        raise ValueError(f"Expected `formats` with numbers of bits, got {shown(formats)}")
    return found


def _is_format(value: Any) -> bool:
    if isinstance(value, str):
        return value == "float"
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(2 <= value <= 8)


def format_name(bits: int) -> str:
    """ "8 bits", or "float"."""
    return "float" if bits == FLOAT else f"{bits} bits"


def cheapest(noise: Costs, costs: Costs, limit: float) -> dict[str, int]:
    """Bits for each layer with the least sum of noise whose costs are within a limit, as far as a greedy choice finds.

    All begin with the most bits; as long as the sum of costs is above the limit, the step to fewer bits is taken that
    adds the least noise for what it saves; a step that saves nothing is never taken. What is then left of the budget
    is given back where it removes most noise. At least one layer has fewer bits than FLOAT.

    Args:
        noise: by layer and bits, the power of the noise it alone makes.
        costs: by layer and bits, what it takes.
        limit: OverBudget if even the least sum is more.
    """
    bits = {name: max(found) for name, found in noise.items()}
    while _sum(costs, bits) > limit * (1 + 1e-12):
        steps = _steps(noise, costs, bits)
        if not steps:
            raise OverBudget(_sum(costs, bits))
        _, name, fewer = min(steps)
        bits[name] = fewer
    _spend_the_rest(noise, costs, limit, bits)
    return one_quantized(noise, bits)


def _spend_the_rest(noise: Costs, costs: Costs, limit: float, bits: dict[str, int]) -> None:
    """Gives layers more bits while the budget allows, in place: each time where it removes most noise."""
    while True:
        room = limit * (1 + 1e-12) - _sum(costs, bits)
        wider = [(noise[name][now] - noise[name][more], name, more) for name, now in bits.items()
                 for more in noise[name] if more > now and costs[name][more] - costs[name][now] <= room]
        gain, name, more = max(wider, default=(0.0, "", 0))
        if not gain > 0:
            return
        bits[name] = more


def one_quantized(noise: Costs, bits: dict[str, int]) -> dict[str, int]:
    """The choice; where all is float, the layer that makes the least noise is not."""
    if set(bits.values()) != {FLOAT}:
        return bits
    found = {name: max(kind for kind in noise[name] if kind != FLOAT) for name in bits}
    name = min(bits, key=lambda each: noise[each][found[each]])
    return bits | {name: found[name]}


def _sum(costs: Costs, bits: Mapping[str, int]) -> float:
    return sum(costs[name][kind] for name, kind in bits.items())


def _steps(noise: Costs, costs: Costs, bits: Mapping[str, int]) -> list[tuple[float, str, int]]:
    found = []
    for name, now in bits.items():
        for fewer in noise[name]:
            saved = costs[name][now] - costs[name][fewer]
            if fewer < now and saved > 0:
                found.append(((noise[name][fewer] - noise[name][now]) / saved, name, fewer))
    return found
