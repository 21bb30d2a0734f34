"""`improve` on NumPy models: layers get what the array functions give, and outputs come nearer to the float ones."""
from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, methods, nn
from pytorch_quantization_c.methods.layer_rounding import WeightProblem
from pytorch_quantization_c.tensor_quant import QuantDescriptor

Array = Any
FOUR = QuantDescriptor(4, axis=0)


class Net(float_nn.Module):
    """A convolution with its own padding, a depthwise one, a linear layer without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.QuantConv2d(3, 8, 3, padding=1, padding_mode="reflect", quant_desc_weight=FOUR)
        self.deep = nn.QuantConv2d(8, 8, 3, stride=2, groups=8, quant_desc_weight=FOUR)
        self.head = nn.QuantLinear(8, 5, bias=False, quant_desc_weight=FOUR)

    def forward(self, x: Array) -> Array:
        x = np.maximum(self.deep(np.maximum(self.stem(x), 0)), 0)
        return self.head(x.mean((2, 3)))


def floats(model: Any, x: Array) -> Array:
    quantizers = [each for each in model.modules() if isinstance(each, nn.TensorQuantizer)]
    for each in quantizers:
        each.disable()
    answer = model(x)
    for each in quantizers:
        each.enable()
    return answer


def made(rng: np.random.Generator) -> tuple[Net, list[Array], Array]:
    model = Net()
    for parameter in model.parameters():
        parameter[...] = rng.standard_normal(parameter.shape) / np.sqrt(np.prod(parameter.shape[1:]) or 1)
    data = [rng.standard_normal((8, 3, 9, 9)).astype(np.float32) for _ in range(3)]
    with pq.calibrating(model, load_amax=True):
        for x in data[:2]:
            model(x)
    return model, data[:2], data[2]


def sqnr(expected: Array, got: Array) -> float:
    return float(10 * np.log10(np.square(expected).sum() / np.square(expected - got).sum()))


@pytest.mark.parametrize("method", ["gptq", "adaround"])
def test_outputs_come_nearer_to_the_float_models(rng: np.random.Generator, method: str) -> None:
    model, data, x = made(rng)
    expected, before = floats(model, x), model(x)
    rows = pq.improve(model, data, methods=["weight_mse", method, "bias_correction"])
    assert sqnr(expected, model(x)) > sqnr(expected, before) + 2
    assert [(each.method, each.layer) for each in rows] == [
        (name, layer) for name in ("weight_mse", method, "bias_correction") for layer in ("stem", "deep", "head")]
    assert all(each.gain >= -1e-9 for each in rows if each.method != "weight_mse") and "dB" in str(rows)
    assert model.head.bias is not None and "forward" not in vars(model.stem)


def test_a_layer_gets_what_the_array_function_gives(rng: np.random.Generator) -> None:
    model, data, _ = made(rng)
    w, head = np.array(model.stem.weight), np.array(model.head.weight)
    pq.improve(model, data, methods=["gptq"])
    x = np.concatenate(data)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    windows = np.array([image[:, i:i + 3, j:j + 3].ravel() for image in padded for i in range(9) for j in range(9)])
    np.testing.assert_allclose(model.stem.weight.reshape(8, 27), methods.gptq(w.reshape(8, 27), windows), rtol=1e-6)
    np.testing.assert_allclose(np.ravel(model.stem.weight_quantizer.amax), np.abs(w).max((1, 2, 3)))
    assert not np.array_equal(model.head.weight, head)


def sure(off: Array) -> Array:
    """Of errors (samples, channels) the mean, as much of it as its own variance leaves."""
    mean = off.mean(0, dtype=np.float64)
    return mean * np.maximum(0, 1 - off.var(0, ddof=1, dtype=np.float64) / len(off) / mean ** 2)


def test_the_bias_takes_the_mean_error_away(rng: np.random.Generator) -> None:
    layer = nn.QuantLinear(6, 4, quant_desc_weight=QuantDescriptor(3, axis=0))
    model = float_nn.Sequential(layer)
    x = (1 + rng.standard_normal((64, 6))).astype(np.float32)
    off, bias = floats(model, x) - model(x), np.array(layer.bias)
    row, = pq.improve(model, [x], methods=["bias_correction"])
    np.testing.assert_allclose(layer.bias - bias, sure(off), atol=1e-6)
    assert np.abs(sure(off)).max() > 0.02
    assert row.gain == pytest.approx(10 * np.log10(np.square(off).sum() / np.square(off - off.mean(0)).sum()), abs=1e-3)


def test_biases_are_corrected_on_what_the_corrected_layers_before_give(rng: np.random.Generator) -> None:
    """Step by step by hand: the second layer's error is that on inputs of the quantised and corrected first one."""
    three = {"quant_desc_weight": QuantDescriptor(3, axis=0)}
    first, second = nn.QuantLinear(6, 16, **three), nn.QuantLinear(16, 4, bias=False, **three)
    model = float_nn.Sequential(first, float_nn.ReLU(), second)
    x = (1 + rng.standard_normal((64, 6))).astype(np.float32)
    with pq.calibrating(model, load_amax=True):
        model(x)
    second.input_quantizer.amax = second.input_quantizer.amax / 3       # cuts off, so that means move
    whole, parts = copy.deepcopy(model), copy.deepcopy(model)
    hidden, expected = floats(float_nn.Sequential(first), x), floats(model, x)
    first.bias[...] += sure(hidden - first(x)).astype(np.float32)
    shift = sure(expected - model(x))
    pq.improve(whole, [x], methods=["bias_correction"])
    np.testing.assert_allclose(whole[0].bias, first.bias, atol=1e-6)
    np.testing.assert_allclose(whole[2].bias, shift, atol=1e-5)
    pq.improve(parts, [x[:24], x[24:40], x[40:]], methods=["bias_correction"])
    np.testing.assert_allclose(parts[0].bias, first.bias, atol=1e-6)    # what it is given does not change
    np.testing.assert_allclose(parts[2].bias, shift, atol=0.05 * np.abs(shift).max())


