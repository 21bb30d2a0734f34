"""Where layers, replacement and files differ from the original on purpose, row by row."""
from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import float_nn, nn, quant_modules
from pytorch_quantization_c.model.calibrating import calibrating
from pytorch_quantization_c.model.state_file import load_quant_state, save_quant_state

from .. import oracle

LAYERS = {1: nn.QuantConv1d, 2: nn.QuantConv2d, 3: nn.QuantConv3d}
MODES = {"circular": "wrap", "reflect": "reflect", "replicate": "edge", "zeros": "constant"}


def fake(x: Any, kept: list[int] | None = None) -> Any:
    return oracle.integer(np.asarray(x), oracle.largest(x, kept), narrow_range=False)[1]


@pytest.mark.parametrize("dims", LAYERS)
@pytest.mark.parametrize("mode", MODES)
def test_D11_padding_modes_pad_as_much_as_they_say(dims: int, mode: str, rng: np.random.Generator) -> None:
    layer = LAYERS[dims](2, 3, 3, padding=2, padding_mode=mode)
    x = rng.normal(size=(2, 2, *[5] * dims)).astype(np.float32)
    padded = np.pad(fake(x), [(0, 0), (0, 0), *[(2, 2)] * dims], MODES[mode])
    wanted = oracle.convolve(padded, fake(layer.weight, [0]), layer.bias)
    assert wanted.shape[2:] == (7,) * dims
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dims", LAYERS)
@pytest.mark.parametrize(("kernel", "dilation", "sides"), [(3, 1, (1, 1)), (4, 1, (1, 2)), (3, 2, (2, 2))], ids=str)
def test_D11_same_and_valid_padding(dims: int, kernel: int, dilation: int, sides: tuple[int, int],
                                    rng: np.random.Generator) -> None:
    x = rng.normal(size=(1, 2, *[6] * dims)).astype(np.float32)
    for padding, widths in (("same", sides), ("valid", (0, 0))):
        layer = LAYERS[dims](2, 2, kernel, padding=padding, dilation=dilation)
        padded = np.pad(fake(x), [(0, 0), (0, 0), *[widths] * dims])
        wanted = oracle.convolve(padded, fake(layer.weight, [0]), layer.bias, dilation=dilation)
        assert padding == "valid" or wanted.shape[2:] == x.shape[2:]
        np.testing.assert_allclose(layer(x), wanted, rtol=1e-5, atol=1e-5)


def test_D20_export_flag_is_off_after_an_exception() -> None:
    with pytest.raises(KeyError), quant_modules.enable_onnx_export():
        assert nn.TensorQuantizer._enable_onnx_export
        raise KeyError
    assert not nn.TensorQuantizer._enable_onnx_export


def test_D20_initialize_twice_keeps_the_originals() -> None:
    originals = dict(vars(float_nn))
    quant_modules.initialize()
    quant_modules.initialize(custom_quant_modules=[(float_nn, "MaxPool2d", nn.QuantMaxPool2d)])
    assert float_nn.Linear is nn.QuantLinear and float_nn.MaxPool2d is nn.QuantMaxPool2d
    quant_modules.deactivate()
    assert vars(float_nn).items() >= originals.items()  # some that are imported on first use may have come
    assert float_nn.Linear is not nn.QuantLinear


def model() -> float_nn.Module:
    return float_nn.Sequential(nn.QuantConv2d(2, 4, 1), nn.QuantConvTranspose2d(4, 4, 2, groups=2))


def calibrated() -> float_nn.Module:
    made = model()
    with calibrating(made, load_amax=True):
        made(np.ones((1, 2, 3, 3), np.float32))
    made[1].input_quantizer._register("_amax", np.float32([[[[2.5]]]]))
    return made


@pytest.mark.parametrize("way", ["state_dict", "file", "deepcopy", "pickle"])
def test_D24_any_amax_shape_comes_back(way: str, tmp_path: Any, rng: np.random.Generator) -> None:
    source = calibrated()
    target = model()
    if way == "state_dict":
        target.load_state_dict(source.state_dict())
    elif way == "file":
        save_quant_state(source, tmp_path / "q")
        load_quant_state(target, tmp_path / "q")
        target.load_state_dict(source.state_dict())
    else:
        target = copy.deepcopy(source) if way == "deepcopy" else pickle.loads(pickle.dumps(source))
    x = rng.normal(size=(1, 2, 3, 3)).astype(np.float32)
    oracle.same(target(x), source(x))
    quantizers = [[each for each in net.modules() if isinstance(each, nn.TensorQuantizer)] for net in (source, target)]
    assert [each.amax.shape for each in quantizers[1]] == [(), (4, 1, 1, 1), (1, 1, 1, 1), (1, 2, 1, 1)]
    for one, other in zip(*quantizers, strict=True):
        oracle.same(other.amax, one.amax)
        assert not np.shares_memory(other.amax, one.amax)


def test_D34_projections_of_an_lstm_are_quantised_by_themselves(rng: np.random.Generator) -> None:
    layer = nn.QuantLSTM(3, 4, proj_size=2, bias=False)
    x = rng.normal(size=(1, 1, 3)).astype(np.float32)
    joined = np.concatenate([layer.weight_ih_l0, layer.weight_hh_l0], 1)
    gates = fake(np.concatenate([x[0], np.zeros((1, 2), np.float32)], 1)) @ fake(joined, [0]).T
    i, _, g, o = np.split(gates.astype(np.float64), 4, 1)
    h = 1 / (1 + np.exp(-o)) * np.tanh(1 / (1 + np.exp(-i)) * np.tanh(g))
    wanted = fake(h.astype(np.float32)) @ fake(layer.weight_hr_l0, [0]).T
    np.testing.assert_allclose(layer(x)[0][0], wanted, rtol=1e-4, atol=1e-5)
