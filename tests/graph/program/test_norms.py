"""Group and instance normalisation in programs: against float64, torch and onnxruntime; the interpreter's bits."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import float_nn, graph
from pytorch_quantization_c.graph.program.norms import Normed
from pytorch_quantization_c.graph.program.operations import array_of

from ..networks import network, normal
from .same_bits import assert_same_bits
from .test_gather import on_every_machine, python_steps

SHAPES = [(2, 6, 5, 7), (3, 12, 1), (1, 6, 1, 1), (2, 6, 300), (2, 6, 3, 4, 5), (1, 24, 33, 31)]


def exact(x: Any, groups: int, weight: Any, bias: Any, epsilon: float) -> Any:
    rows = x.astype(np.float64).reshape(len(x), groups, -1)
    made = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + epsilon)
    wide = 1, -1, *[1] * (x.ndim - 2)
    return made.reshape(x.shape) * weight.astype(np.float64).reshape(wide) + bias.reshape(wide)


def letters(x: Any) -> str:
    return f"float[{','.join('NCDHW'[:x.ndim])}]"


@pytest.mark.parametrize("groups", [1, 2, 3, 6, 0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_norms(rng: np.random.Generator, shape: tuple[int, ...], groups: int) -> None:
    x = normal(rng, *shape) * np.float32(3) + np.float32(0.7)
    weight, bias = normal(rng, shape[1]), normal(rng, shape[1])
    node = f"GroupNormalization <num_groups = {groups}, epsilon = 0.001>" if groups else \
        "InstanceNormalization <epsilon = 0.001>"
    model = network(f"n = Neg (x)  y = {node} (n, w, b)", f"{letters(x)} x", f"{letters(x)} y", w=weight, b=bias)
    found = on_every_machine(model, {"x": x})
    np.testing.assert_allclose(found, exact(-x, groups or shape[1], weight, bias, 1e-3), rtol=2e-6, atol=3e-6)


def test_weights_that_come_in(rng: np.random.Generator) -> None:
    """As styles do; of another number of channels they are refused, by the interpreter as well."""
    model = network("s = Mul (w, w)  y = InstanceNormalization (x, s, b)", "float[N,C,H,W] x, float[C] w, float[C] b",
                    "float[N,C,H,W] y")
    for channels in (4, 7):
        feeds = {"x": normal(rng, 2, channels, 5, 6), "w": normal(rng, channels), "b": normal(rng, channels)}
        found = on_every_machine(model, feeds)
        wanted = exact(feeds["x"], channels, feeds["w"] ** 2, feeds["b"], 1e-5)
        np.testing.assert_allclose(found, wanted, rtol=3e-6, atol=5e-6)
    with pytest.raises(ValueError, match="shape"):
        graph.compile(model).run(None, {**feeds, "w": normal(rng, 3)})


@pytest.mark.parametrize("layer", [float_nn.GroupNorm(4, 12), float_nn.InstanceNorm2d(12, affine=True)],
                         ids=["group", "instance"])
def test_modules(rng: np.random.Generator, layer: Any) -> None:
    """Traced modules give their own bits; torch's numbers."""
    import torch

    layer.weight[...], layer.bias[...] = normal(rng, 12), normal(rng, 12)
    x = normal(rng, 2, 12, 9, 8)
    model = graph.trace(layer.eval(), x)
    session = graph.compile(model)
    assert python_steps(session) == []
    found, = assert_same_bits(session, model, {model.graph.inputs[0].name: x})
    assert found.tobytes() == np.asarray(layer(x)).tobytes()
    tensors = [torch.from_numpy(np.asarray(each)) for each in (x, layer.weight, layer.bias)]
    functional = torch.nn.functional
    wanted = functional.group_norm(tensors[0], 4, *tensors[1:]) if isinstance(layer, float_nn.GroupNorm) else \
        functional.instance_norm(tensors[0], weight=tensors[1], bias=tensors[2])
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_between_layers(rng: np.random.Generator, tmp_path: Path) -> None:
    """A block of a U-Net, quantised: saved, of other sizes, beside onnxruntime's."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = network("""c = Conv <pads = [1, 1, 1, 1]> (x, w)  g = GroupNormalization <num_groups = 4> (c, one, half)
                       s = Sigmoid (g)  m = Mul (g, s)  d = Conv <pads = [1, 1, 1, 1]> (m, v)
                       i = InstanceNormalization (d, one, half)  r = Relu (i)  y = Add (r, m)""", "float[N,3,H,W] x",
                    "float[N,16,H,W] y", w=normal(rng, 16, 3, 3, 3), v=normal(rng, 16, 16, 3, 3), one=normal(rng, 16),
                    half=normal(rng, 16))
    x = normal(rng, 2, 3, 12, 10)
    theirs = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(graph.compile(model).run(None, {"x": x})[0], theirs.run(None, {"x": x})[0], rtol=1e-4,
                               atol=1e-4)
    int8 = graph.quantize(model, [x], methods=())
    session = graph.compile(int8)
    session.save(tmp_path / "u.pqc")
    saved = graph.load_session(tmp_path / "u.pqc")
    assert python_steps(session) == [] and len(session._program.order) == 1
    for size in ((12, 10), (1, 1), (31, 5)):
        x = normal(rng, 3, 3, *size)
        wanted, = assert_same_bits(session, int8, {"x": x})
        assert saved.run(None, {"x": x})[0].tobytes() == wanted.tobytes()


def test_special_numbers() -> None:
    """NaN and infinities stay in their group; a constant group is its bias."""
    x = np.array([[[np.nan, 1], [2, 3], [np.inf, 1], [2, 3], [5, 5], [5, 5]]], np.float32)
    weight, bias = np.ones(6), np.arange(6.0)
    model = network("y = GroupNormalization <num_groups = 3> (x, w, b)", "float[N,6,L] x", "float[N,6,L] y", w=weight,
                    b=bias)
    found = on_every_machine(model, {"x": x})
    assert np.isnan(found[0, :4]).all()
    np.testing.assert_array_equal(found[0, 4:], [[4, 4], [5, 5]])


def test_what_does_not_fit() -> None:
    made = Normed("", array_of(0), array_of(1), array_of(2), None, 4, 1e-5)
    for shape, weight in (((2, 6, 3), (6,)), ((4,), (4,)), ((2, 8, 3), (4,))):
        with pytest.raises(ValueError):
            made.shape(shape, weight, None)
    with pytest.raises(ValueError, match="groups"):
        Normed("", array_of(0), array_of(1), None, None, -1, 1e-5).check()