def test_ranges_by_squared_error_are_the_default_for_few_bits(rng: np.random.Generator) -> None:
    few, many = nn.QuantLinear(40, 3, quant_desc_weight=FOUR), nn.QuantLinear(3, 4)
    model = float_nn.Sequential(few, many)
    x = rng.standard_normal((30, 40)).astype(np.float32)
    rows = pq.improve(model, [x])
    assert [(each.method, each.layer) for each in rows] == [("weight_mse", "0"), ("bias_correction", "0"),
                                                            ("bias_correction", "1")]
    np.testing.assert_allclose(np.ravel(few.weight_quantizer.amax), methods.weight_range(few.weight, x), rtol=1e-6)
    assert few.weight_quantizer.amax.shape == (3, 1) and many.weight_quantizer.amax is None


@pytest.mark.parametrize("method, bits", [("smoothquant", 8), ("awq", 4)])
def test_outlier_channels_move_into_the_weight(rng: np.random.Generator, method: str, bits: int) -> None:
    layer = nn.QuantLinear(128, 32, quant_desc_weight=QuantDescriptor(bits, axis=0))
    model = float_nn.Sequential(layer)
    layer.weight[...] = rng.standard_normal((32, 128))
    x, others = rng.standard_normal((2, 200, 128)).astype(np.float32)
    x[:, ::64] *= 30
    others[:, ::64] *= 30
    with pq.calibrating(model, load_amax=True):
        model(x)
    if method == "awq":
        layer.input_quantizer.disable()
    expected, before = others @ layer.weight.T + layer.bias, model(others)
    weight = np.array(layer.weight)
    pq.improve(model, [x], methods=[method])
    got, scale = methods.awq(weight, x) if method == "awq" else methods.smoothquant(weight, x)
    np.testing.assert_allclose(layer.weight, got, rtol=1e-5)
    np.testing.assert_allclose(layer.input_quantizer.pre_quant_scale, scale, rtol=1e-5)
    np.testing.assert_allclose(layer.input_quantizer.amax, np.abs(x * scale).max(), rtol=1e-5)
    if method == "awq":
        amax = np.ravel(layer.weight_quantizer.amax)
        np.testing.assert_allclose(amax, methods.weight_range(got, x * scale), rtol=1e-5)
    assert sqnr(expected, model(others)) > sqnr(expected, before) + 6


