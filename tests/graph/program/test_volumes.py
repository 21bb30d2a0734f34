"""Convolutions and pools along three axes in programs: against float64, and with the interpreter's bits."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.program.operations import FLOATS, Conv, Export, Key, Pool, Window, array_of
from pytorch_quantization_c.graph.program.plan import bind
from pytorch_quantization_c.graph.program.segments import Segment
from pytorch_quantization_c.graph.program.shapes import Unsupported, dims_of
from pytorch_quantization_c.graph.program.volumes import Stacked

from ..networks import network, normal
from .same_bits import assert_same_bits
from .test_float_conv import LARGEST, exact
from .test_gather import python_steps

LETTERS = "float[N,A,B,C,D]"


def geometry(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)

    def numbers(low: int, high: int) -> tuple[int, ...]:
        return tuple(int(each) for each in rng.integers(low, high, 3))
    return {"groups": int(rng.choice([1, 1, 2, 3])), "inputs": int(rng.choice([1, 2, 3, 8, 25])),
            "outputs": int(rng.choice([1, 5, 16, 33])), "kernel": numbers(1, 4), "stride": numbers(1, 3),
            "dilation": numbers(1, 3), "before": numbers(0, 3), "after": numbers(0, 3), "size": numbers(6, 9)}


def convolution(rng: np.random.Generator, g: dict[str, Any]) -> tuple[ir.Model, Any, Any]:
    weight = normal(rng, g["groups"] * g["outputs"], g["inputs"], *g["kernel"])
    bias = normal(rng, len(weight))
    attributes = (f"strides = {list(g['stride'])}, pads = {[*g['before'], *g['after']]}, "
                  f"dilations = {list(g['dilation'])}, group = {g['groups']}")
    model = network(f"y = Conv <{attributes}> (x, w, b)", f"float[N,{g['groups'] * g['inputs']},A,B,C] x",
                    f"float[N,{len(weight)},D,E,F] y", w=weight, b=bias)
    return model, weight, bias


def assert_exact(found: Any, x: Any, weight: Any, bias: Any, g: dict[str, Any]) -> None:
    wanted, magnitudes = exact(x, weight, bias, g["stride"], g["before"], g["dilation"], g["groups"], found.shape[2:])
    assert np.all(np.abs(found - wanted) <= LARGEST * (magnitudes + np.abs(bias).max() + 1e-3))


@pytest.mark.parametrize("seed", range(30))
def test_convolutions_of_floats(rng: np.random.Generator, seed: int) -> None:
    g = geometry(seed)
    model, weight, bias = convolution(rng, g)
    session = graph.compile(model)
    assert python_steps(session) == []
    for count in (1, 3):
        x = normal(rng, count, g["groups"] * g["inputs"], *g["size"])
        found, = assert_same_bits(session, model, {"x": x})
        assert_exact(found, x, weight, bias, g)


@pytest.mark.parametrize("zero_point", ["auto", False])
@pytest.mark.parametrize("seed", range(30, 60))
def test_convolutions_of_integers(rng: np.random.Generator, seed: int, zero_point: Any) -> None:
    """Exact sums: the float64 convolution of what the codes stand for, up to one rounding of the output."""
    g = geometry(seed)
    model, _, bias = convolution(rng, g)
    x = normal(rng, 2, g["groups"] * g["inputs"], *g["size"]) + np.float32(0.4)
    int8 = graph.quantize(model, [x], methods=(), zero_point=zero_point)
    session = graph.compile(int8)
    assert python_steps(session) == []
    found, = assert_same_bits(session, int8, {"x": x})
    node, = (node for node in int8.graph if node.op_type == "Conv")
    rounded = [value.producer() for value in node.inputs[:2] if value is not None]
    codes = ir.Model(int8.graph, ir_version=int8.ir_version)
    outputs = list(codes.graph.outputs)
    codes.graph.outputs[:] = [each.outputs[0] for each in rounded if each is not None]
    x_codes, weight = (np.asarray(each) for each in graph.interpret(codes, {"x": x}))
    codes.graph.outputs[:] = outputs
    assert_exact(found, x_codes, weight, bias, g)


@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("seed", range(12))
def test_max_pools(rng: np.random.Generator, seed: int, ceil: int) -> None:
    import torch

    g = np.random.default_rng(seed)
    kernel, stride, dilation = (tuple(int(each) for each in g.integers(1, high, 3)) for high in (4, 4, 3))
    pads = [int(g.integers(0, k // 2 + 1)) for k in kernel]
    attributes = (f"kernel_shape = {list(kernel)}, strides = {list(stride)}, dilations = {list(dilation)}, "
                  f"pads = {pads + pads}, ceil_mode = {ceil}")
    model = network(f"y = MaxPool <{attributes}> (x)", "float[N,5,A,B,C] x", f"{LETTERS} y")
    session = graph.compile(model)
    assert python_steps(session) == []
    for size in ((7, 8, 9), (9, 7, 8)):
        x = normal(rng, 3, 5, *size)
        found, = assert_same_bits(session, model, {"x": x})
        wanted = torch.nn.functional.max_pool3d(torch.from_numpy(x), kernel, stride, pads, dilation, bool(ceil))
        np.testing.assert_array_equal(found, wanted.numpy())


def video(rng: np.random.Generator) -> ir.Model:
    """A residual network of what video networks have: factored convolutions, branches, a scale for each channel."""
    return network(
        """a = Conv <pads = [0, 1, 1, 0, 1, 1], strides = [1, 2, 2]> (x, w)
           b = Conv <pads = [1, 0, 0, 1, 0, 0]> (a, v)  n = BatchNormalization (b, one, half, half, one)  r = Relu (n)
           p = MaxPool <kernel_shape = [3, 3, 3], pads = [1, 1, 1, 1, 1, 1]> (r)
           c = Conv <pads = [1, 1, 1, 1, 1, 1]> (p, u, bias)  s = Add (c, p)  t = Relu (s)
           d = Conv <strides = [2, 2, 2]> (t, e)  f = Conv <auto_pad = "SAME_UPPER", strides = [2, 2, 2]> (t, g)
           k = Concat <axis = 1> (d, f)  l = Sigmoid (k)  m = Mul (l, scale)
           y = GlobalAveragePool (m)""", "float[N,3,T,H,W] x", "float[N,24,1,1,1] y", w=normal(rng, 20, 3, 1, 3, 3),
        v=normal(rng, 16, 20, 3, 1, 1) * 0.1, one=np.ones(16), half=np.full(16, 0.5),
        u=normal(rng, 16, 16, 3, 3, 3) * 0.1, bias=normal(rng, 16), e=normal(rng, 16, 16, 1, 1, 1),
        g=normal(rng, 8, 16, 3, 3, 3), scale=normal(rng, 24, 1, 1, 1))


@pytest.mark.parametrize("quantized", [False, True])
def test_networks_of_volumes(rng: np.random.Generator, tmp_path: Path, quantized: bool) -> None:
    """Saved, and of other numbers and sizes of frames; batches are images of the same."""
    model = video(rng)
    if quantized:
        model = graph.quantize(model, [normal(rng, 1, 3, 5, 9, 8)], methods=())
    session = graph.compile(model)
    session.save(tmp_path / "v.pqc")
    saved = graph.load_session(tmp_path / "v.pqc")
    assert python_steps(session) == [] and len(session._program.order) == 1
    for size in ((5, 9, 8), (1, 12, 7), (4, 1, 1)):
        x = normal(rng, 3, 3, *size)
        wanted, = assert_same_bits(session, model, {"x": x})
        assert saved.run(None, {"x": x})[0].tobytes() == wanted.tobytes()
        alone = [saved.run(None, {"x": x[number:number + 1]})[0] for number in range(3)]
        np.testing.assert_array_equal(np.concatenate(alone), wanted)


def test_onnxruntime_agrees(rng: np.random.Generator) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model, x = video(rng), normal(rng, 2, 3, 6, 10, 9)
    theirs = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(graph.compile(model).run(None, {"x": x})[0], theirs.run(None, {"x": x})[0], rtol=1e-4,
                               atol=1e-5)


def test_frames_that_are_none() -> None:
    """What a damaged file may hold: windows along the frames of images, and frames with borders."""
    image = Key(0, FLOATS)
    codes = FLOATS._replace(content=2, mul=1.0, div=1.0, hi=255.0)
    x, stacked, y = Key(1, codes), Key(2, codes), Key(3, FLOATS)
    weight = np.ones((4, 1, 1, 4), np.int8)
    conv = Conv("", x, weight, np.ones(4, np.float32), np.zeros(4, np.float32), 1, Window(1), Window(1), outputs=[y])
    for made in (Pool("", image, y, Window(2), Window(1), False, True), Stacked("", x, stacked, Window(2))):
        with pytest.raises(Unsupported):
            bind(Segment([made]), {made.input: dims_of((1, 4, 3, 3), matrix=False)}, {}, {})
    segment = Segment([Export("", x, 5)])
    segment.outputs = [array_of(5)]
    with pytest.raises(Unsupported, match="borders"):
        bind(segment, {x: dims_of((1, 4, 2, 3, 3), matrix=False)}, {x: (1, 1, 1, 1)}, {conv: None})
    with pytest.raises(ValueError, match="frames alone"):
        Pool("", image, y, Window(2), Window(2), False, True).check()
    with pytest.raises(ValueError, match="groups"):
        Stacked("", x, stacked, Window(2), 0).check()


def spread(x: Any, weight: Any, bias: Any, strides: Any, dilations: Any, pads: Any, more: Any, groups: int) -> Any:
    """A transposed convolution along any axes: each input's taps are added where they fall."""
    count, axes = len(strides), range(len(strides))
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    full = [(n - 1) * s + r + e for n, s, r, e in zip(x.shape[2:], strides, reach, more, strict=True)]
    made = np.zeros((len(x), weight.shape[1] * groups, *full))
    parts = zip(np.split(x.astype(np.float64), groups, 1), np.split(weight.astype(np.float64), groups), strict=True)
    for group, (part, taps) in enumerate(parts):
        outputs = slice(group * weight.shape[1], (group + 1) * weight.shape[1])
        for tap in np.ndindex(*weight.shape[2:]):
            where = tuple(slice(tap[i] * dilations[i], tap[i] * dilations[i] + (x.shape[2 + i] - 1) * strides[i] + 1,
                                strides[i]) for i in axes)
            made[(slice(None), outputs, *where)] += np.einsum("ni...,io->no...", part,
                                                              taps[(slice(None), slice(None), *tap)])
    cut = (slice(pads[i], full[i] - pads[i + count]) for i in axes)
    return made[(slice(None), slice(None), *cut)] + bias.reshape(-1, *(1,) * count)


