"""The operations of a program, independent of models and shapes."""
from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .calls import Call

__all__ = ["CHAIN_KINDS", "FLOATS", "MAX_CHAIN", "MAX_OPERANDS", "MAX_OUTPUTS", "MAX_REGISTERS",
           "MAX_TAIL_OPERANDS", "Average", "Chain", "ChainOp",
           "Clamp", "Codes", "Concat", "Conv", "Cropped", "Cut", "Export", "Flat", "Form", "Import", "Key", "Operation",
           "Pool", "Python", "Rearranged", "Rows", "Sliced", "Window", "array_of"]

F32, U8, S16 = 1, 2, 3  # as pqc_content
TILE = 64  # bytes of a pixel that tiles multiply at a time
MAX_TAPS = 65535  # of a window, and pixels before or after an image
MAX_OUTPUTS = 3  # PQC_MAX_OUTPUTS
MAX_OPERANDS, MAX_REGISTERS, MAX_CHAIN = 4, 10, 64  # as in chain.h
MAX_TAIL_OPERANDS = 2  # of a layer's chain, beside its results
CHAIN_KINDS = ("add", "sub", "mul", "div", "max", "min", "prelu", "if", "unless", "either", "less",
               "less_or_equal", "equal", "add_number", "mul_number", "div_number",
               "max_number", "min_number", "at_least", "at_most", "from_number", "over", "nan_number", "leaky_relu",
               "hard_swish", "neg", "abs", "sqrt", "round", "sigmoid", "tanh", "silu", "erf",
               "gelu")  # as pqc_chain_kind


class Codes(NamedTuple):
    """What the elements of an image stand for: code = clamp(rint(x * mul), lo, hi) + zero, x = (code - zero) / div."""

    content: int
    mul: float = 1.0
    div: float = 1.0
    lo: float = 0.0
    hi: float = 0.0
    zero: int = 0
    refuses_negative: bool = False

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return {F32: 4, U8: 1, S16: 2}[self.content]

    def check(self) -> None:
        """ValueError for an unknown content."""
        if self.content not in (F32, U8, S16):
            raise ValueError(f"expected codes of content {F32} to {S16}, got {self.content}")


FLOATS = Codes(F32)

Form = Codes | None
"""How a value lies in memory: as an image, channels last, of these codes; None: as an array of NumPy."""


class Key(NamedTuple):
    """A value of the graph in one form; `matrix`: rows of numbers, not images of pixels."""

    value: int
    form: Form
    matrix: bool = False


def array_of(value: int) -> Key:
    """A value as an array."""
    return Key(value, None)


