"""Operators that reshape, reorder or create arrays."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from .table import Array, Function, NodeLike, attribute, checked_shape, operator


@operator("Reshape")
def _reshape(node: NodeLike, opset: int) -> Function:
    allow_zero = bool(attribute(node, "allowzero", 0))

    def run(x: Array, shape: Array) -> Array:
        given = [int(size) for size in shape]
        sizes = list(given)
        if not allow_zero:
            sizes = [x.shape[i] if size == 0 and i < x.ndim else size for i, size in enumerate(given)]
        if not x.size and not allow_zero and sizes.count(-1) == 1:
            sizes[sizes.index(-1)] = _rest(x.shape, given)
        return x.reshape(sizes)
    return run


def _rest(shape: tuple[int, ...], given: list[int]) -> int:
    """The size for -1 in a shape for an empty array: what the axes hold that the shape does not copy by 0."""
    count = math.prod(size for i, size in enumerate(shape) if i >= len(given) or given[i] != 0)
    others = math.prod(size for size in given if size not in (0, -1))
    return count // max(others, 1)


@operator("Flatten")
def _flatten(node: NodeLike, opset: int) -> Function:
    axis = attribute(node, "axis", 1)

    def run(x: Array) -> Array:
        if not -x.ndim <= axis <= x.ndim:
            raise ValueError(f"Expected `axis` within {x.ndim} dimensions, got {axis}")
        first = axis + x.ndim if axis < 0 else axis
        rows = int(np.prod(x.shape[:first], dtype=np.int64))
        return x.reshape(rows, int(np.prod(x.shape[first:], dtype=np.int64)))
    return run


@operator("Transpose")
def _transpose(node: NodeLike, opset: int) -> Function:
    order = attribute(node, "perm")
    return lambda x: np.transpose(x, order)


def _axes(x_ndim: int, axes: Any) -> tuple[int, ...]:
    found = tuple(int(axis) + x_ndim if axis < 0 else int(axis) for axis in np.asarray(axes).reshape(-1))
    if any(not 0 <= axis < x_ndim for axis in found):
        raise ValueError(f"Expected `axes` within {x_ndim} dimensions, got {tuple(np.asarray(axes).tolist())}")
    return found


@operator("Squeeze")
def _squeeze(node: NodeLike, opset: int) -> Function:
    fixed = attribute(node, "axes")

    def run(x: Array, axes: Any = None) -> Array:
        axes = fixed if axes is None else axes
        return np.squeeze(x, None if axes is None else _axes(x.ndim, axes))
    return run


@operator("Unsqueeze")
def _unsqueeze(node: NodeLike, opset: int) -> Function:
    fixed = attribute(node, "axes")

    def run(x: Array, axes: Any = None) -> Array:
        axes = fixed if axes is None else axes
        return np.expand_dims(x, _axes(x.ndim + np.size(axes), axes))
    return run


@operator("Concat")
def _concat(node: NodeLike, opset: int) -> Function:
    axis = attribute(node, "axis", 1)
    return lambda *arrays: np.concatenate(arrays, axis)


def equal_parts(total: int, count: int) -> list[int]:
    """The sizes of the parts of a Split: equal but for the last ones."""
    part = -(-total // count)
    return [max(0, min(part, total - i * part)) for i in range(count)]


@operator("Split")
def _split(node: NodeLike, opset: int) -> Function:
    axis, fixed, count = attribute(node, "axis", 0), attribute(node, "split"), len(node.outputs)

    def run(x: Array, split: Any = None) -> tuple[Array, ...]:
        sizes, total = fixed if split is None else split, x.shape[axis]
        sizes = equal_parts(total, count) if sizes is None else sizes
        if sum(int(size) for size in sizes) != total:
            raise ValueError(f"Expected parts that add up to {total}, got {[int(size) for size in sizes]}")
        return tuple(np.split(x, np.cumsum(np.asarray(sizes, np.int64))[:-1], axis))
    return run


@operator("Expand")
def _expand(node: NodeLike, opset: int) -> Function:
    def run(x: Array, shape: Array) -> Array:
        return np.broadcast_to(x, checked_shape(np.broadcast_shapes(x.shape, tuple(int(n) for n in shape)))).copy()
    return run


@operator("Tile")
def _tile(node: NodeLike, opset: int) -> Function:
    def run(x: Array, repeats: Array) -> Array:
        checked_shape([size * int(times) for size, times in zip(x.shape, repeats, strict=True)])
        return np.tile(x, repeats)
    return run


@operator("Shape")
def _shape(node: NodeLike, opset: int) -> Function:
    start, end = attribute(node, "start", 0), attribute(node, "end")
    return lambda x: np.array(x.shape[slice(start, end)], np.int64)


@operator("Size")
def _size(node: NodeLike, opset: int) -> Function:
    return lambda x: np.array(x.size, np.int64)


@operator("ConstantOfShape")
def _constant_of_shape(node: NodeLike, opset: int) -> Function:
    given = attribute(node, "value")
    value = np.zeros(1, np.float32) if given is None else given.numpy().reshape(-1)
    return lambda shape: np.full(checked_shape(shape), value[0], value.dtype)


@operator("Constant")
def _constant(node: NodeLike, opset: int) -> Function | None:
    for name, dtype in (("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64),
                        ("value_ints", np.int64)):
        if name in node.attributes:
            array = np.asarray(attribute(node, name), dtype)
            return lambda: array
    tensor = attribute(node, "value")
    return None if tensor is None else tensor.numpy


@operator("Range")
def _range(node: NodeLike, opset: int) -> Function:
    def run(start: Array, limit: Array, delta: Array) -> Array:
        start, limit, delta = (each.reshape(()) for each in (start, limit, delta))
        count = max(0, int(np.ceil((limit - start) / delta)))
        checked_shape([count])
        return np.asarray(start + np.arange(count, dtype=start.dtype) * delta).astype(start.dtype)
    return run


def _blocks(x: Array, size: int, mode: str) -> Array:
    """(N, C, H, W) with blocks of channels moved to the plane."""
    n, c, h, w = x.shape
    if mode == "DCR":
        moved = x.reshape(n, size, size, c // size ** 2, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        moved = x.reshape(n, c // size ** 2, size, size, h, w).transpose(0, 1, 4, 2, 5, 3)
    return moved.reshape(n, c // size ** 2, h * size, w * size)


@operator("DepthToSpace")
def _depth_to_space(node: NodeLike, opset: int) -> Function:
    size, mode = attribute(node, "blocksize"), attribute(node, "mode", "DCR")
    return lambda x: _blocks(x, size, mode)


@operator("SpaceToDepth")
def _space_to_depth(node: NodeLike, opset: int) -> Function | None:
    size = attribute(node, "blocksize")
    if attribute(node, "mode", "DCR") != "DCR":
        return None

    def run(x: Array) -> Array:
        n, c, h, w = x.shape
        moved = x.reshape(n, c, h // size, size, w // size, size).transpose(0, 3, 5, 1, 2, 4)
        return moved.reshape(n, c * size ** 2, h // size, w // size)
    return run
