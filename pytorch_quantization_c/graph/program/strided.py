"""Strided operations on float arrays: permutations of elements, and matrix products."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .operations import Key, Operation

__all__ = ["AXES", "MAX_PADDING", "Copy", "Moved", "Product", "moves", "product_layout"]

AXES = 6  # PQC_LAYOUT_AXES
MAX_PADDING = 2 ** 20  # elements before or after
Shape = tuple[int, ...]


class Copy(NamedTuple):
    """A copy from one input (by number) to the output: where both begin, and each axis's size and strides."""

    source: int
    start: int
    target: int
    sizes: Shape
    strides: Shape
    to: Shape

    def numbers(self) -> list[int]:
        """Sizes and strides of AXES axes, those of size 1 left out; ValueError if they are more.

        The last axis is that along which the output's elements lie together; the one before, the input's.
        """
        axes = _joined([axis for axis in zip(self.sizes, self.strides, self.to, strict=True) if axis[0] > 1])
        if len(axes) > AXES:
            raise ValueError(f"{len(axes)} axes")
        near = [axis for axis in axes[:-1] if axis[1] == 1]
        if near and axes[-1][1] != 1:
            axes.remove(near[-1])
            axes.insert(-1, near[-1])
        axes = [(1, 0, 0)] * (AXES - len(axes)) + axes
        if axes[-1][0] == 1:
            axes[-1] = (1, 1, 1)
        return [axis[part] for part in range(3) for axis in axes]


def _joined(axes: list[Shape]) -> list[Shape]:
    """Merges axes that are contiguous on both sides."""
    found: list[Shape] = []
    for size, stride, to in axes:
        if found and found[-1][1:] == (size * stride, size * to):
            found[-1] = found[-1][0] * size, stride, to
        else:
            found.append((size, stride, to))
    return found


def _strides(shape: Shape) -> Shape:
    return tuple(math.prod(shape[axis + 1:]) for axis in range(len(shape)))