@pytest.mark.parametrize(("kernel", "strides", "dilations", "pads", "more", "groups"), [
    ((2, 2, 2), (2, 2, 2), (1, 1, 1), (0,) * 6, (0, 0, 0), 1),
    ((3, 3, 3), (2, 2, 2), (1, 1, 1), (1,) * 6, (1, 1, 1), 1),
    ((4, 3, 1), (2, 1, 3), (1, 2, 1), (1, 2, 0, 2, 1, 0), (0, 0, 1), 1),
    ((3, 1, 1), (3, 1, 1), (1, 1, 1), (0,) * 6, (0, 0, 0), 1),
    ((3, 1, 1), (1, 1, 1), (1, 1, 1), (1, 0, 0, 0, 0, 0), (0, 0, 0), 1),
    ((1, 4, 4), (1, 2, 2), (1, 1, 1), (0, 1, 1, 0, 1, 1), (0, 0, 0), 2),
    ((2, 2, 3), (2, 1, 1), (1, 1, 1), (1, 0, 1, 0, 1, 1), (0, 0, 0), 4),
    ((4, 4), (2, 2), (1, 1), (1,) * 4, (0, 0), 8),
    ((3, 3), (2, 1), (1, 2), (1, 0, 0, 2), (1, 0), 2), ((5,), (3,), (1,), (1, 2), (0,), 4)])