def spread(rng: np.random.Generator) -> float_nn.Module:
    """1x1, depthwise, pool, 1x1, with one range a weight and channels that spread over three decades."""
    whole = {"quant_desc_weight": QuantDescriptor(8)}
    model = float_nn.Sequential(nn.QuantConv2d(3, 8, 1, **whole), float_nn.ReLU(),
                                nn.QuantConv2d(8, 8, 3, groups=8, **whole), float_nn.ReLU(), float_nn.AvgPool2d(2),
                                nn.QuantConv2d(8, 4, 1, **whole))
    a, b = 10 ** rng.uniform(-1.5, 1.5, (2, 8, 1, 1, 1))
    for at, factor in ((0, a), (2, b / a), (5, 1 / b.reshape(1, 8, 1, 1))):
        model[at].weight[...] = rng.standard_normal(model[at].weight.shape) * factor
    model[0].bias[...] *= a.ravel()
    model[2].bias[...] *= b.ravel()
    return model.eval()


def test_equalization_of_a_depthwise_network(rng: np.random.Generator) -> None:
    model = spread(rng)
    data, x = rng.standard_normal((2, 8, 3, 10, 10)).astype(np.float32)
    with pq.calibrating(model, load_amax=True):
        model(data)
    expected, before = floats(model, x), model(x)
    ranges = [np.abs(model[at].weight).max(axes) for at, axes in ((0, (1, 2, 3)), (2, (1, 2, 3)), (5, (0, 2, 3)))]
    rows = pq.improve(model, [data], methods=["equalization"])
    np.testing.assert_allclose(floats(model, x), expected, rtol=1e-3, atol=1e-4)
    for at, axes in ((0, (1, 2, 3)), (2, (1, 2, 3)), (5, (0, 2, 3))):      # the closed form of a chain of three
        np.testing.assert_allclose(np.abs(model[at].weight).max(axes), np.cbrt(np.prod(ranges, axis=0)), rtol=1e-3)
    assert sqnr(expected, model(x)) > sqnr(expected, before) + 6
    assert [each.layer for each in rows] == ["0", "2", "5"] and sum(each.gain for each in rows) > 6
    given = [data]
    for layer in (model[0], model[2], model[5]):
        fixed = float(layer.input_quantizer.amax)
        assert fixed == pytest.approx(float(np.abs(floats_into(model, layer, given[0])).max()), rel=1e-3)


@pytest.mark.parametrize("clips", [False, True])
def test_channels_ahead_of_a_depthwise_convolution(rng: np.random.Generator, clips: bool) -> None:
    """A ReLU6 stays, and the float model is the same on the data."""
    model = float_nn.Sequential(nn.QuantConv2d(3, 8, 1), float_nn.ReLU6() if clips else float_nn.ReLU(),
                                nn.QuantConv2d(8, 8, 3, groups=8)).eval()
    spread = 10 ** rng.uniform(-2, 0, (8, 1, 1, 1))
    for layer, factor in ((model[0], spread), (model[2], 1 / spread)):
        layer.weight[...] = rng.standard_normal(layer.weight.shape) * factor
    model[0].bias[...] *= spread.ravel()
    data, x = rng.standard_normal((2, 8, 3, 10, 10)).astype(np.float32)
    with pq.calibrating(model, load_amax=True):
        model(data)
    if clips:
        model[0].weight[...] *= 3       # cuts off some
        model[2].weight[...] /= 3
        with pq.calibrating(model, load_amax=True):
            model(data)
        assert np.abs(floats_into(model, model[2], data)).max() == 6
    seen, expected, before = floats(model, data), floats(model, x), model(x)
    row, = pq.improve(model, [data], methods=["activation_equalization"])
    np.testing.assert_allclose(floats(model, data), seen, rtol=1e-3, atol=1e-4)
    if not clips:
        np.testing.assert_allclose(floats(model, x), expected, rtol=1e-3, atol=1e-4)
    assert sqnr(expected, model(x)) > sqnr(expected, before) + 6 and row.layer == "2" and row.gain > 6
    largest = np.abs(floats_into(model, model[2], data)).max()
    assert float(model[2].input_quantizer.amax) == pytest.approx(float(largest), rel=1e-3)


