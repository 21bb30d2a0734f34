"""A segment bound to the shapes of its inputs: an arena, and tables for C."""
from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import _C
from .arena import Block, lay_out
from .bands import keep_together
from .float_conv import FloatConv, Folded
from .gather import Gathered, Located
from .integers import Integers, Picked
from .norms import Normed
from .operations import (
    FLOATS,
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
)
from .padding import Padded, PaddedImage
from .recurrent import Recurrent
from .reductions import Reduced
from .sampling import Sampled
from .segments import Segment
from .shapes import Dims, Unsupported, dims_of, of_four_axes, of_operand, shapes_of
from .strided import Moved, Product, moves, product_layout
from .tables import Image, Tables
from .volumes import Stacked

__all__ = ["Border", "Plan", "bind"]

SLACK = 64  # PQC_IMAGE_SLACK
Border = tuple[int, int, int, int]  # top, bottom, left, right
NO_BORDER: Border = (0, 0, 0, 0)


class Plan(NamedTuple):
    """What a call needs.

    Attributes:
        capsule: for `_C.program_run`.
        outputs: the segment's outputs with their shapes and, of images, bytes.
        arena: its bytes.
        live: the largest sum of bytes that are needed at the same time.
        steps: the operation of each step.
        part: how many images of a batch a call of C takes; 0: all of them.
        tables: arrays that a call gets behind inputs and outputs.
    """

    capsule: object
    outputs: dict[Key, tuple[Dims, int]]
    arena: int
    live: int
    steps: list[Operation]
    tables: tuple[NDArray[Any], ...] = ()
    part: int = 0


