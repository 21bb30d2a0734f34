"""The table of operators that graphs know: `python -m tests.graph.interpreter.operator_table` writes it into docs."""
from __future__ import annotations

from pathlib import Path

from pytorch_quantization_c.graph.interpreter.table import FLOATS_ALONE, operators

from .test_operators import RUN_BY_GRAPHS, cases

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "operators.md"
HEAD = """# Operators of graphs

What `graph.interpret` and `graph.compile` compute by functions of their own, from opset 13 on (older models are
raised). Each passes all the cases that ONNX has for it: values within 1e-5, types and shapes exactly. Every other
operator of the standard, and forms of these that a function does not know, are computed by `onnx.reference`.

A compiled program computes in C: convolutions along one and two axes and products with matrices on integers,
transposed convolutions whose kernel is their stride, pools and averages of images, Softmax and LayerNormalization
along the last axis, nearest Resize by whole factors, DepthToSpace, Slice, Split and Concat of images, and of float32
all of Abs, Add, BatchNormalization, Clip, Div, Erf, Gelu, HardSigmoid, HardSwish, LeakyRelu, Max, Min, Mul, Neg,
PRelu, Reciprocal, Relu, Sigmoid, Sqrt, Sub, Sum, Swish, Tanh and squares: those behind a layer in its output stage,
others in one pass over memory as far as they follow each other. Convolutions of float32 along one and two axes by
constant weights, but groups of fewer than 16 outputs, take such a chain along as well. Of arrays of float32 there are
MatMul, Transpose, Reshape and its kin, Slice, Split, Concat, Expand, Gather and Pad of what is there; LSTM and GRU on
integers if all sequences have one length. Masks are floats that are 1 or 0: comparisons of floats, And, Or, Not, Cast
of int64 and of floats, GatherND by constant indices, moves of all these, and Where by them, of at most four axes.
What else there is runs between them by the functions of the table; `Session.summary` says which nodes do.

| operator | types | cases of ONNX |
|---|---|---|
"""


def page() -> str:
    """The page as it has to be."""
    rows = []
    for name in sorted([*operators(), *RUN_BY_GRAPHS]):
        types = "float32, float64" if name in FLOATS_ALONE else "any" if name in RUN_BY_GRAPHS else "numbers"
        rows.append(f"| {name} | {types} | {len(cases()[name])} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page())