def test_equalization_through_a_relu6(rng: np.random.Generator) -> None:
    """Channels below 6 get equal ranges or reach 6, those that are cut off stay; on the data nothing else changes."""
    model = float_nn.Sequential(nn.QuantConv2d(3, 8, 1, quant_desc_weight=QuantDescriptor(8)), float_nn.ReLU6(),
                                nn.QuantConv2d(8, 4, 1, quant_desc_weight=QuantDescriptor(8))).eval()
    factor = np.array([30, 0.3, 0.1, 0.03, 0.01, 0.003, 1e-3, 0.5]).reshape(8, 1, 1, 1)
    model[0].weight[...] = rng.standard_normal(model[0].weight.shape) * factor
    model[0].bias[...] *= factor.ravel()
    model[2].weight[...] = rng.standard_normal(model[2].weight.shape) / factor.reshape(1, 8, 1, 1)
    model[2].weight[:, 7] *= 1000       # asks for more than 6 leaves room for
    data, x = rng.uniform(-1, 1, (2, 8, 3, 10, 10)).astype(np.float32)
    with pq.calibrating(model, load_amax=True):
        model(data)
    first, second = np.array(model[0].weight), np.array(model[2].weight)
    most = floats(float_nn.Sequential(model[0]), data).max((0, 2, 3))
    seen, expected, before = floats(model, data), floats(model, x), model(x)
    rows = pq.improve(model, [data], methods=["equalization"])
    np.testing.assert_allclose(floats(model, data), seen, rtol=1e-3, atol=1e-3)
    ranges = [np.abs(model[at].weight).max(axes) for at, axes in ((0, (1, 2, 3)), (2, (0, 2, 3)))]
    wanted = np.sqrt(np.abs(second).max((0, 2, 3)) / np.abs(first).max((1, 2, 3)))      # the closed form
    by_hand = np.where(most < 6, np.minimum(wanted, 6 / most), 1)
    assert {bool(each) for each in most < 6} == {True, False} and (by_hand < wanted).any() and (by_hand == wanted).any()
    np.testing.assert_allclose(ranges[0], np.abs(first).max((1, 2, 3)) * by_hand, rtol=1e-3)
    np.testing.assert_allclose(ranges[1], np.abs(second).max((0, 2, 3)) / by_hand, rtol=1e-3)
    assert sqnr(expected, model(x)) > sqnr(expected, before) + 6 and [each.layer for each in rows] == ["0", "2"]


def test_high_biases_go_into_the_next_layer(rng: np.random.Generator) -> None:
    """Four signs are within 3 deviations, so that nothing is lost."""
    layers = [nn.QuantConv2d(4, 6, 1), float_nn.ReLU(), nn.QuantConv2d(6, 6, 3, groups=6), float_nn.ReLU(),
              nn.QuantConv2d(6, 5, 1, padding=1)]
    model = float_nn.Sequential(*layers).eval()
    model[0].bias[...] = [50, 40, 0, -1, 60, 2]
    data, x = np.sign(rng.standard_normal((2, 8, 4, 9, 9))).astype(np.float32)
    with pq.calibrating(model, load_amax=True):
        model(data)
    expected, before, bias = floats(model, x), model(x), np.array(model[0].bias)
    row, = pq.improve(model, [data], methods=["bias_absorption"])
    np.testing.assert_allclose(floats(model, x), expected, rtol=1e-3, atol=1e-3)
    given = np.einsum("nchw,oc->nohw", data, model[0].weight[:, :, 0, 0]) + bias[:, None, None]
    c = np.maximum(0, given.mean((0, 2, 3)) - 3 * given.std((0, 2, 3)))
    np.testing.assert_allclose(model[0].bias, bias - c, rtol=1e-4, atol=1e-4)
    assert sqnr(expected, model(x)) > sqnr(expected, before) + 6 and row.layer == "2" and row.gain > 6


