"""Convolutions of floats in programs: against float64, and with the interpreter's bits."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import float_nn, graph

from ..networks import network, normal
from .same_bits import assert_same_bits

LARGEST = 3e-6  # difference from float64, of the largest sum of magnitudes


def exact(x: Any, weight: Any, bias: Any, stride: tuple[int, ...], before: tuple[int, ...], dilation: tuple[int, ...],
          groups: int, sizes: tuple[int, ...]) -> tuple[Any, Any]:
    """The convolution in float64, tap by tap, and the sums of its terms' magnitudes."""
    made = np.zeros((2, len(x), len(weight), *sizes))
    outputs, inputs = len(weight) // groups, weight.shape[1]
    for place in np.ndindex(*sizes):
        for tap in np.ndindex(*weight.shape[2:]):
            at = tuple(o * s - b + t * d for o, s, b, t, d in zip(place, stride, before, tap, dilation, strict=True))
            if any(not 0 <= a < n for a, n in zip(at, x.shape[2:], strict=True)):
                continue
            for group in range(groups):
                rows = slice(group * outputs, (group + 1) * outputs)
                pixels = x[(slice(None), slice(group * inputs, (group + 1) * inputs), *at)].astype(np.float64)
                taps = weight[(rows, slice(None), *tap)].astype(np.float64)
                made[(0, slice(None), rows, *place)] += pixels @ taps.T
                made[(1, slice(None), rows, *place)] += np.abs(pixels) @ np.abs(taps).T
    return made[0] + bias.reshape(-1, *[1] * len(sizes)), made[1]


def geometries(rng: np.random.Generator, axes: int) -> dict[str, Any]:
    def numbers(low: int, high: int) -> tuple[int, ...]:
        return tuple(int(each) for each in rng.integers(low, high, axes))
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    inputs, outputs = int(rng.choice([1, 2, 3, 7, 25, 40])), int(rng.choice([1, 5, 16, 31, 33, 70]))
    if rng.random() < 0.3:  # depthwise
        groups, inputs, outputs = int(rng.choice([2, 5, 16, 33, 75])), 1, 1
    return {"groups": groups, "inputs": inputs, "outputs": outputs, "kernel": numbers(1, 5), "stride": numbers(1, 4),
            "dilation": numbers(1, 3), "before": numbers(0, 4), "after": numbers(0, 4), "size": numbers(9, 14)}


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("seed", range(30))
def test_programs(rng: np.random.Generator, axes: int, seed: int) -> None:
    g = geometries(np.random.default_rng(seed), axes)
    weight = normal(rng, g["groups"] * g["outputs"], g["inputs"], *g["kernel"])
    bias = normal(rng, len(weight))
    attributes = (f"strides = {list(g['stride'])}, pads = {[*g['before'], *g['after']]}, "
                  f"dilations = {list(g['dilation'])}, group = {g['groups']}")
    letters = ",".join("ABC"[:axes])
    model = network(f"y = Conv <{attributes}> (x, w, b)", f"float[N,{g['groups'] * g['inputs']},{letters}] x",
                    f"float[N,{len(weight)},{','.join('DEF'[:axes])}] y", w=weight, b=bias)
    session = graph.compile(model)
    kernels = [row.kernel for row in session.summary()]
    assert kernels.count("float convolution") == 1
    for count in (1, 3, 50):  # the last one: the rows of a tile are those of images
        x = normal(rng, count, g["groups"] * g["inputs"], *g["size"])
        found, = assert_same_bits(session, model, {"x": x}, counts=(1, 3))
        if count < 50:
            wanted, most = exact(x, weight, bias, g["stride"], g["before"], g["dilation"], g["groups"],
                                 found.shape[2:])
            assert (np.abs(found - wanted) <= LARGEST * (most + np.abs(bias).reshape(-1, *[1] * axes))).all()


