"""A summary of a model's quantisers and their states."""
from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from .._core.axes import Axis
from .._core.errors import shown
from .._core.formats import Float
from ..integer.eligibility import format_or_refusal
from .quantizers import named_quantizers

__all__ = ["QuantSummary", "QuantizerRow", "quant_summary"]


class QuantizerRow(NamedTuple):
    """One quantiser, as `quant_summary` describes it."""

    name: str
    bits: int | tuple[int, int]
    unsigned: bool
    axis: Axis
    amax: NDArray[Any] | None
    state: str
    execution: str = ""
    block_sizes: dict[Any, Any] | None = None
    amin: NDArray[Any] | None = None

    def cells(self) -> list[str]:
        """The row as it is printed."""
        bits = str(Float(*self.bits)) if isinstance(self.bits, tuple) else f"{'u' if self.unsigned else ''}{self.bits}"
        axis = "tensor" if self.axis is None else str(self.axis)
        if self.block_sizes is not None:
            axis = f"blocks of {self.block_sizes[-1]}"
        amax = _shown(self.amax) if self.amin is None else f"{_shown(self.amin)} .. {_shown(self.amax)}"
        return [self.name or "(model)", bits, axis, amax, self.state, self.execution]


def _shown(amax: NDArray[Any] | None) -> str:
    if amax is None:
        return "dynamic"
    if amax.size == 1:
        return f"{amax.item():.5g}"
    if amax.size == 0:
        return "empty"
    shape = "x".join(map(str, amax.shape))
    return f"{amax.min():.5g} to {amax.max():.5g} ({shape})"


def _state(quantizer: Any) -> str:
    if quantizer._disabled:
        return "disabled"
    stages = [("calib", quantizer._if_calib), ("clip", quantizer._if_clip), ("quant", quantizer._if_quant)]
    on = [name for name, switch in stages if switch]
    if "quant" in on and not quantizer.fake_quant:
        on[-1] = "real quant"
    return ", ".join(on) or "off"


def _executions(model: Any) -> dict[int, str]:
    """How the layer of an input quantiser computed when it was last called, by the quantiser's id.

    Omitted if that call depended on switches that have since changed, as in calibration.
    """
    found = {}
    for _, layer in model.named_modules():
        quantizers = {whose: layer._modules.get(f"_{whose}_quantizer") for whose in ("input", "weight")}
        execution = getattr(layer, "execution", "auto")
        if quantizers["input"] is not None and execution != "auto" and not _is_stale(execution, quantizers):
            found[id(quantizers["input"])] = execution
    return found


def _is_stale(execution: str, quantizers: dict[str, Any]) -> bool:
    for whose, quantizer in quantizers.items():
        switched = (f"float: the {whose} quantiser is off", f"float: the {whose} quantiser collects for calibration")
        if quantizer is not None and execution in switched:
            return execution != f"float: {format_or_refusal(quantizer, whose)}"
    return False


class QuantSummary(list[QuantizerRow]):
    """The rows of `quant_summary`. `str` gives the table; so does `repr`, unless it was printed to standard output."""

    def __init__(self, rows: Iterable[QuantizerRow], printed: bool) -> None:
        super().__init__(rows)
        if not all(isinstance(row, QuantizerRow) for row in self):
            raise TypeError(f"Expected `rows` to hold QuantizerRow, got {shown(list(self))}")
        self._printed = bool(printed)

    def __str__(self) -> str:
        executed = any(row.execution for row in self)
        titles = ["quantiser", "bits", "axis", "amax", "state", "execution" if executed else ""]
        table = [titles, *(row.cells() for row in self)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} quantisers>" if self._printed else str(self)


def quant_summary(model: Any, file: TextIO | None = None) -> QuantSummary:
    """Prints one row for each quantiser: name, bits, axis, amax and state; returns the same as data.

    Args:
        model: any module.
        file: where to print; None is standard output.

    Returns:
        Rows with `name`, `bits` (an integer, or the bits of exponent and mantissa), `unsigned`, `axis`, `amax` (a copy
        as a NumPy array, or None while it is dynamic), `state`: "disabled", or which of calib, clip and quant are on,
        or "off"; and `execution`: for the input quantiser of a layer that has been called "int8", or "float: " and
        why, else "", and "" too if the quantisers have since been switched on, as after calibration; `block_sizes` as
        the descriptor's, and `amin`, the lower end of a range with two. `str` of it is the table.
    """
    if file is not None and not hasattr(file, "write"):
        raise TypeError(f"Expected `file` to be a text stream, got {type(file).__name__}")
    quantizers = named_quantizers(model)
    executions = _executions(model)
    rows = QuantSummary([QuantizerRow(name, quantizer.num_bits, quantizer.unsigned, quantizer.axis,
                                      None if quantizer.amax is None else np.array(quantizer._numbers(quantizer.amax)),
                                      _state(quantizer), executions.get(id(quantizer), ""), quantizer.block_sizes,
                                      None if quantizer.amin is None else np.array(quantizer._numbers(quantizer.amin)))
                         for name, quantizer in quantizers], printed=file is None or file is sys.stdout)
    print(rows, file=sys.stdout if file is None else file)
    return rows
