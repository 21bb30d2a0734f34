"""Resize by the nearest element, linearly or by cubics, one axis after the other."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ...float_nn.functional.resize import linear_places
from .table import Array, Function, NodeLike, attribute, checked_shape, operator

__all__ = ["COORDINATES", "MODES", "NEAREST", "Sampling", "nearest_places_of", "sampling_of"]

COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
MODES = ("nearest", "linear", "cubic")
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def _places(n: int, m: int, factor: float | None, coordinates: str) -> Array:
    """Where the m new elements lie among the n old ones; factor: None if m was given.

    Each is one division of numbers that are exact if the factor is short: where it is an integer, it is that integer.
    """
    new, whole = np.arange(m, dtype=np.float64), m if factor is None else n * factor
    old, scale = (n, m) if factor is None else (1, factor)
    if coordinates == "align_corners":
        return new * (n - 1) / (whole - 1) if m > 1 else np.zeros(m)
    if coordinates == "asymmetric":
        return new * old / scale
    if coordinates == "pytorch_half_pixel" and m == 1:
        return np.zeros(m)
    if coordinates == "half_pixel_symmetric":  # what a factor leaves beside the new elements, on both sides
        new = new + (whole - m) / 2
    return (new + 0.5) * old / scale - 0.5


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


class Sampling(NamedTuple):
    """How elements are found between those of an axis: the attributes of a Resize."""

    mode: str
    coordinates: str
    rule: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude: bool = False  # cubics leave out what lies outside

    def taps(self, n: int, m: int, factor: float, sized: bool, dtype: DTypeLike) -> tuple[Array, Array] | None:
        """Which of n elements are added up for each of m, and their weights: (m, taps) each; None: nothing changes.

        Args:
            n, m: the old size and the new one.
            factor: by which the axis grows.
            sized: the new size was given, not the factor.
            dtype: of the weights.
        """
        if n == m and factor == 1:
            return None
        corners = self.coordinates == "align_corners"
        if self.mode == "linear" and (self.coordinates == "half_pixel" or (corners and n * factor == m)):
            below, above, weight = linear_places(n, m, None if sized else factor, corners, dtype)
            return _between(below, above, weight)
        places = _places(n, m, None if sized else factor, self.coordinates)
        if self.mode == "nearest":
            return _nearest(places, n, self.rule)[:, None], np.ones((m, 1), dtype)
        if self.mode == "cubic":
            return self._cubic(places, n, dtype)
        places = np.clip(places, 0, n - 1)
        below = np.floor(places).astype(np.int64)
        return _between(below, np.minimum(below + 1, n - 1), (places - below).astype(dtype))

    def _cubic(self, places: Array, n: int, dtype: DTypeLike) -> tuple[Array, Array]:
        a, first = self.cubic, np.floor(places)
        distances = np.abs((places - first)[:, None] - np.arange(-1, 3))
        near = ((a + 2) * distances - (a + 3)) * distances ** 2 + 1
        far = ((a * distances - 5 * a) * distances + 8 * a) * distances - 4 * a
        weights = np.where(distances <= 1, near, far)
        chosen = first[:, None].astype(np.int64) + np.arange(-1, 3)
        if self.exclude:
            weights[(chosen < 0) | (chosen >= n)] = 0
            weights /= weights.sum(axis=1, keepdims=True)
        return np.clip(chosen, 0, n - 1), weights.astype(dtype)


def _between(below: Array, above: Array, weight: Array) -> tuple[Array, Array]:
    return np.stack([below, above], axis=1), np.stack([weight.dtype.type(1) - weight, weight], axis=1)


def _sampled(x: Array, axis: int, places: Array, weights: Array) -> Array:
    """Resamples an axis: a weighted sum of elements, accumulated in order."""
    if places.shape[1] == 1:
        return np.take(x, places[:, 0], axis)
    wide = (-1, *(1,) * (x.ndim - 1 - axis))
    result = np.take(x, places[:, 0], axis)
    result *= weights[:, 0].reshape(wide)
    for place, weight in zip(places.T[1:], weights.T[1:], strict=True):
        part = np.take(x, place, axis)
        part *= weight.reshape(wide)
        result += part
    return result


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


def sampling_of(node: NodeLike) -> Sampling | None:
    """How a Resize finds its elements; None if that is not known."""
    mode, rule = attribute(node, "mode", "nearest"), attribute(node, "nearest_mode", "round_prefer_floor")
    coordinates = _coordinates(node)
    if mode not in MODES or coordinates is None or rule not in NEAREST:
        return None
    return Sampling(mode, coordinates, rule, _decimal(attribute(node, "cubic_coeff_a", -0.75)),
                    bool(attribute(node, "exclude_outside", 0)))


@operator("Resize")
def _resize(node: NodeLike, opset: int) -> Function | None:
    sampling, chosen = sampling_of(node), attribute(node, "axes")
    if sampling is None:
        return None

    def run(x: Array, roi: Any = None, scales: Any = None, sizes: Any = None) -> Any:
        if sampling.mode != "nearest" and x.dtype.char not in "fd":
            return NotImplemented
        axes = list(range(x.ndim)) if chosen is None else [axis % x.ndim for axis in chosen]
        factors, lengths = _scales_and_sizes(x, scales, sizes, axes)
        sized = sizes is not None and bool(np.size(sizes))
        for axis in reversed(axes):
            found = sampling.taps(x.shape[axis], lengths[axis], factors[axis], sized, x.dtype)
            x = x if found is None else _sampled(x, axis, *found)
        return x
    return run
