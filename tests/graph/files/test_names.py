"""Whatever names a user's model has, those that passes add are others."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from pytorch_quantization_c import float_nn, graph
from pytorch_quantization_c import nn as quant_nn
from pytorch_quantization_c.graph.files.writer import exported
from pytorch_quantization_c.graph.nodes import is_quantizer
from tests.graph.networks import convolutional, images, network, normal

Names = tuple[set[str], set[str]]


def names_of(model: ir.Model) -> Names:
    """Of values and of nodes; each is to be there once."""
    graphs = [model.graph, *model.graph.subgraphs()]
    nodes = list(model.graph.all_nodes())
    values = [value for each in graphs for value in {*each.inputs, *each.initializers.values()}]
    values += [value for node in nodes for value in node.outputs]
    found = [str(value.name) for value in values], [str(node.name) for node in nodes if node.name]
    for each in found:
        assert len(set(each)) == len(each), sorted(name for name in each if each.count(name) > 1)
    return set(found[0]), set(found[1])


def renamed(model: ir.Model, added: Names) -> ir.Model:
    """The model with as many of its inner names as there are exchanged for others."""
    made, (values, nodes) = model.clone(), added
    fresh_values, fresh_nodes = iter(sorted(values)), iter(sorted(nodes))
    for value in [*made.graph.initializers.values()]:
        name = next(fresh_values, None)
        if name is not None:
            value.name = name
    for node in made.graph.all_nodes():
        node.name = next(fresh_nodes, node.name)
        for value in node.outputs:
            if not value.is_graph_output():
                value.name = next(fresh_values, value.name)
    return made


def foreign(rng: np.random.Generator) -> ir.Model:
    """Quantised elsewhere: QLinearConv, an LSTM-less tail, MatMulInteger."""
    return network("""q = QuantizeLinear (x, s, z)  c = QLinearConv (q, s, z, w, s, i, s, z)
                      d = DequantizeLinear (c, s, z)  f = Flatten (d)
                      g, gs, gz = DynamicQuantizeLinear (f)  m = MatMulInteger (g, v, gz, i)  mf = Cast <to = 1> (m)
                      both = Mul (gs, s)  y = Mul (mf, both)""", "float[N,2,3,3] x", "float[N,4] y",
                   s=np.float32(0.05), z=np.uint8(120), i=np.int8(0), v=rng.integers(-99, 99, (4, 4)).astype(np.int8),
                   w=rng.integers(-99, 99, (4, 2, 3, 3)).astype(np.int8))


def with_a_branch(rng: np.random.Generator) -> ir.Model:
    return network("""t = ReduceSum <keepdims = 0> (x)  b = Greater (t, zero)
                      k = If (b) <then_branch = a () => (float[N,4,6,6] k1) { k1 = Conv (x, w) },
                                  else_branch = e () => (float[N,4,6,6] k2) { k2 = Conv (x, u) }>
                      y = Conv (k, v)""", "float[N,3,8,8] x", "float[N,2,6,6] y", zero=np.float32(0),
                   w=normal(rng, 4, 3, 3, 3), u=normal(rng, 4, 3, 3, 3), v=normal(rng, 2, 4, 1, 1))


def products(rng: np.random.Generator) -> ir.Model:
    """Biases are corrected in three ways; a written-out LayerNormalization and a SiLU."""
    return network("""m = MatMul (x, w)  n = Neg (m)  o = MatMul (n, v)  p = Add (o, b)  a = Sigmoid (p)  e = Mul (p, a)
                      mean = ReduceMean (e, last)  c = Sub (e, mean)  sq = Mul (c, c)  var = ReduceMean (sq, last)
                      ve = Add (var, eps)  sd = Sqrt (ve)  ln = Div (c, sd)  g = Gemm (ln, w)  r = MatMul (g, u)
                      y = Sqrt (r)""", "float[N,6] x", "float[N,6] y", w=normal(rng, 6, 6), v=normal(rng, 6, 6),
                   b=normal(rng, 6), last=np.array([-1]), eps=np.float32(1e-5), u=normal(rng, 6, 6))


def processes(model: ir.Model, data: list[Any]) -> Iterator[ir.Model]:
    """All that adds names."""
    loaded = graph.load(ir.to_proto(model))
    yield loaded
    made = [loaded]
    if not any(is_quantizer(node) for node in loaded.graph):
        made = [graph.quantize(loaded, data), graph.quantize(loaded, None)]
        yield from made
    for each in made:
        written = ir.from_proto(exported(each))
        yield written
        yield graph.load(ir.to_proto(written))


MODELS: dict[str, Callable[[np.random.Generator], tuple[ir.Model, list[Any]]]] = {
    "convolutions": lambda rng: (convolutional(rng), [images(rng, 2)]),
    "products": lambda rng: (products(rng), [np.abs(normal(rng, 8, 6))]),
    "a branch": lambda rng: (with_a_branch(rng), [normal(rng, 1, 3, 8, 8)]),
    "integers": lambda rng: (foreign(rng), [normal(rng, 1, 2, 3, 3)]),
}


@pytest.mark.filterwarnings("ignore:Quantiser .* other runtimes clamp")
@pytest.mark.parametrize("name", MODELS)
def test_names_that_a_pass_would_add_are_there_already(rng: np.random.Generator, name: str) -> None:
    model, data = MODELS[name](rng)
    own, wanted = names_of(model), []
    plain = list(processes(model, data))
    for each in plain:
        wanted.append(graph.interpret(each, {"x": data[0]})[0])
    added: Names = set(), set()
    for _ in range(2):
        for each in processes(renamed(model, added), data):
            for all_names, found, old in zip(added, names_of(each), own, strict=True):
                all_names.update(found - old)
    hostile = renamed(model, added)
    before = names_of(hostile)
    for each, expected in zip(processes(hostile, data), wanted, strict=True):
        names_of(each)
        got = graph.interpret(each, {"x": data[0]})[0]
        np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))
        onnx.checker.check_model(ir.to_proto(each)) if not any(node.domain for node in each.graph) else None
    assert names_of(hostile) == before


NAMED = {"table": "fc._input_quantizer.amax", "fc.bias": "fc._weight_quantizer.y"}


def test_names_of_a_traced_model(rng: np.random.Generator) -> None:
    class Net(float_nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = quant_nn.QuantLinear(4, 4)
            self.fc._input_quantizer.amax = 2.0
            self.fc._weight_quantizer.amax = 1.0
            self.table = float_nn.Parameter(normal(rng, 4))

        def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
            for name, parameter in super().named_parameters(*args, **kwargs):
                yield NAMED.get(name, name), parameter

        def forward(self, x: Any) -> Any:
            return self.fc(self.fc(x) + self.table)

    net = Net().eval()
    model = graph.trace(net, normal(rng, 2, 4))
    names_of(model)
    x = normal(rng, 3, 4)
    np.testing.assert_array_equal(graph.interpret(graph.load(ir.to_proto(model)), {"x": x})[0], net(x))
