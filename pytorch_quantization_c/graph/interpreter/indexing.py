"""Operators that select elements."""
from __future__ import annotations

from typing import Any

import numpy as np

from .table import Array, Function, NodeLike, attribute, checked_shape, operator


def _checked(indices: Array, size: int) -> Array:
    if indices.size and not -size <= int(indices.min()) <= int(indices.max()) < size:
        raise ValueError(f"Expected indices within [{-size}, {size}), got {indices.min()} to {indices.max()}")
    return np.asarray(indices)


@operator("Gather")
def _gather(node: NodeLike, opset: int) -> Function:
    axis = attribute(node, "axis", 0)
    return lambda x, indices: np.take(x, _checked(indices, x.shape[axis]), axis)


@operator("GatherElements")
def _gather_elements(node: NodeLike, opset: int) -> Function:
    axis = attribute(node, "axis", 0)

    def run(x: Array, indices: Array) -> Array:
        places = list(np.ogrid[tuple(slice(size) for size in indices.shape)])
        places[axis] = _checked(indices, x.shape[axis])
        return np.asarray(x[tuple(places)])
    return run


@operator("GatherND")
def _gather_nd(node: NodeLike, opset: int) -> Function:
    batch = attribute(node, "batch_dims", 0)

    def run(x: Array, indices: Array) -> Array:
        rank, count = indices.ndim - 1, indices.shape[-1]
        if not 0 <= batch <= min(rank, x.ndim - count) or count < 1 or x.shape[:batch] != indices.shape[:batch]:
            raise ValueError(f"Expected indices of at most {x.ndim - batch} axes behind {batch} shared ones, "
                             f"got shapes {x.shape} and {indices.shape}")
        shared = [place.reshape(place.shape + (1,) * (rank - batch))
                  for place in np.ogrid[tuple(slice(size) for size in x.shape[:batch])]]
        own = [_checked(indices[..., number], x.shape[batch + number]) for number in range(count)]
        return np.asarray(x[(*shared, *own)])
    return run


@operator("ScatterND")
def _scatter_nd(node: NodeLike, opset: int) -> Function:
    reduce = {"none": None, "add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[
        attribute(node, "reduction", "none")]

    def run(x: Array, indices: Array, updates: Array) -> Array:
        count = indices.shape[-1] if indices.ndim else 0
        if not 1 <= count <= x.ndim or updates.shape != indices.shape[:-1] + x.shape[count:]:
            raise ValueError(f"Expected indices of at most {x.ndim} axes, and an update for each, got shapes "
                             f"{indices.shape} and {updates.shape}")
        places = tuple(_checked(indices[..., number], x.shape[number]) for number in range(count))
        made = x.copy()
        if reduce is None:
            made[places] = updates
        else:
            reduce.at(made, places, updates)
        return made
    return run


@operator("Slice")
def _slice(node: NodeLike, opset: int) -> Function:
    def run(x: Array, starts: Array, ends: Array, axes: Any = None, steps: Any = None) -> Array:
        where = [slice(None)] * x.ndim
        chosen = range(len(starts)) if axes is None else axes
        strides = [1] * len(starts) if steps is None else steps
        for axis, start, end, step in zip(chosen, starts, ends, strides, strict=True):
            size, start, end = x.shape[axis], int(start), int(end)
            start, end = (n + size if n < 0 else n for n in (start, end))
            if step > 0:
                where[axis] = slice(min(max(start, 0), size), min(max(end, 0), size), int(step))
            else:
                last = min(max(end, -1), size - 1)
                where[axis] = slice(min(max(start, 0), size - 1), None if last < 0 else last, int(step))
        return x[tuple(where)]
    return run


@operator("ArgMax", "ArgMin")
def _arg(node: NodeLike, opset: int) -> Function:
    axis, keep = attribute(node, "axis", 0), bool(attribute(node, "keepdims", 1))
    last, find = attribute(node, "select_last_index", 0), np.argmax if node.op_type == "ArgMax" else np.argmin

    def run(x: Array) -> Array:
        if not last:
            return np.asarray(find(x, axis, keepdims=keep)).astype(np.int64)
        found = x.shape[axis] - 1 - find(np.flip(x, axis), axis, keepdims=keep)
        return np.asarray(found).astype(np.int64)
    return run


@operator("CumSum")
def _cum_sum(node: NodeLike, opset: int) -> Function | None:
    if attribute(node, "exclusive", 0):
        return None
    reverse = attribute(node, "reverse", 0)

    def run(x: Array, axis: Array) -> Array:
        along = int(axis.reshape(-1)[0])
        if reverse:
            return np.flip(np.cumsum(np.flip(x, along), along, x.dtype), along)
        return np.cumsum(x, along, x.dtype)
    return run


@operator("Trilu")
def _trilu(node: NodeLike, opset: int) -> Function:
    keep = np.triu if attribute(node, "upper", 1) else np.tril

    def run(x: Array, k: Any = None) -> Array:
        diagonal = 0 if k is None else int(k.reshape(-1)[0])
        return np.asarray(keep(x, max(min(diagonal, x.shape[-1]), -x.shape[-2])))
    return run


@operator("TopK")
def _top_k(node: NodeLike, opset: int) -> Function:
    axis, largest = attribute(node, "axis", -1), attribute(node, "largest", 1)

    def run(x: Array, k: Array) -> Any:
        count, size = int(k.reshape(-1)[0]), x.shape[axis]
        if not 0 <= count <= size:
            raise ValueError(f"Expected k from 0 to {size}, got {count}")
        if largest:  # of equal elements the first comes first
            order = size - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
        else:
            order = np.argsort(x, axis, kind="stable")
        places = np.take(order, range(count), axis).astype(np.int64)
        return np.take_along_axis(x, places, axis), places
    return run


@operator("OneHot")
def _one_hot(node: NodeLike, opset: int) -> Function:
    axis = attribute(node, "axis", -1)

    def run(indices: Array, depth: Array, values: Array) -> Any:
        count = int(depth.reshape(-1)[0])
        if indices.dtype.kind not in "iu":
            return NotImplemented
        checked_shape([*indices.shape, count])
        places = np.expand_dims(indices.astype(np.int64), axis)
        along = [1] * places.ndim
        along[axis] = count
        numbers = np.arange(count).reshape(along)
        return np.where((places == numbers) | (places + count == numbers), values[1], values[0])
    return run