def test_transposed(rng: np.random.Generator, tmp_path: Path, kernel: Any, strides: Any, dilations: Any, pads: Any,
                    more: Any, groups: int) -> None:
    """Between layers whose padding needs a border, against sums of taps; other batches and sizes, and from a file."""
    def numbers(each: Any) -> str:
        return str(list(each))

    axes, count = ",".join("PQR"[:len(kernel)]), len(kernel)
    w, b, v = normal(rng, 8, 8 // groups, *kernel), normal(rng, 8), normal(rng, 8, 8, *(3,) * count)
    model = network(f"""a = Relu (x)
        c = ConvTranspose <strides = {numbers(strides)}, dilations = {numbers(dilations)}, pads = {numbers(pads)},
                           output_padding = {numbers(more)}, group = {groups}> (a, w, b)
        r = Relu (c)  y = Conv <pads = {numbers((1,) * 2 * count)}> (r, v)""", f"float[N,8,{axes}] x",
                    f"float[N,8,{axes.replace('P', 'S').replace('Q', 'T').replace('R', 'U')}] y", w=w, b=b, v=v)
    data = [normal(rng, 2, 8, *(4, 5, 3)[:count]), normal(rng, 1, 8, *(3, 3, 6)[:count])]
    for number, each in enumerate([graph.quantize(model, data, methods=()), model]):
        session = graph.compile(each)
        all_taps = groups == 1 and {*dilations} == {1} and not any(k % s for k, s in zip(kernel, strides, strict=True))
        assert number == 1 and not all_taps or "Python" not in {row.kernel for row in session.summary()}
        session.save(tmp_path / "t.pqc")
        loaded = graph.load_session(tmp_path / "t.pqc")
        for x in data:
            y, = assert_same_bits(session, each, {"x": x}, counts=(1, 3))
            assert loaded.run(None, {"x": x})[0].tobytes() == y.tobytes()
            inner = spread(np.maximum(x, 0), w, b, strides, dilations, pads, more, groups)
            wanted, = graph.interpret(network(f"r = Relu (c)  y = Conv <pads = {numbers((1,) * 2 * count)}> (r, v)",
                                              f"float[N,8,{axes}] c", f"float[N,8,{axes}] y", v=v),
                                      {"c": inner.astype(np.float32)})
            assert np.square(y - wanted).sum() < (5e-3, 1e-11)[number] * np.square(wanted).sum()


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_transposed_by_padding_that_is_found(rng: np.random.Generator, auto: str) -> None:
    w, b = normal(rng, 4, 6, 3, 2), normal(rng, 6)
    model = network(f"""a = Relu (x)  c = ConvTranspose <auto_pad = "{auto}", strides = [2, 1]> (a, w, b)
                        y = Sigmoid (c)""", "float[N,4,P,Q] x", "float[N,6,R,S] y", w=w, b=b)
    x = normal(rng, 2, 4, 5, 6)
    int8 = graph.quantize(model, [x], methods=())
    session = graph.compile(int8)
    assert "Python" not in {row.kernel for row in session.summary()}
    y, = assert_same_bits(session, int8, {"x": x}, counts=(1,))
    pads = {"SAME_UPPER": (0, 0, 1, 1), "SAME_LOWER": (1, 1, 0, 0), "VALID": (0, 0, 0, 0)}[auto]
    wanted = 1 / (1 + np.exp(-spread(np.maximum(x, 0), w, b, (2, 1), (1, 1), pads, (0, 0), 1)))
    assert np.abs(y - wanted).max() < 0.05
