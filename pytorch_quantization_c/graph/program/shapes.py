"""The shapes of a segment's values, from those of its inputs."""
from __future__ import annotations

import math
from typing import NamedTuple

from .operations import Concat, Conv, Export, Import, Key, Operation, Pool, Window
from .segments import Segment

__all__ = ["Dims", "Unsupported", "dims_of", "shapes_of"]

MOST = 2 ** 31 - 1


class Unsupported(Exception):
    """Inputs whose shapes or types this program has not been lowered for."""


class Dims(NamedTuple):
    """Images of h x w pixels; a matrix has its rows as the pixels of one row, which were the axes `lead`."""

    n: int
    h: int
    w: int
    c: int
    lead: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array of NumPy."""
        return (self.n, self.c, self.h, self.w) if self.lead is None else (*self.lead, self.c)


def dims_of(shape: tuple[int, ...], matrix: bool) -> Dims:
    """Of an array."""
    if math.prod(shape) == 0 or math.prod(shape) > MOST or (len(shape) < 1 if matrix else len(shape) != 4):
        raise Unsupported(f"an array of shape {shape}")
    if matrix:
        return Dims(1, 1, math.prod(shape[:-1]), shape[-1], shape[:-1])
    return Dims(shape[0], shape[2], shape[3], shape[1])


def _outputs(window: Window, size: int) -> int:
    before, after = window.pads(size)
    count = (size + before + after - window.reach) // window.stride + 1
    if count < 1:
        raise Unsupported(f"{size} inputs under a window of {window.reach}")
    return count


def _pooled(window: Window, size: int, ceil: bool) -> int:
    before, after = window.pads(size)
    room = size + before + after - window.reach
    count = (-(-room // window.stride) if ceil else room // window.stride) + 1
    count -= ceil and (count - 1) * window.stride >= size + before
    if count < 1:
        raise Unsupported(f"{size} inputs under a window of {window.reach}")
    return count


def _conv(each: Conv, dims: dict[Key, Dims]) -> Dims:
    x = dims[each.input]
    if x.c != each.groups * each.weight.shape[3]:
        raise Unsupported(f"{x.c} channels")
    made = Dims(x.n, _outputs(each.y, x.h), _outputs(each.x, x.w), each.weight.shape[0], x.lead)
    if each.residual is not None and dims[each.residual] != made:
        raise Unsupported("arrays of several shapes that are added")
    return made


def _concat(each: Concat, dims: dict[Key, Dims]) -> Dims:
    parts = [dims[key] for key in each.inputs]
    if any(part[:3] != parts[0][:3] for part in parts):
        raise Unsupported("images of several sizes")
    return parts[0]._replace(c=sum(part.c for part in parts))


def _shape(each: Operation, dims: dict[Key, Dims]) -> Dims:
    if isinstance(each, Import):
        return dims_of(dims[each.reads()[0]].shape, each.output.matrix)
    if isinstance(each, Conv):
        return _conv(each, dims)
    if isinstance(each, Concat):
        return _concat(each, dims)
    if isinstance(each, Pool):
        x = dims[each.input]
        return x._replace(h=_pooled(each.y, x.h, each.ceil), w=_pooled(each.x, x.w, each.ceil))
    assert isinstance(each, Export)
    return dims[each.input]


def shapes_of(segment: Segment, inputs: dict[Key, Dims]) -> dict[Key, Dims]:
    """Of all values of a segment. Unsupported if its operations do not fit the inputs."""
    dims = dict(inputs)
    for each in segment.operations:
        made = _shape(each, dims)
        dims.update((key, made) for key in each.writes())
    return dims
