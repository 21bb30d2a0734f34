"""Pad."""
from __future__ import annotations

from typing import Any

import numpy as np

from .table import Array, Function, NodeLike, attribute, checked_shape, operator

MODES = {"constant": "constant", "edge": "edge", "reflect": "reflect", "wrap": "wrap"}


@operator("Pad")
def _pad(node: NodeLike, opset: int) -> Function | None:
    mode = attribute(node, "mode", "constant")
    if mode not in MODES:
        return None

    def run(x: Array, pads: Array, value: Any = None, axes: Any = None) -> Array:
        chosen = list(range(x.ndim)) if axes is None else [int(axis) % x.ndim for axis in axes]
        if len(pads) != 2 * len(chosen):
            raise ValueError(f"Expected {2 * len(chosen)} `pads`, got {len(pads)}")
        amounts = [(0, 0)] * x.ndim
        for number, axis in enumerate(chosen):
            amounts[axis] = int(pads[number]), int(pads[number + len(chosen)])
        cut = tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(x.shape, amounts, strict=True))
        x, added = x[cut], [(max(0, a), max(0, b)) for a, b in amounts]
        checked_shape([n + a + b for n, (a, b) in zip(x.shape, added, strict=True)])
        if mode == "constant":
            fill = x.dtype.type(0) if value is None or not np.size(value) else np.asarray(value).reshape(-1)[0]
            return np.pad(x, added, constant_values=fill)
        return np.pad(x, added, MODES[mode])  # type: ignore[call-overload, no-any-return]
    return run