def floats_into(model: Any, layer: Any, x: Array) -> Array:
    """What a layer of a Sequential is given in float."""
    before = [each for each in model]
    return floats(float_nn.Sequential(*before[:before.index(layer)]), x) if before.index(layer) else x


@pytest.mark.parametrize("method", ["gptq", "adaround"])
def test_an_interrupted_call_goes_on(rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                     method: str) -> None:
    model, data, x = made(rng)
    other = copy.deepcopy(model)
    expected = pq.improve(other, data, methods=[method])
    real, calls = WeightProblem.codes_by, []

    def counted(self: WeightProblem, name: str) -> Array:
        if len(calls) == 2:
            calls.append(None)
            raise KeyboardInterrupt
        calls.append(name)
        return real(self, name)

    monkeypatch.setattr(WeightProblem, "codes_by", counted)
    path, before = tmp_path / "kept.safetensors", model(x)
    with pytest.raises(KeyboardInterrupt):
        pq.improve(model, data, methods=[method], resume=path)
    np.testing.assert_array_equal(model(x), before)
    assert path.exists() and len(calls) == 3
    assert pq.improve(model, data, methods=[method], resume=path) == expected and len(calls) == 4   # one was left
    np.testing.assert_array_equal(model(x), other(x))
    for useless in (None, ["weight_mse"]):
        with pytest.raises(ValueError, match="`resume` with 'gptq' or 'adaround'"):
            pq.improve(model, data, methods=useless, resume=path)
    with pytest.raises(FileNotFoundError, match="`resume` to be in a folder"):
        pq.improve(model, data, methods=[method], resume=tmp_path / "nowhere" / "kept.safetensors")
    assert len(calls) == 4
    for text in (b"{}", b"", path.read_bytes()[:-1]):
        path.write_bytes(text)
        with pytest.raises(ValueError, match="Expected `resume` to be a file of rounded weights"):
            pq.improve(model, data, methods=[method], resume=path)


def test_a_model_is_as_it_was_if_a_method_raises(rng: np.random.Generator) -> None:
    model, data, x = made(rng)
    state, before = {name: np.array(array) for name, array in model.state_dict().items()}, model(x)
    with pytest.raises(ValueError, match="finite inputs of layers"):
        pq.improve(model, [data[0], data[0] * np.nan], methods=["weight_mse", "gptq"])
    assert all(np.array_equal(array, state[name]) for name, array in model.state_dict().items())
    np.testing.assert_array_equal(model(x), before)
    assert "forward" not in vars(model.stem)


def test_shared_transposed_and_excluded_weights_stay(rng: np.random.Generator) -> None:
    a, b = nn.QuantLinear(4, 4), nn.QuantLinear(4, 4)
    b.weight = a.weight
    rows = pq.improve(float_nn.Sequential(a, b), [rng.standard_normal((3, 4)).astype(np.float32)], methods=["gptq"])
    assert rows == ()
    turned = float_nn.Sequential(nn.QuantConvTranspose2d(2, 3, 2))
    x = rng.standard_normal((2, 2, 4, 4)).astype(np.float32)
    assert [each.method for each in pq.improve(turned, [x], methods=["gptq", "bias_correction"])] == ["bias_correction"]


def test_bad_calls(rng: np.random.Generator) -> None:
    model, data, _ = made(rng)
    with pytest.raises(ValueError, match="Expected `methods` to be a tuple of names"):
        pq.improve(model, data, methods=["magic"])
    with pytest.warns(UserWarning, match="An unusual order"):
        pq.improve(model, data, methods=["gptq", "weight_mse"])
    for given in (data[0], "x", 3):
        with pytest.raises(TypeError, match="Expected `batches`"):
            pq.improve(model, given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one batch"):
        pq.improve(model, [])
    with pytest.raises(ValueError, match="pq.replace"):
        pq.improve(float_nn.Linear(3, 2), data)
    with pytest.raises(TypeError, match="Expected `model` to be a module"):
        pq.improve(3, data)
    pq.freeze(model)
    with pytest.raises(ValueError, match="without frozen layers"):
        pq.improve(model, data)