@pytest.mark.parametrize("bias", [False, True])
def test_activations_and_residuals_are_fused(rng: np.random.Generator, tmp_path: Path, bias: bool) -> None:
    model = network(f"""c = Conv <pads = [1, 1, 1, 1]> (x, w{', b' if bias else ''})  s = Sigmoid (c)  m = Mul (c, s)
                        r = Add (m, x)  y = Conv (r, v)""", "float[N,8,4,9] x", "float[N,40,4,9] y",
                    w=normal(rng, 8, 8, 3, 3), v=normal(rng, 40, 8, 1, 1), **({"b": normal(rng, 8)} if bias else {}))
    session = graph.compile(model)
    kinds = [row.kernel for row in session.summary()]
    assert sorted(kinds) == ["export", "float convolution", "float convolution", "import"]
    session.save(tmp_path / "c.pqc")
    saved = graph.load_session(tmp_path / "c.pqc")
    for shape in ((1, 8, 4, 9), (12, 8, 4, 9), (3, 8, 4, 9)):
        feeds = {"x": normal(rng, *shape)}
        expected, = assert_same_bits(session, model, feeds)
        assert saved.run(None, feeds)[0].tobytes() == expected.tobytes()


def test_a_layer_on_integers_reads_what_it_makes(rng: np.random.Generator) -> None:
    """Codes, floats of an image and an array of the same value."""
    model = network("f = Conv <strides = [2]> (x, w)  g = Relu (f)  y = Conv <pads = [1, 1]> (g, v)  z = Sigmoid (g)",
                    "float[N,3,L] x", "float[N,5,T] y, float[N,20,T] z, float[N,20,T] g", w=normal(rng, 20, 3, 5),
                    v=normal(rng, 5, 20, 3))
    int8 = graph.quantize(model, [normal(rng, 2, 3, 40)], methods=(), exclude=("conv0",))
    session = graph.compile(int8)
    assert [row.name for row in session.summary() if row.kernel == "Python"] == []
    for shape in ((1, 3, 40), (40, 3, 11)):
        assert_same_bits(session, int8, {"x": normal(rng, *shape)})


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding(rng: np.random.Generator, auto_pad: str) -> None:
    model = network(f'y = Conv <auto_pad = "{auto_pad}", strides = [2, 3]> (x, w)', "float[N,4,H,W] x",
                    "float[N,9,P,Q] y", w=normal(rng, 9, 4, 4, 3))
    session = graph.compile(model)
    for shape in ((1, 4, 9, 9), (2, 4, 10, 12)):
        assert_same_bits(session, model, {"x": normal(rng, *shape)}, counts=(1, 2))


def test_zeros_have_no_sign_wherever_padding_is(rng: np.random.Generator) -> None:
    """Sums that underflow to -0, with taps on padding behind them: the program leaves those out."""
    weight = np.full((4, 2, 3, 3), 1e-30, np.float32)
    model = network("y = Conv <pads = [1, 1, 1, 1]> (x, w, b)", "float[N,2,H,W] x", "float[N,4,P,Q] y", w=weight,
                    b=np.full(4, -0.0, np.float32))
    session = graph.compile(model)
    for count in (1, 9):
        found, = assert_same_bits(session, model, {"x": np.full((count, 2, 4, 4), -1e-30, np.float32)}, counts=(1,))
        assert not found.any() and not np.signbit(found).any()


def magnitudes(rng: np.random.Generator, bias: bool = False) -> ir.Model:
    """Pad, transform, magnitude, a quantised convolution behind a function of it."""
    return network(f"""p = Pad <mode = "reflect"> (x, pads)  u = Unsqueeze (p, one)
                      f = Conv <strides = [8]> (u, basis{', b' if bias else ''})
                      re = Slice (f, s0, s9, one)  im = Slice (f, s9, s18, one)
                      r2 = Pow (re, two)  i2 = Pow (im, two)  s = Add (r2, i2)  m = Sqrt (s)
                      t = Sigmoid (m)  y = Conv <pads = [1, 1]> (t, w)""", "float[N,L] x", "float[N,5,T] y",
                   pads=np.array([0, 0, 0, 8]), one=np.array([1]), s0=np.array([0]), s9=np.array([9]),
                   s18=np.array([18]), two=np.float32(2), basis=normal(rng, 18, 1, 16), w=normal(rng, 5, 9, 3),
                   **({"b": normal(rng, 18)} if bias else {}))