def _reshape(numbers: Sequence[int], shape: Shape) -> Shape:
    """numbers: whether a 0 is a size, then ONNX's shape."""
    sizes = [shape[axis] if size == 0 and not numbers[0] and axis < len(shape) else size
             for axis, size in enumerate(numbers[1:])]
    rest = math.prod(size for size in sizes if size != -1)
    return tuple(math.prod(shape) // max(rest, 1) if size == -1 else size for size in sizes)


def _flatten(numbers: Sequence[int], shape: Shape) -> Shape:
    axis = numbers[0] % len(shape) if numbers[0] < 0 else numbers[0]
    return math.prod(shape[:axis]), math.prod(shape[axis:])


def _squeeze(numbers: Sequence[int], shape: Shape) -> Shape:
    gone = {axis % len(shape) for axis in numbers} or {axis for axis, size in enumerate(shape) if size == 1}
    return tuple(size for axis, size in enumerate(shape) if axis not in gone or size != 1)


def _unsqueeze(numbers: Sequence[int], shape: Shape) -> Shape:
    rank, rest = len(shape) + len(numbers), iter(shape)
    new = {axis % rank for axis in numbers}
    return tuple(1 if axis in new else next(rest) for axis in range(rank))


VIEWS: dict[str, Callable[[Sequence[int], Shape], Shape]] = {
    "reshape": _reshape, "flatten": _flatten, "squeeze": _squeeze, "unsqueeze": _unsqueeze}


def _slices(numbers: Sequence[int], shape: Shape) -> list[range]:
    """numbers: axis, start, end, step of each slice."""
    found = [range(size) for size in shape]
    for first in range(0, len(numbers), 4):
        axis, start, end, step = numbers[first:first + 4]
        size = shape[axis]
        start, end = (min(max(place + size if place < 0 else place, 0), size) for place in (start, end))
        found[axis] = range(start, end, step)
    return found


def _padded(numbers: Sequence[int], shapes: Sequence[Shape]) -> Shape:
    shape, pairs = shapes[0], list(zip(numbers[::2], numbers[1::2], strict=True))
    kept = [size + min(before, 0) + min(after, 0) for size, (before, after) in zip(shape, pairs, strict=True)]
    if min(kept) < 1 or math.prod(shapes[1]) != 1:
        raise ValueError(f"{shape} padded by {numbers}, with {shapes[1]} numbers")
    return tuple(size + max(before, 0) + max(after, 0) for size, (before, after) in zip(kept, pairs, strict=True))


def _pads(numbers: Sequence[int], shape: Shape, made: Shape) -> Iterator[Copy]:
    """The copy of what is kept, then the fills before and after it, axis by axis, over all of the later axes."""
    strides, to, before, after = _strides(shape), _strides(made), numbers[::2], numbers[1::2]
    kept = [size - max(first, 0) - max(last, 0) for size, first, last in zip(made, before, after, strict=True)]
    starts = [max(first, 0) for first in before]
    yield Copy(0, sum(max(-first, 0) * stride for first, stride in zip(before, strides, strict=True)),
               sum(start * stride for start, stride in zip(starts, to, strict=True)), tuple(kept), strides, to)
    for axis in range(len(made)):
        inside = sum(start * stride for start, stride in zip(starts[:axis], to, strict=False))
        for start, size in ((0, before[axis]), (starts[axis] + kept[axis], after[axis])):
            if size > 0:
                sizes = (*kept[:axis], size, *made[axis + 1:])
                yield Copy(1, 0, inside + start * to[axis], sizes, (0,) * len(made), to)


@dataclass(eq=False)
class Moved(Operation):
    """The elements of arrays in another order or shape.

    kind: one of VIEWS, which keep the order; "transpose" with a permutation, "slice" with axis, start, end and step of
    each, "expand" with ONNX's shape, "concat" with an axis, "pad" with what comes before and behind each axis, or if
    negative is cut off; of its inputs the second is the number there.
    given: an array of int64 with the shape of "reshape" or "expand", which is known when the program runs.
    """

    kind: str
    numbers: list[int]
    inputs: list[Key]
    output: Key
    given: Key | None = None

    def reads(self) -> list[Key]:
        return [*self.inputs, *self.integers()]

    def integers(self) -> list[Key]:
        """The inputs that are int64."""
        return [] if self.given is None else [self.given]

    def writes(self) -> list[Key]:
        return [self.output]

    @property
    def is_view(self) -> bool:
        """Whether the elements keep their order."""
        return self.kind in VIEWS

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        """The shape of the output. ValueError or IndexError if the inputs do not fit."""
        first = shapes[0]
        if self.is_view:
            made = VIEWS[self.kind](self.numbers, first)
            if math.prod(made) != math.prod(first):
                raise ValueError(f"{first} as {made}")
            return made
        if self.kind == "transpose":
            if sorted(self.numbers) != list(range(len(first))):
                raise ValueError(f"axes {self.numbers} of {first}")
            return tuple(first[axis] for axis in self.numbers)
        if self.kind == "slice":
            return tuple(len(each) for each in _slices(self.numbers, first))
        if self.kind == "expand":
            rank = max(len(first), len(self.numbers))
            sizes = [(1,) * (rank - len(each)) + tuple(each) for each in (first, self.numbers)]
            if any((a != b and 1 not in (a, b)) or b < 1 for a, b in zip(*sizes, strict=True)):
                raise ValueError(f"{first} as {self.numbers}")
            return tuple(max(pair) for pair in zip(*sizes, strict=True))
        if self.kind == "pad":
            return _padded(self.numbers, shapes)
        axis = self.numbers[0] % len(first)
        if any(len(each) != len(first) or each[:axis] + each[axis + 1:] != first[:axis] + first[axis + 1:]
               for each in shapes):
            raise ValueError(f"parts of shapes {shapes}")
        return (*first[:axis], sum(each[axis] for each in shapes), *first[axis + 1:])

    def check(self) -> None:
        """ValueError for an unknown kind."""
        if self.kind not in (*VIEWS, "transpose", "slice", "expand", "concat", "pad") or not self.inputs:
            raise ValueError(f"expected another order of elements, got {self.kind[:40]}")
        if self.kind == "slice" and (len(self.numbers) % 4 or any(step < 1 for step in self.numbers[3::4])):
            raise ValueError("expected slices with steps of 1 and more")
        if self.given is not None and (self.kind not in ("reshape", "expand") or self.given in self.inputs):
            raise ValueError("expected a shape that is given of a reshape or an expansion, in an array of its own")
        if self.kind == "pad" and (len(self.inputs) != 2 or len(self.numbers) % 2 or any(
                abs(number) > MAX_PADDING for number in self.numbers)):
            raise ValueError(f"expected up to {MAX_PADDING} elements of padding on each side, by one number")


def moves(each: Moved, shapes: Sequence[Shape]) -> Iterator[Copy]:
    """The copies that make up an operation."""
    first, made = shapes[0], each.shape(shapes)
    strides, to = _strides(first), _strides(made)
    if each.is_view:
        yield Copy(0, 0, 0, (math.prod(first),), (1,), (1,))
    elif each.kind == "transpose":
        yield Copy(0, 0, 0, made, tuple(strides[axis] for axis in each.numbers), to)
    elif each.kind == "slice":
        ranges = _slices(each.numbers, first)
        start = sum(part.start * stride for part, stride in zip(ranges, strides, strict=True))
        yield Copy(0, start, 0, made, tuple(part.step * stride for part, stride in zip(ranges, strides, strict=True)),
                   to)
    elif each.kind == "expand":
        wide = (1,) * (len(made) - len(first)) + first
        yield Copy(0, 0, 0, made, tuple(0 if size == 1 else stride for size, stride in
                                        zip(wide, _strides(wide), strict=True)), to)
    elif each.kind == "pad":
        yield from _pads(each.numbers, first, made)
    else:
        axis, at = each.numbers[0] % len(first), 0
        for number, shape in enumerate(shapes):
            yield Copy(number, 0, at, shape, _strides(shape), to)
            at += shape[axis] * to[axis]


@dataclass(eq=False)
class Product(Operation):
    """Products of matrices along the last two axes; a, b: permutations of the inputs, order: of the output."""

    inputs: list[Key]
    output: Key
    a: list[int]
    b: list[int]
    order: list[int]

    def reads(self) -> list[Key]:
        return list(dict.fromkeys(self.inputs))

    def writes(self) -> list[Key]:
        return [self.output]

    def check(self) -> None:
        """ValueError for invalid orders of axes."""
        if len(self.inputs) != 2 or any(sorted(each) != list(range(len(each))) or len(each) < 2
                                        for each in (self.a, self.b, self.order)):
            raise ValueError("expected two operands and permutations of their axes")

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        """The shape of the output. ValueError or IndexError if the inputs do not fit."""
        return product_layout(self, shapes)[1]


def product_layout(each: Product, shapes: Sequence[Shape]) -> tuple[list[int], Shape]:
    """The arguments of a product for C, and the shape of the output. ValueError if C does not support it."""
    if [len(shape) for shape in shapes] != [len(each.a), len(each.b)]:
        raise ValueError(f"matrices of shapes {shapes}")
    views = [_ordered(shape, order) for shape, order in zip(shapes, (each.a, each.b), strict=True)]
    (a, a_strides), (b, b_strides) = views
    rank = max(len(a), len(b), 2)
    a, b = ((1,) * (rank - len(shape)) + shape for shape in (a, b))
    a_strides, b_strides = ((0,) * (rank - len(strides)) + strides for strides in (a_strides, b_strides))
    if rank != len(each.order) or a[-1] != b[-2] or any(m != n and 1 not in (m, n)
                                                        for m, n in zip(a[:-2], b[:-2], strict=True)):
        raise ValueError(f"matrices of shapes {shapes}")
    batch = tuple(max(pair) for pair in zip(a[:-2], b[:-2], strict=True))
    made = (*batch, a[-2], b[-1])
    shape = tuple(made[axis] for axis in each.order)
    where = {axis: stride for axis, stride in zip(each.order, _strides(shape), strict=True)}
    axes = _joined4([(size, 0 if a[axis] == 1 else a_strides[axis], 0 if b[axis] == 1 else b_strides[axis],
                      where[axis]) for axis, size in enumerate(batch) if size > 1])
    if len(axes) > 2 or (a_strides[-1] != 1 and a[-1] > 1) or (where[rank - 1] != 1 and b[-1] > 1):
        raise ValueError(f"matrices of shapes {shapes} in another order")
    axes = [(1, 0, 0, 0)] * (2 - len(axes)) + axes
    (size0, a0, b0, y0), (size1, a1, b1, y1) = axes
    return [size0, size1, a[-2], b[-1], a[-1], a0, a1, a_strides[-2], b0, b1, b_strides[-2], b_strides[-1], y0, y1,
            where[rank - 2]], shape


def _ordered(shape: Shape, order: Sequence[int]) -> tuple[Shape, Shape]:
    strides = _strides(shape)
    return tuple(shape[axis] for axis in order), tuple(strides[axis] for axis in order)


def _joined4(axes: list[Shape]) -> list[Shape]:
    found: list[Shape] = []
    for size, *strides in axes:
        if found and all(outer == size * inner for outer, inner in zip(found[-1][1:], strides, strict=True)):
            found[-1] = (found[-1][0] * size, *strides)
        else:
            found.append((size, *strides))
    return found
