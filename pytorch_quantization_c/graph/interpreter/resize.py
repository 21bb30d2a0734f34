"""Resize by the nearest element or linearly, one axis after the other."""
from __future__ import annotations

from typing import Any

import numpy as np

from ...float_nn.functional.resize import between, linear_along
from .table import Array, Function, NodeLike, attribute, checked_shape, operator

__all__ = ["nearest_places_of"]

COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def _places(n: int, m: int, scale: float, coordinates: str) -> Array:
    """Where the m new elements lie among the n old ones."""
    new = np.arange(m, dtype=np.float64)
    if coordinates == "align_corners":
        return new * ((n - 1) / (n * scale - 1)) if m > 1 else np.zeros(m)
    if coordinates == "asymmetric":
        return new / scale
    if coordinates == "pytorch_half_pixel" and m == 1:
        return np.zeros(m)
    if coordinates == "half_pixel_symmetric":
        whole = scale * n
        return n / 2 * (1 - m / whole) + (new + 0.5) / scale - 0.5
    return (new + 0.5) / scale - 0.5


def _nearest(places: Array, n: int, rule: str) -> Array:
    if rule == "round_prefer_floor":
        found = np.ceil(places - 0.5)
    elif rule == "round_prefer_ceil":
        found = np.floor(places + 0.5)
    else:
        found = np.floor(places) if rule == "floor" else np.ceil(places)
    return np.clip(found, 0, n - 1).astype(np.int64)


def _decimal(scale: Any) -> float:
    """The number whose shortest decimal a float32 is: 0.7, and not 0.699999988."""
    return float(str(np.float32(scale)))


def _linear(x: Array, axis: int, places: Array) -> Array:
    n = x.shape[axis]
    places = np.clip(places, 0, n - 1)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, n - 1)
    return between(x, axis, below, above, (places - below).astype(x.dtype))


def _scales_and_sizes(x: Array, scales: Any, sizes: Any, axes: list[int]) -> tuple[list[float], list[int]]:
    factors, lengths = [1.0] * x.ndim, list(x.shape)
    given = sizes if sizes is not None and np.size(sizes) else scales
    if given is None or len(given) != len(axes):
        raise ValueError(f"Expected {len(axes)} scales or sizes, got {None if given is None else len(given)}")
    for axis, value in zip(axes, given, strict=True):
        if given is sizes:
            factors[axis], lengths[axis] = int(value) / max(1, x.shape[axis]), int(value)
        else:
            factors[axis] = _decimal(value)
            lengths[axis] = int(np.floor(x.shape[axis] * factors[axis]))
    return factors, list(checked_shape(lengths))


def nearest_places_of(node: NodeLike, n: int, m: int, factor: float) -> Array | None:
    """Which of n elements a Resize that takes the nearest one has at each of m places; None if that is not known."""
    rule, coordinates = attribute(node, "nearest_mode", "round_prefer_floor"), _coordinates(node)
    if rule not in NEAREST or coordinates is None:
        return None
    return _nearest(_places(n, m, factor, coordinates), n, rule)


def _coordinates(node: NodeLike) -> str | None:
    found = attribute(node, "coordinate_transformation_mode", "half_pixel")
    plain = attribute(node, "keep_aspect_ratio_policy", "stretch") == "stretch" and not attribute(node, "antialias", 0)
    return str(found) if found in COORDINATES and plain else None


@operator("Resize")
def _resize(node: NodeLike, opset: int) -> Function | None:
    mode, rule = attribute(node, "mode", "nearest"), attribute(node, "nearest_mode", "round_prefer_floor")
    coordinates = _coordinates(node)
    if mode not in ("nearest", "linear") or coordinates is None or rule not in NEAREST:
        return None
    chosen = attribute(node, "axes")

    def run(x: Array, roi: Any = None, scales: Any = None, sizes: Any = None) -> Any:
        if mode == "linear" and x.dtype.char not in "fd":
            return NotImplemented
        axes = list(range(x.ndim)) if chosen is None else [axis % x.ndim for axis in chosen]
        factors, lengths = _scales_and_sizes(x, scales, sizes, axes)
        for axis in reversed(axes):
            n, m = x.shape[axis], lengths[axis]
            if n == m and factors[axis] == 1:
                continue
            corners = coordinates == "align_corners"
            if mode == "linear" and (coordinates == "half_pixel" or (corners and n * factors[axis] == m)):
                given = None if sizes is not None and np.size(sizes) else factors[axis]
                x = linear_along(x, axis, m, given, corners)
                continue
            places = _places(n, m, factors[axis], coordinates)
            x = _linear(x, axis, places) if mode == "linear" else np.take(x, _nearest(places, n, rule), axis)
        return x
    return run