@pytest.mark.parametrize("bias", [False, True])
def test_spectra(rng: np.random.Generator, tmp_path: Path, bias: bool) -> None:
    """Fourier transforms as convolutions of one channel."""
    model = magnitudes(rng, bias)
    int8 = graph.quantize(model, [normal(rng, 2, 64)], methods=())
    session = graph.compile(int8)
    assert [row.name for row in session.summary() if row.kernel == "Python"] == []
    session.save(tmp_path / "f.pqc")
    saved = graph.load_session(tmp_path / "f.pqc")
    for count, size in ((1, 64), (3, 64), (2, 200), (1, 17)):
        feeds = {"x": normal(rng, count, size)}
        expected, = assert_same_bits(session, int8, feeds)
        assert saved.run(None, feeds)[0].tobytes() == expected.tobytes()


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(10))
def test_float_nn(rng: np.random.Generator, axes: int, seed: int) -> None:
    g = geometries(np.random.default_rng(seed), axes)
    size = tuple(max(n, (k - 1) * d + 1) for n, k, d in zip(g["size"], g["kernel"], g["dilation"], strict=True))
    if axes == 3:
        g["inputs"], g["outputs"], size = min(g["inputs"], 7), min(g["outputs"], 5), tuple(min(n, 10) for n in size)
    weight = normal(rng, g["groups"] * g["outputs"], g["inputs"], *g["kernel"])
    x, bias = normal(rng, 2, g["groups"] * g["inputs"], *size), normal(rng, len(weight))
    conv = (float_nn.functional.conv1d, float_nn.functional.conv2d, float_nn.functional.conv3d)[axes - 1]
    found = conv(x, weight, bias, g["stride"], g["before"], g["dilation"], g["groups"])
    wanted, most = exact(x, weight, bias, g["stride"], g["before"], g["dilation"], g["groups"], found.shape[2:])
    assert found.flags.c_contiguous
    assert (np.abs(found - wanted) <= LARGEST * (most + np.abs(bias).reshape(-1, *[1] * axes))).all()
    alone = conv(x[1:], weight, bias, g["stride"], g["before"], g["dilation"], g["groups"])
    assert alone.tobytes() == found[1:].tobytes()  # whatever it is computed beside


def test_a_traced_convolution(rng: np.random.Generator) -> None:
    net = float_nn.Sequential(float_nn.Conv1d(1, 12, 9, stride=3), float_nn.ReLU(), float_nn.Conv1d(12, 4, 3)).eval()
    x = normal(rng, 2, 1, 90)
    session = graph.compile(graph.trace(net, x))
    assert all(row.kernel != "Python" for row in session.summary())
    for size in (90, 60):
        fresh = normal(rng, 2, 1, size)
        assert session.run(None, {session.get_inputs()[0].name: fresh})[0].tobytes() == net(fresh).tobytes()


