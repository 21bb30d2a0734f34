"""Programs give the interpreter's zeros with their signs, whoever looks at them."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.nodes import fake_quant
from pytorch_quantization_c.graph.program.operations import Conv
from pytorch_quantization_c.graph.representation.spec import QuantizerSpec

from ..networks import network, normal
from .same_bits import assert_same_bits as same_bits

SPECS = {"signed": QuantizerSpec(8), "signed with 0 as its zero point": QuantizerSpec(8, zero_point=0),
         "with a zero point": QuantizerSpec(8, True, False, 100), "unsigned": QuantizerSpec(8, True, False, 0),
         "16 bits": QuantizerSpec(16, narrow=False)}
TAILS = {"output": "y = Identity (c)", "divisor": "one = Identity (k)  y = Div (one, c)", "Relu": "y = Relu (c)",
         "sum": "z = Neg (c)  y = Add (z, c)"}


def quantized_output(rng: np.random.Generator, body: str, spec: QuantizerSpec, batch: int = 2) -> ir.Model:
    """A network on integers, its value `c` quantised once more behind its last layer."""
    w = {"w": normal(rng, 6, 4, 3, 3), "b": normal(rng, 6) / 4, "v": normal(rng, 6, 6, 1, 1)}
    model = network(body, "float[N,4,H,W] x", "float[N,6,H,W] y", **w, k=np.ones(1, np.float32))
    int8 = graph.quantize(model, [normal(rng, batch, 4, 6, 6)], methods=())
    last = next((node for node in int8.graph if node.outputs[0].name == "c"), int8.graph[-1])
    value, uses = last.outputs[0], list(last.outputs[0].uses())
    made = fake_quant(int8.graph, value, np.float32(40), spec, "last")
    int8.graph.insert_after(last, made)
    for use in uses:
        use.node.replace_input_with(use.idx, made.outputs[0])
    if value.is_graph_output():
        value.name, made.outputs[0].name = "c", value.name
        int8.graph.outputs[0] = made.outputs[0]
    return int8


def assert_same_bits(model: ir.Model, *inputs: Any) -> None:
    session = graph.compile(model)
    for x in inputs:
        expected, found = graph.interpret(model, {"x": x}), session.run(None, {"x": x})
        for a, b in zip(found, expected, strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype) and a.tobytes() == b.tobytes()
        assert session._program.run({"x": x}, session._outputs) is not None


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_a_quantised_value_that_floats_read(rng: np.random.Generator, spec: QuantizerSpec, tail: str) -> None:
    model = quantized_output(rng, f"a = Conv <pads = [1, 1, 1, 1]> (x, w, b)  c = Conv (a, v)  {tail}", spec)
    x = normal(rng, 2, 4, 6, 6)
    assert_same_bits(model, x, np.zeros_like(x), -np.zeros_like(x))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_sum_behind_hard_swish(rng: np.random.Generator, spec: QuantizerSpec) -> None:
    body = """c = Conv <pads = [1, 1, 1, 1]> (x, w, b)  d = Neg (c)  e = Conv (c, v)  f = HardSwish (e)
              y = Add (f, c)"""
    model = quantized_output(rng, body, spec)
    assert_same_bits(model, normal(rng, 2, 4, 6, 6) * 9, np.zeros((1, 4, 6, 6), np.float32))


def test_zeros_of_a_quantiser_with_a_zero_point_are_positive() -> None:
    """(rint(x * scale) + zero_point) - zero_point, as the definition has it."""
    from pytorch_quantization_c.graph.representation.arithmetic import fake_quantize

    x = np.array([-0.001, -0.0, 0.0, 0.001], np.float32)
    for point in (0, 100, 255):
        got = fake_quantize(x, np.float32(40), QuantizerSpec(8, True, False, point))
        assert got.tobytes() == np.zeros(4, np.float32).tobytes()
    assert np.signbit(fake_quantize(x, np.float32(40), QuantizerSpec(8))).tolist() == [True, True, False, False]


def test_sums_of_no_products_are_positive_zeros(rng: np.random.Generator) -> None:
    model = network("y = Conv (x, w)", "float[N,1,H,W] x", "float[N,6,H,W] y", w=-np.abs(normal(rng, 6, 1, 1, 1)))
    int8 = graph.quantize(model, [normal(rng, 2, 1, 6, 6) + 3])
    assert_same_bits(int8, np.zeros((1, 1, 6, 6), np.float32), -np.zeros((1, 1, 6, 6), np.float32))


@pytest.mark.parametrize("last", ["y = Conv (f, v)", "g = Neg (f)  y = Conv (f, v)  z = Div (one, g)"],
                         ids=["integers", "floats"])
def test_residuals_behind_silu(rng: np.random.Generator, last: str) -> None:
    """Where sums end as integers, residuals are codes, without signs of zeros; SiLU of -105 is -0."""
    body = f"""c = Conv <pads = [1, 1, 1, 1]> (x, w, b)  s = Sigmoid (c)  a = Mul (c, s)
               d = Conv (a, v)  t = Sigmoid (d)  e = Mul (d, t)  f = Add (a, e)  {last}"""
    w = {"w": normal(rng, 6, 4, 3, 3), "b": normal(rng, 6) / 4, "v": normal(rng, 6, 6, 1, 1)}
    outputs = ", ".join(f"float[N,6,H,W] {name}" for name in ("y", "z") if f"{name} = " in last)
    model = network(body, "float[N,4,H,W] x", outputs, **w, one=np.ones(1, np.float32))
    int8 = graph.quantize(model, [normal(rng, 2, 4, 6, 6)], methods=())
    add = next(node for node in int8.graph if node.op_type == "Add")
    made = fake_quant(int8.graph, add.inputs[0], np.float32(4), SPECS["signed"], "residual")
    int8.graph.insert_before(add, made)
    add.replace_input_with(0, made.outputs[0])
    feeds = {"x": normal(rng, 2, 4, 6, 6) * np.repeat(np.float32([1, 300]), 3)}
    session = graph.compile(int8)
    same_bits(session, int8, feeds, (1, 3))
    tail = next(each for each in session._document.lowered.operations if getattr(each, "operands", []))
    kinds = [op.kind for op in (tail.chain if isinstance(tail, Conv) else tail.operations)]
    assert ("round" in kinds) == ("Div" in last), kinds