class Window(NamedTuple):
    """One axis of a convolution or a pool; `auto` is ONNX's auto_pad, by which `before` and `after` are found."""

    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    auto: str = ""

    @property
    def reach(self) -> int:
        """Inputs from the first tap to the last."""
        return (self.kernel - 1) * self.dilation + 1

    def pads(self, size: int) -> tuple[int, int]:
        """Before and after an axis of this size."""
        if not self.auto:
            return self.before, self.after
        total = max(0, (-(-size // self.stride) - 1) * self.stride + self.reach - size)
        small = total // 2
        return (small, total - small) if self.auto == "SAME_UPPER" else (total - small, small)

    def border(self) -> tuple[int, int]:
        """The largest pads that any size leads to."""
        return (self.reach // 2 + 1,) * 2 if self.auto else (self.before, self.after)  # pyright: ignore

    def check(self) -> None:
        """ValueError for invalid numbers."""
        sizes, pads = (self.kernel, self.stride, self.dilation), (self.before, self.after)
        if not (1 <= min(sizes) <= max(sizes) <= MAX_TAPS and 0 <= min(pads) <= max(pads) <= MAX_TAPS
                and self.auto in ("", "SAME_UPPER", "SAME_LOWER")):
            raise ValueError(f"expected a window of kernel, stride and dilation from 1 to {MAX_TAPS}, got {self}")


class Clamp(NamedTuple):
    """Bounds of an activation."""

    low: float = -np.inf
    high: float = np.inf


@dataclass(eq=False)
class Operation(ABC):
    """One operation; `name` is that of the node it comes from."""

    name: str

    @abstractmethod
    def reads(self) -> list[Key]:
        """The values that it reads."""

    @abstractmethod
    def writes(self) -> list[Key]:
        """The values that it writes."""


@dataclass(eq=False)
class Import(Operation):
    """An array becomes an image."""

    value: int
    output: Key

    def reads(self) -> list[Key]:
        return [array_of(self.value)]

    def writes(self) -> list[Key]:
        return [self.output]


@dataclass(eq=False)
class Export(Operation):
    """An image becomes an array, its codes numbers."""

    input: Key
    value: int

    def reads(self) -> list[Key]:
        return [self.input]

    def writes(self) -> list[Key]:
        return [array_of(self.value)]


class ChainOp(NamedTuple):
    """An operation of a chain on registers: `to` gets what `kind` makes of a and b, or of a and `number`."""

    kind: str
    a: int
    b: int
    to: int
    number: float = 0.0

    def check(self) -> None:
        """ValueError for an unknown operation."""
        if self.kind not in CHAIN_KINDS:
            raise ValueError(f"expected an operation among {', '.join(CHAIN_KINDS)}, got {self.kind[:40]}")


@dataclass(eq=False)
class Conv(Operation):
    """A convolution, or a product with a matrix, and its output stage.

    weight: int8 (outputs, height, width, inputs of a group).
    scale, bias: float32, for each output; the scale takes that of the input in.
    first, second: clamps before and after the residual is added; hard_swish: behind the first.
    between: codes that the results go through before the residual is added.
    chain: elementwise operations on all that, in the first register, and on `operands`, in those behind it.
    multiple: what the image's height and width have to be multiples of.
    """

    input: Key
    weight: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    groups: int
    y: Window
    x: Window
    residual: Key | None = None
    first: Clamp = Clamp()
    second: Clamp = Clamp()
    hard_swish: bool = False
    outputs: list[Key] = field(default_factory=list)
    chain: list[ChainOp] = field(default_factory=list)
    operands: list[Key] = field(default_factory=list)
    between: Form = None
    multiple: int = 1

    @property
    def depthwise(self) -> bool:
        """Whether each channel is convolved alone."""
        return self.groups > 1 and self.weight.shape[0] == self.groups and self.weight.shape[3] == 1

    @property
    def merged(self) -> bool:
        """Whether a row of taps is multiplied as one run of bytes: if it has to be, or to fill more of a tile."""
        inputs, taps = self.weight.shape[3], self.x.kernel
        fewer = -(-taps * inputs // TILE) < taps * -(-inputs // TILE)
        return self.groups == 1 and self.x.dilation == 1 and taps > 1 and (inputs % 4 != 0 or fewer)

    def reads(self) -> list[Key]:
        return [self.input, *([] if self.residual is None else [self.residual]), *self.operands]

    def writes(self) -> list[Key]:
        return self.outputs

    def check(self) -> None:
        """ValueError for arrays that do not fit together."""
        outputs = self.weight.shape[:1]
        if self.weight.ndim != 4 or not self.weight.size or self.weight.shape[1:3] != (self.y.kernel, self.x.kernel):
            raise ValueError(f"expected a weight (outputs, height, width, inputs), got {list(self.weight.shape)}")
        if self.groups < 1 or outputs[0] % self.groups or (self.scale.shape, self.bias.shape) != (outputs,) * 2:
            raise ValueError(f"expected a scale and a bias for each of {outputs[0]} outputs in groups, got "
                             f"{list(self.scale.shape)}, {list(self.bias.shape)} and {self.groups} groups")
        if self.between is not None and (self.residual is None or self.between.content == F32):
            raise ValueError("expected codes between a layer and its residual")
        if not 1 <= self.multiple <= 2 ** 24:
            raise ValueError(f"expected a multiple from 1 to 2 ** 24, got {self.multiple}")
        if len(self.operands) > (MAX_TAIL_OPERANDS if self.chain else 0):
            raise ValueError(f"expected at most {MAX_TAIL_OPERANDS} operands of a chain, got {len(self.operands)}")


@dataclass(eq=False)
class Single(Operation):
    """An operation from one value to another."""

    input: Key
    output: Key

    def reads(self) -> list[Key]:
        return [self.input]

    def writes(self) -> list[Key]:
        return [self.output]


@dataclass(eq=False)
class Pool(Single):
    """Maxima of bytes or floats over windows; `ceil` as ONNX's ceil_mode.

    `of_frames`: y is the window along the frames of volumes.
    """

    y: Window
    x: Window
    ceil: bool
    of_frames: bool = False

    def check(self) -> None:
        """ValueError for a window of frames that is one of pixels, too."""
        if self.of_frames and self.x != Window(1):
            raise ValueError("expected a window along frames alone")


@dataclass(eq=False)
class Rearranged(Single):
    """Pixels of the same codes: each repeated y times and x times, or if `shuffles` its channels as y x x pixels.

    `of_frames`: y is along the frames of volumes.
    """

    y: int
    x: int
    shuffles: bool = False
    of_frames: bool = False

    def check(self) -> None:
        """ValueError for frames whose pixels are rearranged, too."""
        if self.of_frames and self.x != 1:
            raise ValueError(f"expected frames alone to be rearranged, got {self.x} pixels of each")


class Cut(NamedTuple):
    """Every `step`th element of an axis from `start` on, before `stop`."""

    start: int = 0
    stop: int = 2 ** 62
    step: int = 1

    def count(self, size: int) -> int:
        """How many there are along an axis of this size."""
        return -(-(min(self.stop, size) - self.start) // self.step)

    def check(self) -> None:
        """ValueError for invalid numbers."""
        if not (0 <= self.start < self.stop and 1 <= self.step and max(self.start, self.step) <= 2 ** 24):
            raise ValueError(f"expected a cut from 0 on, at most 2 ** 24 apart, got {self}")


@dataclass(eq=False)
class Sliced(Single):
    """Some channels of some pixels, of the same codes; the step of the channels is 1."""

    c: Cut
    y: Cut
    x: Cut

    def check(self) -> None:
        """ValueError for channels that are not contiguous."""
        if self.c.step != 1:
            raise ValueError(f"expected contiguous channels, got a step of {self.c.step}")


@dataclass(eq=False)
class Cropped(Single):
    """Images of the same codes, cropped by these rows and columns at their borders.

    `of_frames`: the rows are the frames of volumes.
    """

    top: int
    bottom: int
    left: int
    right: int
    of_frames: bool = False

    def check(self) -> None:
        """ValueError for negative numbers."""
        if not 0 <= min(self.top, self.bottom, self.left, self.right) <= MAX_TAPS or (
                self.of_frames and self.left + self.right):
            raise ValueError(f"expected a cut of 0 or more rows and columns, got {self}")


@dataclass(eq=False)
class Average(Operation):
    """Averages over windows, or of whole images; `ceil` as ONNX's ceil_mode, `padded`: padding counts as zeros."""

    input: Key
    outputs: list[Key]
    y: Window
    x: Window
    ceil: bool = False
    padded: bool = False
    whole: bool = False

    def reads(self) -> list[Key]:
        return [self.input]

    def writes(self) -> list[Key]:
        return self.outputs


@dataclass(eq=False)
class Flat(Single):
    """Images as the rows of a matrix, the channels of a pixel together; `pixels`: of an image."""

    pixels: int = 1


@dataclass(eq=False)
class Chain(Operation):
    """Elementwise operations in one pass; without any, other forms of a value.

    `image`: over images; operands without a form are constants (images, height, width, channels). Else over arrays and
    matrices of codes, which broadcast as NumPy's. `repeats`: how often each pixel of each operand is repeated along y
    and x; without any, once.
    """

    operands: list[Key]
    operations: list[ChainOp]
    outputs: list[Key]
    image: bool
    repeats: list[tuple[int, int]] = field(default_factory=list)

    def check(self) -> None:
        """ValueError for factors that the operands do not have."""
        if self.repeats and (not self.image or len(self.repeats) != len(self.operands)
                             or min(min(each) for each in self.repeats) < 1):
            raise ValueError(f"expected a positive factor for each operand, got {self.repeats}")

    def reads(self) -> list[Key]:
        return self.operands

    def writes(self) -> list[Key]:
        return self.outputs


@dataclass(eq=False)
class Rows(Operation):
    """A function of each row of floats along the last axis.

    kind: "softmax", "log_softmax", or "layer_norm" with weight, bias and epsilon.
    """

    kind: str
    input: Key
    outputs: list[Key]
    weight: Key | None = None
    bias: Key | None = None
    epsilon: float = 0.0

    def reads(self) -> list[Key]:
        return [self.input, *(each for each in (self.weight, self.bias) if each is not None)]

    def writes(self) -> list[Key]:
        return self.outputs

    def check(self) -> None:
        """ValueError for an unknown function."""
        if self.kind not in ("softmax", "log_softmax", "layer_norm"):
            raise ValueError(f"expected softmax, log_softmax or layer_norm, got {self.kind[:40]}")


@dataclass(eq=False)
class Concat(Operation):
    """Channels of several images one behind the other."""

    inputs: list[Key]
    output: Key

    def reads(self) -> list[Key]:
        return self.inputs

    def writes(self) -> list[Key]:
        return [self.output]


@dataclass(eq=False)
class Python(Operation):
    """A node without a kernel: a function of arrays.

    fixed: calls with inputs of the same shapes share its outputs.
    """

    outputs: list[int]
    call: Call
    fixed: bool = False

    def reads(self) -> list[Key]:
        return [array_of(value) for value in dict.fromkeys(self.call.operands) if value is not None]

    def writes(self) -> list[Key]:
        return [array_of(value) for value in self.outputs]
