"""The table of operators that graphs know: `python -m tests.graph.interpreter.operator_table` writes it into docs."""
from __future__ import annotations

from pathlib import Path

from pytorch_quantization_c.graph.interpreter.table import FLOATS_ALONE, operators

from .test_operators import RUN_BY_GRAPHS, cases

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "operators.md"
HEAD = """# Operators of graphs

The operators that `graph.interpret` and `graph.compile` compute with their own functions, from opset 13 on (older
models are converted). Each passes all the test cases that ONNX has for it: values within 1e-5, types and shapes
exactly. Other standard operators, and forms that a function does not support, are computed by `onnx.reference`.

A compiled program computes in C:

- on integers: convolutions along one to three axes, matrix products, LSTM and GRU, and transposed convolutions,
  in groups if their weights are small, without output_shape
- transposed convolutions of float32 without groups, whose kernels are multiples of their strides
- pools and averages of images, max pools of volumes, DepthToSpace, Slice, Split, Concat, and Pad by a number, of images
- Softmax, LogSoftmax, LayerNormalization along the last axis, GroupNormalization and InstanceNormalization
- ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceL1, ReduceL2 and ReduceSumSquare over constant axes
- elementwise operators on float32: Abs, Add, BatchNormalization, Celu, Clip, Div, Elu, Erf, Gelu, HardSigmoid,
  HardSwish, LeakyRelu, Max, Min, Mish, Mul, Neg, PRelu, Reciprocal, Relu, Selu, Sigmoid, Sqrt, Sub, Sum, Swish, Tanh,
  squares and cubes; those that follow a layer run in its output stage, others as chains, in one pass over memory
- float32 convolutions along one to three axes by constant weights, with the chain that follows
- on float32 arrays: MatMul, Einsum that multiplies matrices, Transpose, Reshape and its relatives, Slice, Split,
  Concat, Expand, Gather, GatherElements along the last axis, GatherND
  without batch axes, and Pad
- Resize of float32 images and arrays, by the nearest element, linear or cubic, without antialias
- masks, held as floats of 1 or 0: comparisons of floats, And, Or, Not, Cast of int64 and of floats, moves and
  gathers of all these, and Where by them, of at most four axes; those that shapes determine are read as they are

Everything else runs between these kernels, by the functions in the table; `Session.summary` names the nodes. What
depends on the shapes of the inputs alone, such as the sizes that exporters compute of Shape for axes that may vary, is
computed by the first call with these shapes and kept; Reshape and Expand of float32 by such sizes are in C.

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
