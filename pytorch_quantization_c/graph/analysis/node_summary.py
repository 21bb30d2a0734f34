"""How each node of a graph is quantised, by which quantiser, or why not."""
from __future__ import annotations

import sys
from typing import NamedTuple, TextIO

import onnx_ir as ir

from ..interpreter.grid import quantizer_behind
from ..nodes import DOMAIN, Quantizer, checked_graph, is_quantizer, quantizer
from ..passes.editing import floats, is_op
from ..passes.layers import PRODUCTS, RECURRENT, layer_of
from ..placement.sites import is_recurrent, is_spectral, reads_spectrum

__all__ = ["FIXED", "INEXACT", "SummaryRow", "summary"]

SAYS_NOTHING = ("Constant",)
FIXED, INEXACT = "trace.fixed_axes", "trace.inexact_nodes"  # what `trace` notes in a graph's metadata


class SummaryRow(NamedTuple):
    """One node: its name and operator, how it is quantised, by which quantisers, and why it is not."""

    node: str
    op: str
    quantized: str
    quantizers: tuple[str, ...]
    reason: str

    def cells(self) -> tuple[str, ...]:
        """The row as it is printed."""
        return self.node, self.op, self.quantized, ", ".join(self.quantizers) or self.reason


def summary(model: ir.Model, file: TextIO | None = None) -> list[SummaryRow]:
    """Prints a row for each node of the main graph but quantisers: node, operator, how quantised, by which or why not.

    Of a traced model it also prints which axes of its inputs stay fixed, and which nodes are not equal to the bit.

    Args:
        model: a model with quantisers or without.
        file: where to print; None is standard output.

    Returns:
        The rows, in the graph's order.

    Raises:
        TypeError: no graph, or no file.
    """
    if file is not None and not hasattr(file, "write"):
        raise TypeError(f"Expected `file` to be an open text file, got {type(file).__name__}")
    nodes = checked_graph(model).graph
    rows = [_row(node) for node in nodes if node.domain != DOMAIN and not is_op(node, *SAYS_NOTHING)]
    table = [("node", "op", "quantized", "by, or why not"), *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table]
    notes = {FIXED: "Axes of inputs that stay fixed", INEXACT: "Nodes that agree with the traced model to 1e-6"}
    lines += [f"{text}: {model.graph.metadata_props[key]}" for key, text in notes.items()
              if key in model.graph.metadata_props]
    print("\n".join(lines), file=sys.stdout if file is None else file)
    return rows


def _row(node: ir.Node) -> SummaryRow:
    found = [each for value in node.inputs if (each := _quantizer_of(node, value))]
    how = ", ".join(map(described, found)) or "float"
    reason = "" if found and len(found) >= _needed(node) else _reason(node, found)
    return SummaryRow(node.name or "", node.op_type, how, tuple(each.name for each in found), reason)


def _quantizer_of(node: ir.Node, value: ir.Value | None) -> Quantizer | None:
    """The quantiser that an input comes from; of a layer also one ahead of what only moves numbers."""
    if is_op(node, *PRODUCTS, *RECURRENT):
        return quantizer_behind(value)
    source = None if value is None else value.producer()
    return quantizer(source) if source is not None and is_quantizer(source) else None


def described(found: Quantizer) -> str:
    """A quantiser in a few words: "u8", "s8 by channel", "u8 from 3 (dynamic)"."""
    spec = found.spec
    text = "e4m3" if isinstance(spec.bits, tuple) else f"{'u' if spec.unsigned else 's'}{spec.bits}"
    if spec.axis is not None:
        text += " by channel" if spec.block is None else f" in blocks of {spec.block}"
    elif spec.zero_point:
        text += f" with zero point {spec.zero_point}"
    return text + (" (dynamic: slower than a fixed range)" if found.is_dynamic else "")


def _needed(node: ir.Node) -> int:
    return 3 if is_op(node, *RECURRENT) else 2 if is_op(node, *PRODUCTS) else 0


def _reason(node: ir.Node, found: list[Quantizer]) -> str:
    if not is_op(node, *PRODUCTS, *RECURRENT):
        return "not a layer with weights: computed in float"
    if found:
        return "not all of its inputs are quantised"
    if len(node.inputs) < 2 or floats(node.inputs[1]) is None:
        return "its weight is no constant of float32"
    if not (layer_of(node) or is_recurrent(node)):
        return "a form that has no integer product"
    if is_spectral(node):
        return "its output is squared and summed: a spectrum does not survive integers"
    if reads_spectrum(node):
        return "it reads magnitudes of a spectrum, whose quiet bins do not survive integers"
    return "left float by `exclude` or `overrides`, or not quantised yet"
