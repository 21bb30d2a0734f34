"""Whether values of many axes broadcast as a chain can compute them."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx_ir as ir

from .shapes import Unsupported, of_four_axes

__all__ = ["has_four_axes"]

FIRST = 1009  # an otherwise unused size, for the first axis whose size is unknown


def has_four_axes(values: Iterable[ir.Value | Any]) -> bool:
    """Whether broadcasting values and constants have at most four axes, once axes that can be merged are."""
    names: dict[str, int] = {}
    shapes: list[tuple[int, ...]] = []
    for value in values:
        if value.shape is None:
            return False
        sizes = [size if isinstance(size, int) else size.value for size in value.shape]
        if None in sizes and len(sizes) > 4:
            return False
        shapes.append(tuple(size if isinstance(size, int) else names.setdefault(str(size), FIRST + len(names))
                            for size in sizes))
    try:
        return max(map(len, shapes)) <= 4 or bool(of_four_axes(shapes))
    except Unsupported:
        return False
