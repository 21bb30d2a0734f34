"""calibrate_weights: each method against its formula, layer by layer and channel by channel."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.calib import calibrate_weights
from pytorch_quantization_c.integer import frozen
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from . import paper


class Net(float_nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.QuantConv2d(3, 4, 5)
        self.up = nn.QuantConvTranspose1d(6, 3, 4)
        self.fc = nn.QuantLinear(70, 2, quant_desc_weight=QuantDescriptor(num_bits=4))
        self.eighth = nn.QuantLinear(70, 2, quant_desc_weight=QuantDescriptor(num_bits=(4, 3), fake_quant=True))
        self.act = float_nn.ReLU()


def row_amax(row: Any, method: str, num_bits: Any) -> Any:
    x = np.abs(row)
    if method == "max":
        return x.max()
    hist, edges = np.histogram(x, 300, (0, x.max()))
    if method == "percentile":
        return paper.percentile(hist, edges, 95.0)
    errors = paper.squared_errors(hist, edges, num_bits, False, 1, 128)
    return paper.centres(edges)[min(errors, key=errors.__getitem__)]


@pytest.mark.parametrize("method", ["max", "mse", "percentile"])
@pytest.mark.parametrize("perchannel", [True, False])
def test_every_layer(method: str, perchannel: bool) -> None:
    net = Net()
    calibrate_weights(net, method, perchannel, percentile=95.0, num_bins=300)
    for name, axis in (("conv", 0), ("up", 1), ("fc", 0), ("eighth", 0)):
        layer = getattr(net, name)
        weight = np.asarray(layer.weight)
        amax = layer.weight_quantizer.amax
        rows = np.moveaxis(weight, axis, 0) if perchannel else weight[None]
        shape = tuple(n if i == axis else 1 for i, n in enumerate(weight.shape)) if perchannel else ()
        assert amax.dtype == np.float32 and amax.shape == shape
        wanted = [row_amax(row, method, layer.weight_quantizer.num_bits) for row in rows]
        np.testing.assert_array_equal(amax.ravel(), np.float32(wanted))


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"method": "entropy"}, TypeError, "'entropy'"), ({"percentile": 101}, ValueError, "`percentile`"),
    ({"method": "mse", "num_bins": 100}, ValueError, "`start_bin`"),
])
def test_refusals(options: dict[str, Any], error: type[Exception], message: str) -> None:
    net = Net()
    with pytest.raises(error, match=message):
        calibrate_weights(net, **options)
    assert net.conv.weight_quantizer.amax is None


def test_a_weight_that_is_not_finite() -> None:
    net = Net()
    net.fc.weight[1, 3] = np.nan
    with pytest.raises(ValueError, match="fc: Expected finite weights"):
        calibrate_weights(net)
    assert net.conv.weight_quantizer.amax is None       # all or nothing


def test_an_amax_of_another_shape_stops_it_before_any_is_changed() -> None:
    net = Net()
    net.fc.weight_quantizer.amax = 0.5
    with pytest.raises(RuntimeError, match=r"fc: expected a weight amax of shape \(\), .* got \(2, 1\)"):
        calibrate_weights(net)
    assert net.conv.weight_quantizer.amax is None and net.fc.weight_quantizer.amax == 0.5


def test_a_layer_frozen_without_its_float_weight_is_left_alone() -> None:
    net = Net()
    frozen.freeze(net.fc, keep_float=False)
    calibrate_weights(net)
    assert net.fc.weight_quantizer.amax is None and net.conv.weight_quantizer.amax is not None
