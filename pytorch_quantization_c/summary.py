"""What the quantisers of a model are, and are doing."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from ._core.axes import Axis
from ._core.quantizer import QuantizerRules

__all__ = ["QuantizerRow", "named_quantizers", "quant_summary"]


class QuantizerRow(NamedTuple):
    """One quantiser, as `quant_summary` describes it."""

    name: str
    bits: int | tuple[int, int]
    unsigned: bool
    axis: Axis
    amax: NDArray[Any] | None
    state: str
    execution: str = ""

    def cells(self) -> list[str]:
        """The row as it is printed."""
        bits = "E4M3" if isinstance(self.bits, tuple) else f"{'u' if self.unsigned else ''}{self.bits}"
        axis = "tensor" if self.axis is None else str(self.axis)
        return [self.name or "(model)", bits, axis, _shown(self.amax), self.state, self.execution]


def _shown(amax: NDArray[Any] | None) -> str:
    if amax is None:
        return "dynamic"
    if amax.size == 1:
        return f"{amax.item():.5g}"
    if amax.size == 0:
        return "empty"
    shape = "x".join(map(str, amax.shape))
    return f"{amax.min():.5g} to {amax.max():.5g} ({shape})"


def named_quantizers(model: Any) -> Iterator[tuple[str, Any]]:
    """The full names and the quantisers of a model, each once. TypeError if it is no module."""
    if not hasattr(model, "named_modules"):
        raise TypeError(f"Expected `model` to be a module, got {type(model).__name__}")
    return ((name, module) for name, module in model.named_modules() if isinstance(module, QuantizerRules))


def _state(quantizer: Any) -> str:
    if quantizer._disabled:
        return "disabled"
    stages = [("calib", quantizer._if_calib), ("clip", quantizer._if_clip), ("quant", quantizer._if_quant)]
    on = [name for name, switch in stages if switch]
    if "quant" in on and not quantizer.fake_quant:
        on[-1] = "real quant"
    return ", ".join(on) or "off"


def _executions(model: Any) -> dict[int, str]:
    """How the layer of an input quantiser computed when it was last called, by the quantiser's id."""
    layers = [(layer, layer._modules.get("_input_quantizer")) for _, layer in model.named_modules()]
    found = {id(quantizer): getattr(layer, "execution", "auto") for layer, quantizer in layers if quantizer is not None}
    return {key: execution for key, execution in found.items() if execution != "auto"}


def quant_summary(model: Any, file: TextIO | None = None) -> list[QuantizerRow]:
    """Prints one row for each quantiser: name, bits, axis, amax and state; returns the same as data.

    Args:
        model: any module.
        file: where to print; None is standard output.

    Returns:
        Rows with `name`, `bits` (an integer, or (4, 3) for E4M3), `unsigned`, `axis`, `amax` (a copy as a NumPy array,
        or None while it is dynamic), `state`: "disabled", or which of calib, clip and quant are on, or "off"; and
        `execution`: for the input quantiser of a layer that has been called "int8", or "float: " and why, else "".
    """
    if file is not None and not hasattr(file, "write"):
        raise TypeError(f"Expected `file` to be a text stream, got {type(file).__name__}")
    quantizers = named_quantizers(model)
    executions = _executions(model)
    rows = [QuantizerRow(name, quantizer.num_bits, quantizer.unsigned, quantizer.axis,
                         None if quantizer.amax is None else np.array(quantizer._numbers(quantizer.amax)),
                         _state(quantizer), executions.get(id(quantizer), ""))
            for name, quantizer in quantizers]
    titles = ["quantizer", "bits", "axis", "amax", "state", "execution" if executions else ""]
    table = [titles, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table]
    print("\n".join(lines), file=sys.stdout if file is None else file)
    return rows
