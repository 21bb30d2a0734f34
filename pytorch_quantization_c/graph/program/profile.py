"""How the operations of a program run, and how long they take."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._core.figures import axes_or_new
from ..interpreter.integer_layer import IntegerLayer
from ..interpreter.nbits import NBits
from ..interpreter.plain import Plain, Rounding
from .float_conv import FloatConv, Folded
from .gather import Gathered, Located
from .integers import Integers, Picked
from .operations import Average, Concat, Conv, Export, Flat, Import, Operation, Pool, Python
from .padding import Padded, PaddedImage
from .reductions import Reduced
from .run import Program
from .sampling import Sampled
from .segments import Segment
from .shapes import Unsupported
from .strided import Moved

__all__ = ["Profile", "Row", "Summary", "profiled", "summary_of"]

KERNELS = {Import: "import", Export: "export", Pool: "max pool", Average: "average", Concat: "concat", Flat: "flatten",
           Gathered: "gather", Located: "gather", Picked: "gather", Padded: "pad", PaddedImage: "pad",
           Integers: "integers", FloatConv: "float convolution", Folded: "fold", Sampled: "resize",
           Reduced: "reduction", Python: "Python"}
TALLEST = 40                    # rows of a picture
COLOURS = {"Python": "#d1495b", "convolution": "#2a7f62", "depthwise": "#7b4fa3", "linear": "#e09f3e"}
OTHER = "#9db4c0"


class Row(NamedTuple):
    """An operation.

    name: of its node.
    kernel: what computes it.
    weights: their bytes.
    microseconds: the median of some calls; None if it was not measured.
    reason: why it has no kernel.
    """

    name: str
    kernel: str
    weights: int = 0
    microseconds: float | None = None
    reason: str = ""


class Summary(list[Row]):
    """Rows in the order of a call; printed, a table."""

    def __str__(self) -> str:
        timed = any(row.microseconds is not None for row in self)
        lines = [["node", "kernel", "weights", *(["us"] if timed else []), "why no kernel"]]
        for row in self:
            time = [f"{row.microseconds or 0.0:.1f}"] if timed else []
            lines.append([row.name, row.kernel, f"{row.weights:,}" if row.weights else "", *time, row.reason])
        if timed:
            lines.append(["total", "", f"{sum(row.weights for row in self):,}", f"{self.total:.1f}", ""])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        right = {2, 3} if timed else {2}
        return "\n".join("  ".join(cell.rjust(width) if number in right else cell.ljust(width)
                                   for number, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
                         for line in lines)

    @property
    def total(self) -> float:
        """Microseconds of all operations."""
        return sum(row.microseconds or 0.0 for row in self)


class Profile(Summary):
    """Rows with their times."""

    def plot(self, axes: Any = None) -> Any:
        """A bar for each of the operations that take longest, the first on top (needs matplotlib).

        Args:
            axes: matplotlib axes to draw into; None makes a figure.

        Returns:
            The axes.

        Raises:
            ImportError: there is no matplotlib.
        """
        axes = axes_or_new(axes, 8, 1.2 + 0.22 * min(len(self), TALLEST))
        shown = sorted(self, key=lambda row: -(row.microseconds or 0.0))[:TALLEST]
        kinds = [row.kernel if row.kernel in COLOURS else "other" for row in shown]
        for kind in dict.fromkeys(kinds):
            places = [number for number, each in enumerate(kinds) if each == kind]
            axes.barh(places, [shown[number].microseconds for number in places], label=kind,
                      color=COLOURS.get(kind, OTHER))
        axes.set_yticks(range(len(shown)), [row.name for row in shown], fontsize=7)
        axes.invert_yaxis()
        axes.set_xlabel("microseconds")
        axes.set_title(f"{self.total:.0f} microseconds a call, {len(self)} operations")
        if shown:
            axes.legend()
        return axes


def _kernel(each: Operation) -> str:
    if isinstance(each, Conv):
        return "linear" if each.input.matrix else "depthwise" if each.depthwise else "convolution"
    if isinstance(each, Moved):
        return each.kind
    return KERNELS.get(type(each), type(each).__name__.lower())


def _reason(each: Operation) -> str:
    if not isinstance(each, Python):
        return ""
    compute = each.call.compute
    if isinstance(compute, Rounding):
        return "a quantiser between nodes without one"
    if isinstance(compute, Plain):
        return f"there is none for {compute.node.op_type} here"
    if isinstance(compute, IntegerLayer):
        return f"there is none for this {compute.node.op_type}; its product runs on integers"
    if isinstance(compute, NBits):
        return "there is none for MatMulNBits; its product runs on integers where accuracy_level is 4"
    return "computed by the package onnx"


def _row(each: Operation, microseconds: float | None = None) -> Row:
    weight = getattr(each, "weight", None)
    if isinstance(each, Python) and isinstance(each.call.compute, IntegerLayer):
        size = int(each.call.compute.weight.array.size)  # a byte each, packed
    elif isinstance(each, Python) and isinstance(each.call.compute, NBits):
        size = int(each.call.compute.weight.packed.nbytes + each.call.compute.weight.scale.nbytes)
    else:
        size = int(weight.nbytes) if isinstance(weight, np.ndarray) else 0
    return Row(each.name, _kernel(each), size, microseconds, _reason(each))


def summary_of(program: Program) -> Summary:
    """The operations in the order of a call."""
    return Summary(_row(operation) for each in program.order
                   for operation in (each.operations if isinstance(each, Segment) else [each]))


def profiled(program: Program, feeds: dict[str, Any], outputs: Sequence[str], repeats: int) -> Profile:
    """The medians of some calls. Unsupported if the interpreter has to compute them."""
    runs = []
    for _ in range(max(1, repeats) + 1):
        times: list[tuple[Operation, int]] = []
        if program.run(feeds, outputs, times) is None:
            raise Unsupported("values without a code")
        runs.append(times)
    medians = np.median([[nanoseconds for _, nanoseconds in times] for times in runs[1:]], axis=0)
    return Profile(_row(each, float(time) / 1000) for (each, _), time in zip(runs[1], medians, strict=True))