class _Binder:
    def __init__(self, segment: Segment, dims: dict[Key, Dims], borders: Mapping[Key, Border]) -> None:
        self.segment, self.dims, self.borders = segment, dims, borders
        self.outside = [*segment.inputs, *segment.outputs]
        self._numbers = {key: number for number, key in enumerate(self.outside)}
        self.tables: list[NDArray[Any]] = []
        self.viewed = self._viewed()
        self.blocks = self._blocks()
        keep_together(segment.operations, self.blocks, dims, self.bytes_of)
        self.arena = lay_out(list({id(block): block for block in self.blocks.values()}.values()))

    def border(self, key: Key) -> Border:
        return self.borders.get(key, NO_BORDER)

    def bytes_of(self, key: Key) -> int:
        dims, (top, bottom, left, right) = self.dims[key], self.border(key)
        codes = key.form or FLOATS
        if key in self.segment.integers:
            return np.dtype(self.segment.integers[key]).itemsize * math.prod(dims.shape)
        pixels = dims.n * (top + dims.h + bottom) * (left + dims.w + right)
        return pixels * dims.c * codes.size + (SLACK if codes.size == 1 else 0)

    def _viewed(self) -> dict[Key, Key]:
        """Arrays in an output's memory: outputs, inner ones that they are views of, and inner views of those."""
        made = {key for each in self.segment.operations for key in each.writes()}.difference(self.outside)
        found = {key: key for key in self.segment.outputs if key.form is None and key not in self.segment.integers}
        for each in reversed(self.segment.operations):
            if isinstance(each, Moved) and each.is_view and each.output in found and each.inputs[0] in made:
                found.setdefault(each.inputs[0], found[each.output])
        for each in self.segment.operations:
            if isinstance(each, Moved) and each.is_view and each.inputs[0] in found and each.output in made:
                found.setdefault(each.output, found[each.inputs[0]])
        return found

    def _blocks(self) -> dict[Key, Block]:
        """The memory of inner values; an output reuses that of the residual that is read for the last time."""
        last = {key: number for number, each in enumerate(self.segment.operations) for key in each.reads()}
        blocks: dict[Key, Block] = {}
        outside = {*self.outside, *self.viewed}
        for number, each in enumerate(self.segment.operations):
            for key in each.writes():
                if key in outside:
                    continue
                end = last.get(key, number)
                shared = blocks.get(each.inputs[0]) if isinstance(each, Moved) and each.is_view else None
                if shared is not None:
                    shared.last = max(shared.last, end)
                    blocks[key] = shared
                    continue
                taken = self._in_place(each, key, number, last, blocks)
                if taken is not None:
                    taken.last = end
                    blocks[key] = taken
                elif key not in blocks:
                    blocks[key] = Block(self.bytes_of(key), number, end)
        return blocks

    def _in_place(self, each: Operation, key: Key, number: int, last: dict[Key, int],
                  blocks: dict[Key, Block]) -> Block | None:
        if isinstance(each, Conv):
            candidates = [] if each.residual is None or each.residual == each.input else [each.residual]
        else:
            candidates = each.operands if isinstance(each, Chain) else []
        for other in candidates:
            block = blocks.get(other)
            if (block is not None and block.last == number == last[other] and self._same_place(other, key)
                    and not any(blocks.get(written) is block for written in each.writes())):
                return block
        return None

    def _same_place(self, a: Key, b: Key) -> bool:
        """Whether two values have the same layout, so that one can overwrite the other in place."""
        contents = [(key.form or FLOATS).content for key in (a, b)]
        return (contents[0] == contents[1] and (a.form is None) == (b.form is None) and self.border(a) == self.border(b)
                and self.dims[a] == self.dims[b])

    def live(self) -> int:
        """The largest sum of bytes that are needed at the same time."""
        changes = [0] * (len(self.segment.operations) + 1)
        for each in {id(block): block for block in self.blocks.values()}.values():
            changes[each.first] += each.size
            changes[each.last + 1] -= each.size
        return max(accumulate(changes))

    def image(self, key: Key, channels: tuple[int, int] | None = None) -> Image:
        """A value's image; `channels`: where a part of it begins, and its size."""
        codes, dims, block = key.form or FLOATS, self.dims[key], self.blocks.get(key)
        buffer = 0 if block is not None else 1 + self._numbers[self.viewed.get(key, key)]
        first, count = channels or (0, dims.c)
        return Image(codes, key.form is None and dims.lead is None, buffer,
                     (block.offset if block is not None else 0) + first * codes.size,
                     dims._replace(c=count), self.border(key), dims.c * codes.size)

    def _tall(self, key: Key) -> Image:
        """A value's image, the frames of volumes one below the other."""
        found, dims = self.image(key), self.dims[key]
        if dims.depth and found.border != NO_BORDER:
            raise Unsupported("volumes whose frames have borders")
        return found._replace(dims=dims.tall)

    def _pool_images(self, each: Pool) -> tuple[Image, Image]:
        """What is read and written; the rows of frames are joined if it is a pool of those."""
        source, target = self.image(each.input), self.image(each.output)._replace(codes=each.input.form or FLOATS)
        if not each.of_frames:
            return source, target  # which may be clamped more
        return self._joined(each.input, source), self._joined(each.output, target)

    def _joined(self, key: Key, image: Image | None = None) -> Image:
        """A volume as an image, each of whose rows is a frame."""
        image = image or self.image(key)
        if image.border != NO_BORDER:
            raise Unsupported("volumes whose frames have borders")
        n, h, w, depth = image.dims.n, image.dims.h, image.dims.w, image.dims.depth
        return image._replace(dims=image.dims._replace(n=n // depth, h=depth, w=h * w, depth=0))

    def _flat(self, keys: list[Key]) -> list[Image]:
        """Arrays and matrices that broadcast, as images of four axes."""
        images = [self.image(key) for key in keys]
        return [image._replace(nchw=False, dims=dims, pixel=dims.c * image.codes.size)
                for image, dims in zip(images, of_four_axes([image.dims.shape for image in images]), strict=True)]

    def _chain_images(self, each: Chain) -> list[Image]:
        keys = [*each.operands, *each.outputs]
        if not each.image:
            return self._flat(keys)
        images = [self.image(key) for key in keys]
        return [image if key.form is not None else image._replace(nchw=False, dims=of_four_axes([image.dims.shape])[0])
                for key, image in zip(keys, images, strict=True)]

    def _operand(self, each: Conv | FloatConv, key: Key) -> Image:
        """An operand of a layer's chain; arrays as images of four axes."""
        image = self.image(key)
        if key.form is not None and not key.matrix:
            return image
        dims = of_operand(self.dims[key], self.dims[each.outputs[0]])
        return image._replace(nchw=False, dims=dims, pixel=dims.c * image.codes.size)

    def _row(self, key: Key, start: int = 0) -> Image:
        """An array's floats one behind the other, from one on."""
        image, count = self.image(key), math.prod(self.dims[key].shape)
        return image._replace(nchw=False, offset=image.offset + 4 * start, dims=Dims(1, 1, 1, count - start),
                              pixel=4 * (count - start))

    def _matrix(self, key: Key) -> Image:
        """Rows along the last axis, also of an array that was an image."""
        image = self.image(key)
        if key.form is not None or image.dims.lead is not None:
            return image
        dims = dims_of(image.dims.shape, matrix=True)
        return image._replace(nchw=False, dims=dims, pixel=4 * dims.c)

    def _rows(self, key: Key, arrays: int, number: int, length: int) -> Image:
        """Floats as rows of this length."""
        return self.image(key)._replace(nchw=False, dims=Dims(1, arrays, number, length), pixel=4 * length)

    def _add_recurrent(self, tables: Tables, each: Recurrent) -> None:
        time, batch, gates = self.dims[each.input].shape
        state = each.directions, batch, each.hidden

        def plain(key: Key, n: int, h: int, w: int, c: int) -> Image:
            return self.image(key)._replace(nchw=False, dims=Dims(n, h, w, c), pixel=4 * c)
        states = [None if key is None else plain(key, 1, *state) for key in each.states]
        lengths = None if each.lengths is None else plain(each.lengths, 1, 1, 1, batch)
        tables.recurrent(each, plain(each.input, 1, time, batch, gates), states, lengths,
                         [plain(each.outputs[0], time, *state), *(plain(key, 1, *state) for key in each.outputs[1:])])

    def _add_gathered(self, tables: Tables, each: Gathered) -> None:
        indices, rows = self.dims[each.indices].shape, each.rows(self.dims[each.input].shape)
        count, chosen = math.prod(indices), indices[-1] if each.elements else math.prod(indices)
        tables.gathered(self._rows(each.input, *rows), self._rows(each.indices, 1, count, 2),
                        self._rows(each.output, rows[0], chosen, rows[2]))

    def _add_located(self, tables: Tables, each: Located) -> None:
        shape, indices = self.dims[each.input].shape, self.dims[each.indices].shape
        sizes, count, row = shape[:each.axes], math.prod(indices[:-1]), math.prod(shape[each.axes:])
        tables.located(self._rows(each.input, 1, math.prod(sizes), row),
                       self._rows(each.indices, 1, count, 2 * each.axes), self._rows(each.output, 1, count, row), sizes)

    def _add_at_places(self, tables: Tables, each: Padded | Picked) -> None:
        shape = self.dims[each.input].shape
        if isinstance(each, Padded):
            outer, size, inner = math.prod(shape[:each.axis]), shape[each.axis], math.prod(shape[each.axis + 1:])
            indices = each.indices(size)
        else:
            (size, inner), outer, indices = each.row(shape), 1, each.rows(shape)
        tables.gathered(self._rows(each.input, outer, size, inner), self._table(indices),
                        self._rows(each.output, outer, len(indices), inner))

    def _table(self, array: NDArray[Any]) -> Image:
        """What a call gets beside inputs and outputs, row by row."""
        self.tables.append(array)
        floats = array.nbytes // (4 * len(array))
        return Image(FLOATS, False, len(self.outside) + len(self.tables), 0, Dims(1, 1, len(array), floats), NO_BORDER,
                     4 * floats)

    def _add_sampled(self, tables: Tables, each: Sampled) -> None:
        x = self.dims[each.input]
        places, weights = (self._table(table) for table in each.taps(x.shape[each.axis]))
        if each.input.form is not None:
            source, outputs, along_x = self.image(each.input), [self.image(key) for key in each.outputs], (
                each.axis == 3 or x.flat)
        else:
            outer, inner, along_x = math.prod(x.shape[:each.axis]), math.prod(x.shape[each.axis + 1:]), True
            source = self._rows(each.input, outer, x.shape[each.axis], inner)
            outputs = [self._rows(key, outer, self.dims[key].shape[each.axis], inner) for key in each.outputs]
        tables.sampled(source, places, weights, outputs, along_x)

    def _add_reduced(self, tables: Tables, each: Reduced) -> None:
        outer, count, inner = each.rows(self.dims[each.input].shape)
        if inner > 1:
            tables.reduced(each.kind, self._rows(each.input, outer, count, inner),
                           self._rows(each.output, 1, outer, inner), True)
        else:
            tables.reduced(each.kind, self._rows(each.input, 1, outer, count), self._rows(each.output, 1, outer, 1),
                           False)

    def _add_normed(self, tables: Tables, each: Normed) -> None:
        shape = self.dims[each.input].shape
        groups, channels, size = each.parts(shape)
        weight, bias = (None if key is None else self._row(key) for key in (each.weight, each.bias))
        source, target = (self._rows(key, 1, shape[0] * groups, channels * size) for key in (each.input, each.output))
        tables.normed(each, source, weight, bias, target, (groups, channels))

    def _add_integers(self, tables: Tables, each: Integers) -> None:
        count = math.prod(self.dims[each.input].shape)
        tables.integers(self._rows(each.input, 1, count, 2), self._rows(each.output, 1, count, 1), each.truths)

    def _add_moved(self, tables: Tables, each: Moved) -> None:
        source, target = each.inputs[0], each.output
        if each.is_view and (self.blocks.get(target, 0) is self.blocks.get(source)
                             or self.viewed.get(target, 0) == self.viewed.get(source)):
            return
        for copy in moves(each, [self.dims[key].shape for key in each.inputs]):
            tables.strided(self._row(each.inputs[copy.source], copy.start), self._row(each.output, copy.target),
                           copy.numbers())

    def add(self, tables: Tables, each: Operation) -> None:
        image = self.image
        if isinstance(each, Import):
            source, target = image(each.reads()[0]), self._tall(each.output)
            nchw, dims = self.dims[each.output].lead is None, target.dims
            tables.move(0, source._replace(nchw=nchw, dims=dims, pixel=dims.c * 4), target)
        elif isinstance(each, Export):
            tables.move(1, self._tall(each.input), self._tall(each.writes()[0]))
        elif isinstance(each, Conv):
            x = self.dims[each.input]
            residual = None if each.residual is None else image(each.residual)
            tables.conv(each, image(each.input), residual, [image(key) for key in each.outputs],
                        each.y.pads(x.h)[0], each.x.pads(x.w)[0], [self._operand(each, key) for key in each.operands])
        elif isinstance(each, Pool):
            source, target = self._pool_images(each)
            tables.pool(each, source, target, each.y.pads(source.dims.h)[0], each.x.pads(source.dims.w)[0])
        elif isinstance(each, Rearranged):
            whole = self._joined if each.of_frames else image
            tables.rearranged(each, whole(each.input), whole(each.output))
        elif isinstance(each, Cropped):
            whole = self._joined if each.of_frames else image
            tables.cropped(each, whole(each.input), whole(each.output))
        elif isinstance(each, Sliced):
            source = image(each.input, (each.c.start, self.dims[each.output].c))
            tables.sliced(each, source, image(each.output))
        elif isinstance(each, Rows):
            weight, bias = (None if key is None else image(key) for key in (each.weight, each.bias))
            tables.rows(each, self._matrix(each.input), weight, bias, [image(key) for key in each.outputs])
        elif isinstance(each, Average):
            x = self.dims[each.input]
            tables.average(each, image(each.input), [image(key) for key in each.outputs], each.y.pads(x.h)[0],
                           each.x.pads(x.w)[0])
        elif isinstance(each, Flat):
            dims, target = self.dims[each.input], image(each.output)
            tables.move(4, image(each.input), target._replace(dims=dims, pixel=dims.c * target.codes.size))
        elif isinstance(each, Normed):
            self._add_normed(tables, each)
        elif isinstance(each, Stacked):
            tables.stacked(each, image(each.input), image(each.output))
        elif isinstance(each, Moved):
            self._add_moved(tables, each)
        elif isinstance(each, Gathered):
            self._add_gathered(tables, each)
        elif isinstance(each, Located):
            self._add_located(tables, each)
        elif isinstance(each, Recurrent):
            self._add_recurrent(tables, each)
        elif isinstance(each, PaddedImage):
            tables.padded(each, image(each.input), image(each.output))
        elif isinstance(each, Sampled):
            self._add_sampled(tables, each)
        elif isinstance(each, Reduced):
            self._add_reduced(tables, each)
        elif isinstance(each, Padded | Picked):
            self._add_at_places(tables, each)
        elif isinstance(each, Integers):
            self._add_integers(tables, each)
        elif isinstance(each, FloatConv):
            x = self.dims[each.input]
            tables.float_conv(each, image(each.input), self._row(each.weight), [image(key) for key in each.outputs],
                              (each.y.pads(x.h)[0], each.x.pads(x.w)[0]),
                              [self._operand(each, key) for key in each.operands])
        elif isinstance(each, Folded):
            before, _ = each.x.pads(self.dims[each.input].w)
            tables.folded(each, image(each.input), image(each.output), before)
        elif isinstance(each, Product):
            layout, _ = product_layout(each, [self.dims[key].shape for key in each.inputs])
            tables.product(self._row(each.inputs[0]), self._row(each.inputs[1]), self._row(each.output), layout)
        elif isinstance(each, Chain):
            images = self._chain_images(each)
            tables.chain(each, images[:len(each.operands)], images[len(each.operands):])
        else:
            assert isinstance(each, Concat)
            at = 0
            for key in each.inputs:
                count = self.dims[key].c
                tables.move(4, image(key), image(each.output, (at, count)))
                at += count


def bind(segment: Segment, inputs: dict[Key, Dims], borders: Mapping[Key, Border],
         weights: Mapping[Conv | Recurrent, object], other: object = None) -> Plan:
    """A segment for inputs of these shapes, in memory that it shares with another plan.

    Unsupported if it has not been lowered for them.
    """
    binder = _Binder(segment, shapes_of(segment, inputs), borders)
    tables, steps = Tables(weights), []
    for each in segment.operations:
        before = len(tables.steps)
        binder.add(tables, each)
        steps.extend([each] * (len(tables.steps) - before))
    sizes = [*(binder.bytes_of(key) for key in binder.outside), *(each.nbytes for each in binder.tables)]
    images, ranges, rows, clamps = tables.arrays()
    buffers = np.array([binder.arena, *sizes], np.int64)
    capsule = _C.program_plan(images, ranges, rows, clamps, buffers, *tables.operations(), tables.capsules(), other)
    outputs = {key: (binder.dims[key], binder.bytes_of(key)) for key in segment.outputs}
    return Plan(capsule, outputs, binder.arena, binder.live(), steps, tuple(binder.tables))
