"""GridSample: pixels of images at places that another array names."""
from __future__ import annotations

from typing import Any

import numpy as np

from .table import Array, Function, NodeLike, attribute, operator

MODES = {"linear": "linear", "bilinear": "linear", "nearest": "nearest", "cubic": "cubic", "bicubic": "cubic"}
CUBIC = -0.75  # the coefficient of the cubic, as in torch


def _padded(places: Array, size: int, padding: str, aligned: bool) -> Array:
    """Places on the image for those outside: at its border, or mirrored at it."""
    if padding == "reflection":
        low, high = (0.0, size - 1.0) if aligned else (-0.5, size - 0.5)
        span = high - low
        if span == 0:
            return np.zeros_like(places)
        far = np.abs(places - places.dtype.type(low)) % places.dtype.type(2 * span)
        places = places.dtype.type(low) + np.minimum(far, places.dtype.type(2 * span) - far)
    return places if padding == "zeros" else np.clip(places, 0, size - 1)


def _taps(places: Array, size: int, mode: str, padding: str, aligned: bool) -> list[tuple[Array, Array]]:
    """Pixels along an axis with their weights; those outside of the image weigh nothing."""
    if mode != "cubic":
        places = _padded(places, size, padding, aligned)
    kind = places.dtype.type
    if mode == "nearest":
        found = [(np.rint(places), np.ones_like(places))]
    else:
        first = np.floor(places)
        t = places - first
        if mode == "linear":
            found = [(first, 1 - t), (first + 1, t)]
        else:
            def near(d: Array) -> Array:
                return np.asarray(((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1)

            def far(d: Array) -> Array:
                return np.asarray(((d - 5) * d + 8) * d - 4) * CUBIC
            found = [(first - 1, far(t + 1)), (first, near(t)), (first + 1, near(1 - t)), (first + 2, far(2 - t))]
            found = [(_padded(at, size, padding, aligned), weight) for at, weight in found]
    return [(np.clip(np.nan_to_num(at), 0, size - 1).astype(np.int64), np.where((at >= 0) & (at < size), weight, 0)
             .astype(kind)) for at, weight in found]


@operator("GridSample", floats=True)
def _grid_sample(node: NodeLike, opset: int) -> Function:
    mode, padding = MODES.get(attribute(node, "mode", "linear")), attribute(node, "padding_mode", "zeros")
    aligned = bool(attribute(node, "align_corners", 0))

    def run(x: Array, grid: Array) -> Any:
        if x.ndim != 4 or mode is None or padding not in ("zeros", "border", "reflection") or grid.dtype != x.dtype:
            return NotImplemented
        if grid.ndim != 4 or grid.shape[-1] != 2 or len(grid) != len(x):
            raise ValueError(f"Expected places (batch, height, width, 2) for images of shape {x.shape}, "
                             f"got {grid.shape}")
        if not x.size or not grid.size:
            return NotImplemented
        sizes, kind = x.shape[:1:-1], x.dtype.type
        shifted = [grid[..., i] + kind(1) for i in (0, 1)]
        axes = [at / kind(2) * kind(n - 1) if aligned else (at * kind(n) - kind(1)) / kind(2)
                for at, n in zip(shifted, sizes, strict=True)]
        along_x, along_y = (_taps(places, n, mode, padding, aligned) for places, n in zip(axes, sizes, strict=True))
        images, made = np.arange(len(x))[:, None, None], np.zeros((*grid.shape[:3], x.shape[1]), x.dtype)
        for y, of_y in along_y:
            for column, of_x in along_x:
                made += x[images, :, y, column] * (of_y * of_x)[..., None]
        return np.ascontiguousarray(made.transpose(0, 3, 1, 2))
    return run
