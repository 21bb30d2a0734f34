"""The tables of `_C.program_plan`: one row an image, one a step.

Images: content, is an array, buffer, offset, n, h, w, c, top, bottom, left, right, bytes of a pixel, zero, refuses
negative numbers; beside it mul, div, lo, hi. Steps: kind, input, residual or -1, number of outputs, three outputs, and
for y and x stride, dilation, padding before, kernel; the number of weights or -1, whether HardSwish follows, two more
operands or -1, where a chain's operations begin and how many there are, an image whose codes results go through
before the residual is added or -1, and for what is found by strides its layout (see csrc/program/step.h); beside it the
bounds of two clamps.
Of normalisation the stride along y is the bits of epsilon.
Operations of chains: kind, a, b, to; beside them the numbers.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..interpreter.reductions import KINDS as REDUCTIONS
from .float_conv import FloatConv, Folded
from .norms import Normed
from .operations import (
    CHAIN_KINDS,
    Average,
    Chain,
    ChainOp,
    Clamp,
    Codes,
    Conv,
    Cropped,
    Pool,
    Rearranged,
    Rows,
    Sliced,
    Window,
)
from .padding import PaddedImage
from .recurrent import Recurrent
from .shapes import Dims
from .volumes import Stacked

__all__ = ["Image", "Tables"]

(IMPORT, EXPORT, CONV, POOL, COPY, CHAIN, SOFTMAX, LAYER_NORM, AVERAGE, PADDED_AVERAGE, MEAN, RESIZE,
 SHUFFLE, STRIDED, MATMUL, GATHER, RECURRENT, FLOAT_CONV,
 INTEGERS, TRUTHS, INTERPOLATE, PAD, REDUCE, NORM, STACK, FOLD, LOCATE,
 LOG_SOFTMAX) = range(28)  # pqc_step_kind
NONE = -1
LAYOUT = 18  # PQC_LAYOUT
NO_WINDOW = Window(1)
KINDS = {kind: number for number, kind in enumerate(CHAIN_KINDS)}


class Image(NamedTuple):
    """Where a value, or some channels of it, lies."""

    codes: Codes
    nchw: bool
    buffer: int
    offset: int
    dims: Dims
    border: tuple[int, int, int, int]
    pixel: int

    def row(self) -> list[int]:
        """Its numbers."""
        n, h, w, c = self.dims[:4]
        return [self.codes.content, int(self.nchw), self.buffer, self.offset, n, h, w, c, *self.border, self.pixel,
                self.codes.zero, int(self.codes.refuses_negative)]


def _codes_alone(codes: Codes, place: Image) -> Image:
    """An image that nothing reads or writes: only its codes matter."""
    return place._replace(codes=codes, nchw=False, dims=place.dims._replace(n=1, h=1, w=1, c=1), border=(0, 0, 0, 0))


def _with_epsilon(epsilon: float) -> list[tuple[Window, int]]:
    """Windows in which its bits stand where others have a stride."""
    return [(NO_WINDOW._replace(stride=int(np.float64(epsilon).view(np.int64))), 0), (NO_WINDOW, 0)]


def _frames(z: Window, source: Dims, target: Dims) -> list[int]:
    """A layout for frames.h."""
    return [source.depth, target.depth, z.kernel, z.stride, z.dilation, z.pads(source.depth)[0]]


class Tables:
    """Rows that grow with each step; `weights`: the packed weights of each layer."""

    def __init__(self, weights: Mapping[Conv | Recurrent, object]) -> None:
        self.weights = weights
        self.images: list[list[int]] = []
        self.ranges: list[list[float]] = []
        self.steps: list[list[int]] = []
        self.clamps: list[list[float]] = []
        self.chains: list[list[int]] = []
        self.numbers: list[float] = []
        self._capsules: list[Any] = []

    def _image(self, image: Image) -> int:
        codes = image.codes
        self.images.append(image.row())
        self.ranges.append([codes.mul, codes.div, codes.lo, codes.hi])
        return len(self.images) - 1

    def _step(self, kind: int, source: Image, residual: Image | None, outputs: Sequence[Image],
              windows: Sequence[tuple[Window, int]] = ((NO_WINDOW, 0), (NO_WINDOW, 0)),
              clamps: Sequence[Clamp] = (Clamp(), Clamp()), weights: int = NONE, hard_swish: bool = False,
              more: Sequence[Image | None] = (), chain: int = 0, between: Image | None = None,
              layout: Sequence[int] = ()) -> None:
        numbers = [self._image(image) for image in outputs]
        sizes = [number for w, before in windows for number in (w.stride, w.dilation, before, w.kernel)]
        self.steps.append([kind, self._image(source), NONE if residual is None else self._image(residual),
                           len(numbers), *(numbers + [NONE] * 2)[:3], *sizes, weights, int(hard_swish),
                           *([NONE if image is None else self._image(image) for image in more] + [NONE] * 2)[:2],
                           len(self.chains) - chain, chain,
                           NONE if between is None else self._image(between),
                           *layout, *[0] * (LAYOUT - len(layout))])
        self.clamps.append([bound for clamp in clamps for bound in clamp])

    def _operations(self, operations: Sequence[ChainOp]) -> None:
        self.chains.extend([KINDS[kind], a, b, to] for kind, a, b, to, _ in operations)
        self.numbers.extend(operation.number for operation in operations)

    def move(self, kind: int, source: Image, target: Image) -> None:
        """An import, an export or a copy."""
        self._step(kind, source, None, [target])

    def sliced(self, each: Sliced, source: Image, target: Image) -> None:
        """A copy of some pixels: steps stand where others have strides, first ones where others have padding."""
        windows = [(NO_WINDOW._replace(stride=cut.step), cut.start) for cut in (each.y, each.x)]
        self._step(COPY, source, None, [target], windows)

    def cropped(self, each: Cropped, source: Image, target: Image) -> None:
        """A copy of the pixels that are left."""
        self._step(COPY, source, None, [target], ((NO_WINDOW, each.top), (NO_WINDOW, each.left)))

    def rearranged(self, each: Rearranged, source: Image, target: Image) -> None:
        """Repeated pixels, or channels as pixels: the factors stand where others have strides."""
        self._step(SHUFFLE if each.shuffles else RESIZE, source, None, [target],
                   ((NO_WINDOW._replace(stride=each.y), 0), (NO_WINDOW._replace(stride=each.x), 0)))

    def conv(self, each: Conv, source: Image, residual: Image | None, outputs: Sequence[Image], top: int,
             left: int, operands: Sequence[Image]) -> None:
        """A convolution with this padding, and the operands of its chain."""
        self._capsules.append(self.weights[each])
        self._operations(each.chain)
        between = None if each.between is None or residual is None else _codes_alone(each.between, residual)
        self._step(CONV, source, residual, outputs, ((each.y, top), (each.x, left)), (each.first, each.second),
                   len(self._capsules) - 1, each.hard_swish, operands, len(each.chain), between)

    def float_conv(self, each: FloatConv, source: Image, weight: Image, outputs: Sequence[Image],
                   before: tuple[int, int], operands: Sequence[Image]) -> None:
        """A convolution of floats with this padding, and the operands of its chain."""
        frames = _frames(each.z, source.dims, outputs[0].dims) if source.dims.depth else []
        self._operations(each.chain)
        self._step(FLOAT_CONV, source, weight, outputs, ((each.y, before[0]), (each.x, before[1])), more=operands,
                   chain=len(each.chain), layout=[each.groups, *frames])

    def stacked(self, each: Stacked, source: Image, target: Image) -> None:
        """Frames in the channels of their pixels."""
        self._step(STACK, source, None, [target], layout=[each.groups, *_frames(each.z, source.dims, target.dims)])

    def folded(self, each: Folded, source: Image, target: Image, before: int) -> None:
        """Folded windows over rows with this padding."""
        self._step(FOLD, source, None, [target], ((NO_WINDOW, 0), (each.x, before)))

    def pool(self, each: Pool, source: Image, target: Image, top: int, left: int) -> None:
        """A pool with this padding."""
        self._step(POOL, source, None, [target], ((each.y, top), (each.x, left)))

    def average(self, each: Average, source: Image, outputs: Sequence[Image], top: int, left: int) -> None:
        """Averages over windows with this padding, or of whole images."""
        kind = MEAN if each.whole else PADDED_AVERAGE if each.padded else AVERAGE
        self._step(kind, source, None, outputs, ((each.y, top), (each.x, left)))

    def chain(self, each: Chain, operands: Sequence[Image], outputs: Sequence[Image]) -> None:
        """An elementwise chain."""
        self._operations(each.operations)
        self._step(CHAIN, operands[0], operands[1] if len(operands) > 1 else None, outputs, more=operands[2:],
                   chain=len(each.operations))

    def rows(self, each: Rows, source: Image, weight: Image | None, bias: Image | None,
             outputs: Sequence[Image]) -> None:
        """A function of rows."""
        kind = {"softmax": SOFTMAX, "log_softmax": LOG_SOFTMAX, "layer_norm": LAYER_NORM}[each.kind]
        self._step(kind, source, weight, outputs,
                   _with_epsilon(each.epsilon), more=[] if bias is None else [bias])

    def normed(self, each: Normed, source: Image, weight: Image | None, bias: Image | None, target: Image,
               parts: Sequence[int]) -> None:
        """`parts` groups, each with this many channels."""
        self._step(NORM, source, weight, [target], _with_epsilon(each.epsilon), more=[] if bias is None else [bias],
                   layout=parts)

    def strided(self, source: Image, target: Image, layout: Sequence[int]) -> None:
        """Floats in another order."""
        self._step(STRIDED, source, None, [target], layout=layout)

    def recurrent(self, each: Recurrent, source: Image, states: Sequence[Image | None], lengths: Image | None,
                  outputs: Sequence[Image]) -> None:
        """Cells over sequences."""
        self._capsules.append(self.weights[each])
        self._step(RECURRENT, source, states[0], outputs, weights=len(self._capsules) - 1,
                   more=[states[1] if len(states) > 1 else None, lengths])

    def gathered(self, source: Image, indices: Image, target: Image) -> None:
        """Rows that indices name."""
        self._step(GATHER, source, indices, [target])

    def located(self, source: Image, indices: Image, target: Image, sizes: Sequence[int]) -> None:
        """Rows at places along axes of these sizes."""
        self._step(LOCATE, source, indices, [target], layout=[len(sizes), *sizes])

    def sampled(self, source: Image, places: Image, weights: Image, outputs: Sequence[Image], along_x: bool) -> None:
        """Weighted sums along an axis."""
        self._step(INTERPOLATE, source, places, outputs, more=[weights], layout=[int(along_x), weights.dims.c])

    def padded(self, each: PaddedImage, source: Image, target: Image) -> None:
        """Images with pixels around them."""
        self._step(PAD, source, None, [target], ((NO_WINDOW, each.top), (NO_WINDOW, each.left)),
                   (Clamp(each.number), Clamp()))

    def reduced(self, kind: str, source: Image, target: Image, of_rows: bool) -> None:
        """A number for each row, or for all rows."""
        self._step(REDUCE, source, None, [target], layout=[REDUCTIONS.index(kind), int(of_rows)])

    def integers(self, source: Image, target: Image, truths: bool) -> None:
        """Integers as floats."""
        self._step(TRUTHS if truths else INTEGERS, source, None, [target])

    def product(self, a: Image, b: Image, target: Image, layout: Sequence[int]) -> None:
        """Products of matrices of floats."""
        self._step(MATMUL, a, b, [target], layout=layout)

    def operations(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The operations of all chains, and their constants."""
        return np.array(self.chains, np.int64).reshape(-1, 4), np.array(self.numbers, np.float32)

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """Images, ranges, steps, clamps."""
        return (np.array(self.images, np.int64), np.array(self.ranges, np.float32), np.array(self.steps, np.int64),
                np.array(self.clamps, np.float32))

    def capsules(self) -> tuple[Any, ...]:
        """The packed weights in the order of their numbers."""
        return tuple(self._capsules)