def transform(kernel: int, outputs: int, rng: np.random.Generator) -> Any:
    """Cosines, then sines, under a window that is even about the middle."""
    at = np.arange(kernel)
    angles = 2 * np.pi * np.arange(outputs // 2)[:, None] * at / kernel
    window = rng.uniform(0.1, 1, kernel // 2 + 1)
    window = np.concatenate([window, window[-2:0:-1]])
    made = np.concatenate([window * np.cos(angles), window * np.sin(angles)]).astype(np.float32)
    half = kernel // 2
    made[:, :half:-1] = made[:, 1:half] * np.where(np.arange(outputs) < outputs // 2, 1, -1)[:, None]
    made[outputs // 2:, [0, half]] = 0
    return made[:, None]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kernel", "outputs", "stride", "before", "after"), [
    (32, 34, 8, 0, 0), (256, 258, 128, 0, 0), (48, 40, 7, 20, 31), (34, 32, 1, 40, 3), (64, 66, 100, 0, 5)])
def test_transforms_are_folded(rng: np.random.Generator, tmp_path: Path, kernel: int, outputs: int, stride: int,
                               before: int, after: int, bias: bool) -> None:
    weight = transform(kernel, outputs, rng)
    added = normal(rng, outputs) if bias else np.zeros(outputs, np.float32)
    model = network(f"y = Conv <strides = [{stride}], pads = [{before}, {after}]> (x, w{', b' if bias else ''})",
                    "float[N,1,L] x", f"float[N,{outputs},T] y", w=weight, **({"b": added} if bias else {}))
    session = graph.compile(model)
    assert "fold" in [row.kernel for row in session.summary()]
    session.save(tmp_path / "f.pqc")
    saved = graph.load_session(tmp_path / "f.pqc")
    for count, size in ((1, 300), (2, 513), (30, 400)):
        feeds = {"x": normal(rng, count, 1, size)}
        found, = assert_same_bits(session, model, feeds, counts=(1, 3))
        assert saved.run(None, feeds)[0].tobytes() == found.tobytes()
        if count > 2:
            continue
        wanted, most = exact(feeds["x"], weight, added, (stride,), (before,), (1,), 1, found.shape[2:])
        assert (np.abs(found - wanted) <= LARGEST * (most + np.abs(added)[:, None])).all()


def test_folded_transforms_lose_no_accuracy(rng: np.random.Generator) -> None:
    weight = transform(256, 258, rng)
    x = normal(rng, 20, 1, 640)
    exactly = exact(x, weight, np.zeros(258), (128,), (0,), (1,), 1, (4,))[0]
    other = weight.copy()
    other[0, 0, 5] = np.nextafter(other[0, 0, 5], np.float32(9))  # no mirror image of itself
    conv = float_nn.functional.conv1d
    errors = [np.square(conv(x, each, stride=128)[:, 1:] - exactly[:, 1:]).mean() for each in (weight, other)]
    assert errors[0] != errors[1]
    assert errors[0] < 1.05 * errors[1]


@pytest.mark.parametrize("what", ["value", "middle", "first", "half", "dilation", "short", "channels"])
def test_what_is_not_folded(rng: np.random.Generator, what: str) -> None:
    weight = transform(16 if what == "short" else 64, 66, rng)
    if what == "value":
        weight[40, 0, 3] += np.float32(1e-6)
    elif what == "middle":
        weight[40, 0, 32] = 1e-6
    elif what == "first":
        weight[40, 0, 0] = 1e-6
    elif what == "half":
        weight = weight[:-1]
    elif what == "channels":
        weight = weight.repeat(2, axis=1)
    model = network(f"y = Conv <dilations = [{2 if what == 'dilation' else 1}]> (x, w)",
                    f"float[N,{weight.shape[1]},L] x", f"float[N,{len(weight)},T] y", w=weight)
    session = graph.compile(model)
    kernels = [row.kernel for row in session.summary()]
    assert "float convolution" in kernels and "fold" not in kernels
    assert_same_bits(session, model, {"x": normal(rng, 2, weight.shape[1], 200)}, counts=(1,))


def test_folded_layers_of_modules(rng: np.random.Generator) -> None:
    net = float_nn.Conv1d(1, 66, 64, stride=16, padding=5, bias=False).eval()
    net.load_state_dict({"weight": transform(64, 66, rng)})
    x = normal(rng, 2, 1, 300)
    session = graph.compile(graph.trace(net, x))
    assert "fold" in [row.kernel for row in session.summary()]
    assert session.run(None, {session.get_inputs()[0].name: x})[0].tobytes() == net(x).tobytes()
