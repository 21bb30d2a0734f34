"""The shapes of a segment's values, from those of its inputs."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .float_conv import FloatConv, Folded
from .gather import Gathered, Located
from .integers import Integers, Picked
from .norms import Normed
from .operations import (
    Average,
    Chain,
    Concat,
    Conv,
    Cropped,
    Export,
    Flat,
    Import,
    Key,
    Operation,
    Pool,
    Rearranged,
    Rows,
    Sliced,
    Window,
)
from .padding import Padded, PaddedImage
from .recurrent import Recurrent
from .reductions import Reduced
from .sampling import Sampled
from .segments import Segment
from .strided import Moved, Product
from .volumes import Stacked

__all__ = ["Dims", "Unsupported", "dims_of", "of_four_axes", "of_operand", "shapes_of"]

MAX_ELEMENTS = 2 ** 29 - 1  # MAX_SIZE of image.c
MAX_ROW = 4096  # PQC_MAX_ROW


class Unsupported(Exception):
    """Inputs whose shapes or types this program has not been lowered for."""


class Dims(NamedTuple):
    """Images of h x w pixels; a matrix has its rows as the pixels of one row, which were the axes `lead`.

    Of volumes the images are the frames, `depth` of each.
    """

    n: int
    h: int
    w: int
    c: int
    lead: tuple[int, ...] | None = None
    flat: bool = False
    depth: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array of NumPy."""
        if self.lead is not None:
            return (*self.lead, self.c)
        if self.depth:
            return self.n // self.depth, self.c, self.depth, self.h, self.w
        return (self.n, self.c, self.w) if self.flat else (self.n, self.c, self.h, self.w)

    @property
    def tall(self) -> Dims:
        """The frames of a volume stacked vertically, as they lie in memory if they have no border."""
        return self._replace(n=self.n // self.depth, h=self.depth * self.h, depth=0) if self.depth else self


def dims_of(shape: tuple[int, ...], matrix: bool) -> Dims:
    """The dimensions of an array."""
    fits = len(shape) > 0 if matrix else len(shape) in (3, 4, 5)
    if not fits or not 0 < math.prod(shape) <= MAX_ELEMENTS:
        raise Unsupported(f"an array of shape {shape}")
    if matrix:
        return Dims(1, 1, math.prod(shape[:-1]), shape[-1], shape[:-1])
    if len(shape) == 3:
        return Dims(shape[0], 1, shape[2], shape[1], flat=True)
    if len(shape) == 5:
        return Dims(shape[0] * shape[2], shape[3], shape[4], shape[1], depth=shape[2])
    return Dims(shape[0], shape[2], shape[3], shape[1])


def _of_frames(x: Dims, depth: int) -> Dims:
    """Volumes with another number of frames."""
    return x._replace(n=x.n // x.depth * depth, depth=depth)


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
    if x.h % each.multiple or x.w % each.multiple:
        raise Unsupported(f"{x.h} x {x.w} pixels in blocks of {each.multiple}")
    made = x._replace(h=_outputs(each.y, x.h), w=_outputs(each.x, x.w), c=each.weight.shape[0])
    if each.residual is not None and dims[each.residual] != made:
        raise Unsupported("arrays of several shapes that are added")
    for key in each.operands:
        of_operand(dims[key], made)
    return made


def of_operand(x: Dims, made: Dims) -> Dims:
    """An operand of a layer's chain as images that broadcast to what the layer makes. Unsupported if it does not."""
    shape = x.shape if x.lead is not None else x[:4]
    if made.lead is not None and math.prod(shape[:-1]) == made.w:
        shape = 1, 1, made.w, x.c  # a number for each of the layer's
    shape = (1,) * (4 - len(shape)) + shape
    found = Dims(*shape) if len(shape) == 4 else None
    if found is None or any(size not in (1, of) for size, of in zip(found[:4], made[:4], strict=True)):
        raise Unsupported(f"an operand of shape {x.shape} for {made.shape}")
    return found


def _concat(each: Concat, dims: dict[Key, Dims]) -> Dims:
    parts = [dims[key] for key in each.inputs]
    if any(part._replace(c=parts[0].c) != parts[0] for part in parts):
        raise Unsupported("images of several sizes")
    return parts[0]._replace(c=sum(part.c for part in parts))


def _flat(each: Flat, x: Dims) -> Dims:
    if x.h * x.w != each.pixels or x.depth:
        raise Unsupported(f"images of {x.h} x {x.w} pixels as rows of a matrix")
    return Dims(1, 1, x.n, x.h * x.w * x.c, (x.n,))


def of_four_axes(shapes: Sequence[tuple[int, ...]]) -> list[Dims]:
    """Shapes that broadcast together, with four axes: others are merged where all shapes have them or share them."""
    rank = max(4, *map(len, shapes))
    rows = [list((1,) * (rank - len(shape)) + shape) for shape in shapes]
    full, axis = [max(sizes) for sizes in zip(*rows, strict=True)], rank - 1
    while len(full) > 4 and axis > 0:
        pairs = [(row[axis - 1], row[axis]) for row in rows]
        if all(a in (1, full[axis - 1]) and (a == full[axis - 1]) == (b == full[axis]) or full[axis - 1] == 1 or
               full[axis] == 1 for a, b in pairs):
            for row in (*rows, full):
                row[axis - 1:axis + 1] = [row[axis - 1] * row[axis]]
        axis -= 1
    if len(full) > 4:
        raise Unsupported(f"arrays of shapes {shapes}")
    return [Dims(row[0], row[1], row[2], row[3]) for row in rows]


def _chain(each: Chain, dims: dict[Key, Dims]) -> Dims:
    if not each.image:
        try:
            return dims_of(np.broadcast_shapes(*(dims[key].shape for key in each.operands)), matrix=True)
        except ValueError as error:
            raise Unsupported(str(error)) from None
    shapes = [dims[key][:4] if key.form is not None else dims[key].shape for key in each.operands]
    for number, (y, x) in enumerate(each.repeats):
        n, h, w, c = shapes[number]
        shapes[number] = n, h * y, w * x, c
    sizes = [max(column) for column in zip(*shapes, strict=True)]
    if any(size not in (1, most) for shape in shapes for size, most in zip(shape, sizes, strict=True)):
        raise Unsupported(f"images of shapes {shapes}")
    flat = any(dims[key].flat for key in each.operands)
    depths = {dims[key].depth for key in each.operands if key.form is not None}
    if len(depths) > 1:
        raise Unsupported(f"volumes of {depths} frames")
    return Dims(sizes[0], sizes[1], sizes[2], sizes[3], flat=flat, depth=max(depths, default=0))


def _rows(each: Rows, dims: dict[Key, Dims]) -> Dims:
    x = dims[each.input]
    if x.lead is None and each.input.form is None:
        x = dims_of(x.shape, matrix=True)
    if x.lead is None:
        raise Unsupported("rows of images, whose last axis is not their channels")
    if any(dims[key].shape != (x.c,) for key in (each.weight, each.bias) if key is not None):
        raise Unsupported(f"weights of other rows than of {x.c}")
    if x.c > MAX_ROW and any(key.form is not None for key in each.outputs):
        raise Unsupported(f"codes of rows of {x.c}")
    return x


def _rearranged(each: Rearranged, x: Dims) -> Dims:
    block = each.y * each.x if each.shuffles else 1
    if x.c % block or x.lead is not None:
        raise Unsupported(f"{x.c} channels in blocks of {block}")
    if each.of_frames and not x.depth:
        raise Unsupported("images that are no frames of volumes")
    made = x._replace(c=x.c // block)
    return _of_frames(made, x.depth * each.y) if each.of_frames else made._replace(h=x.h * each.y, w=x.w * each.x)


def _cropped(each: Cropped, x: Dims) -> Dims:
    if each.of_frames:
        if x.depth - each.top - each.bottom < 1:
            raise Unsupported(f"volumes of {x.depth} frames to be cut")
        return _of_frames(x, x.depth - each.top - each.bottom)
    h, w = x.h - each.top - each.bottom, x.w - each.left - each.right
    if min(h, w) < 1 or x.lead is not None:
        raise Unsupported(f"images of {x.h} x {x.w} pixels to be cut")
    return x._replace(h=h, w=w)


def _sliced(each: Sliced, x: Dims) -> Dims:
    c, h, w = each.c.count(x.c), each.y.count(x.h), each.x.count(x.w)
    if min(c, h, w) < 1 or x.lead is not None:
        raise Unsupported(f"images of {x.h} x {x.w} pixels of {x.c} channels to be cut")
    return x._replace(h=h, w=w, c=c)


def _float_conv(each: FloatConv, dims: dict[Key, Dims]) -> Dims:
    x = dims[each.input]
    if x.c != each.groups * each.inputs or x.lead is not None or dims[each.weight].shape != (each.weights,):
        raise Unsupported(f"{x.c} channels and {dims[each.weight].shape} weights")
    if each.z != Window(1) and not x.depth:
        raise Unsupported("images that are no frames of volumes")
    made = x._replace(h=_outputs(each.y, x.h), w=_outputs(each.x, x.w), c=each.groups * each.channels)
    made = _of_frames(made, _outputs(each.z, x.depth)) if x.depth else made
    for key in each.operands:
        of_operand(dims[key], made)
    return made


def _folded(each: Folded, x: Dims) -> Dims:
    if x.c != 1 or x.h != 1 or x.lead is not None:
        raise Unsupported(f"{x.c} channels of {x.h} rows to be folded")
    return x._replace(w=_outputs(each.x, x.w), c=each.x.kernel + 2)


def _gathered(each: Gathered | Located | Normed | Padded | Picked | Reduced, dims: dict[Key, Dims]) -> Dims:
    try:
        if isinstance(each, Padded | Picked | Reduced):
            return dims_of(each.shape(dims[each.input].shape), matrix=True)
        if isinstance(each, Normed):
            weight, bias = (None if key is None else dims[key].shape for key in (each.weight, each.bias))
            return dims_of(each.shape(dims[each.input].shape, weight, bias), matrix=True)
        return dims_of(each.shape(dims[each.input].shape, dims[each.indices].shape), matrix=True)
    except ValueError as error:
        raise Unsupported(str(error)) from None


def _stacked(each: Stacked, x: Dims) -> Dims:
    if not x.depth or x.c % each.groups or x.c * each.z.kernel > MAX_ELEMENTS:
        raise Unsupported(f"images of {x.c} channels, {x.depth} frames of a volume")
    return _of_frames(x._replace(c=x.c * each.z.kernel), _outputs(each.z, x.depth))


def _pool(each: Pool | Average, x: Dims) -> Dims:
    if isinstance(each, Pool) and each.of_frames:
        if not x.depth:
            raise Unsupported("images that are no frames of volumes")
        return _of_frames(x, _pooled(each.y, x.depth, each.ceil))
    return x._replace(h=_pooled(each.y, x.h, each.ceil), w=_pooled(each.x, x.w, each.ceil))


def _padded_image(each: PaddedImage, x: Dims) -> Dims:
    if x.lead is not None or (x.flat and each.top + each.bottom):
        raise Unsupported("rows of images of one row")
    made = x._replace(h=x.h + each.top + each.bottom, w=x.w + each.left + each.right)
    return dims_of(made.shape, matrix=False)


def _sampled(each: Sampled, x: Dims) -> Dims:
    try:
        shape = each.shape(x.shape)
    except ValueError as error:
        raise Unsupported(str(error)) from None
    if each.input.form is not None and (x.lead is not None or shape[:2] != x.shape[:2]):
        raise Unsupported(f"axis {each.axis} of images")
    return dims_of(shape, matrix=each.input.form is None)


def _recurrent(each: Recurrent, dims: dict[Key, Dims]) -> dict[Key, Dims]:
    try:
        ahead, *states, lengths = (None if key is None else dims[key].shape
                                   for key in (each.input, *each.states, each.lengths))
        assert ahead is not None
        shapes = each.shapes(ahead, states, lengths)
    except ValueError as error:
        raise Unsupported(str(error)) from None
    return {key: dims_of(shape, matrix=True) for key, shape in zip(each.outputs, shapes, strict=True)}


def _strided(each: Moved | Product, dims: dict[Key, Dims]) -> Dims:
    shapes = [dims[key].shape for key in each.inputs]
    try:
        return dims_of(each.shape(shapes), matrix=True)
    except (ValueError, IndexError) as error:
        raise Unsupported(str(error)) from None


def _shape(each: Operation, dims: dict[Key, Dims]) -> Dims:
    if isinstance(each, Moved | Product):
        return _strided(each, dims)
    if isinstance(each, FloatConv):
        return _float_conv(each, dims)
    if isinstance(each, Folded):
        return _folded(each, dims[each.input])
    if isinstance(each, Gathered | Located | Normed | Padded | Picked | Reduced):
        return _gathered(each, dims)
    if isinstance(each, PaddedImage):
        return _padded_image(each, dims[each.input])
    if isinstance(each, Sampled):
        return _sampled(each, dims[each.input])
    if isinstance(each, Import):
        return dims_of(dims[each.reads()[0]].shape, each.output.matrix)
    if isinstance(each, Conv):
        return _conv(each, dims)
    if isinstance(each, Concat):
        return _concat(each, dims)
    if isinstance(each, Chain):
        return _chain(each, dims)
    if isinstance(each, Rearranged):
        return _rearranged(each, dims[each.input])
    if isinstance(each, Cropped):
        return _cropped(each, dims[each.input])
    if isinstance(each, Sliced):
        return _sliced(each, dims[each.input])
    if isinstance(each, Rows):
        return _rows(each, dims)
    if isinstance(each, Flat):
        return _flat(each, dims[each.input])
    if isinstance(each, Average) and each.whole:
        return dims[each.input]._replace(h=1, w=1)
    if isinstance(each, Pool | Average):
        return _pool(each, dims[each.input])
    if isinstance(each, Stacked):
        return _stacked(each, dims[each.input])
    assert isinstance(each, Export | Integers)
    return dims[each.input]


def shapes_of(segment: Segment, inputs: dict[Key, Dims]) -> dict[Key, Dims]:
    """The shapes of all values of a segment. Unsupported if its operations do not fit the inputs."""
    dims = dict(inputs)
    for each in segment.operations:
        if isinstance(each, Recurrent):
            dims.update(_recurrent(each, dims))
            continue
        made = _shape(each, dims)
        dims.update((key, made) for key in each.writes())
    return dims
