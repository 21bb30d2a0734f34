"""On integers a layer takes and refuses what the float layer does: steps of convolutions, and the order of bytes."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import float_nn, freeze, load_frozen, nn, save_frozen
from pytorch_quantization_c.float_nn import Parameter
from pytorch_quantization_c.integer import float_only


def values(*shape: int) -> Any:
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


def swapped(array: Any) -> Any:
    return Parameter(np.asarray(array).astype(np.asarray(array).dtype.newbyteorder(">")))


STEPS = [({"output_padding": 1}, "`output_padding` smaller"), ({"output_padding": 2, "stride": 2}, "smaller"),
         ({"output_padding": 2, "dilation": 2}, "smaller"), ({"output_padding": (0, 1), "stride": (2, 1)}, "smaller"),
         ({"output_padding": -1, "stride": 2}, "`output_padding` >= 0"), ({"output_padding": 1, "stride": 2}, None),
         ({"output_padding": 1, "dilation": 2}, None), ({"output_padding": (1, 0), "stride": (2, 1)}, None)]


@pytest.mark.parametrize(("arguments", "message"), STEPS, ids=str)
def test_output_padding_as_floats(arguments: dict[str, Any], message: str | None) -> None:
    layer, x = nn.QuantConvTranspose2d(3, 4, 3, **arguments), values(2, 3, 5, 6)
    if message is None:
        on_integers = layer(x)
        assert layer.execution == "int8"
        with float_only():
            np.testing.assert_allclose(on_integers, layer(x), atol=1e-5)
        return
    for _ in range(2):
        with pytest.raises(float_nn.checks.ShapeError, match=message):
            layer(x)
        with pytest.raises(float_nn.checks.ShapeError, match=message), float_only():
            layer(x)


@pytest.mark.parametrize(("cls", "name", "value"), [
    (nn.QuantConvTranspose2d, "output_padding", (2, 2)), (nn.QuantConv2d, "stride", (0, 1)),
    (nn.QuantConv2d, "dilation", (1, 0)), (nn.QuantConv2d, "padding", (-1, 0)), (nn.QuantConv2d, "padding", "same"),
    (nn.QuantConvTranspose2d, "stride", (0, 1)), (nn.QuantConv2d, "padding", "all")])
def test_a_step_that_is_set_later(cls: type, name: str, value: Any) -> None:
    """Also when the layer is frozen and has been called in one step."""
    layer, x = cls(3, 4, 3, stride=2), values(2, 3, 7, 7)
    for frozen in (False, True):
        if frozen:
            freeze(layer)
        before = getattr(layer, name)
        layer(x)
        layer(x)
        setattr(layer, name, value)
        messages = []
        for _ in range(2):
            with pytest.raises(float_nn.checks.ShapeError) as on_integers:
                layer(x)
            messages.append(str(on_integers.value))
        with pytest.raises(float_nn.checks.ShapeError) as on_floats, float_only():
            layer(x)
        assert messages == [str(on_floats.value)] * 2
        setattr(layer, name, before)


@pytest.mark.parametrize(("cls", "arguments", "shape"), [
    (nn.QuantLinear, (3, 4), (5, 3)), (nn.QuantConv1d, (3, 4, 3), (2, 3, 9)), (nn.QuantConv2d, (3, 4, 3), (2, 3, 6, 7)),
    (nn.QuantConv3d, (3, 4, 2), (2, 3, 4, 5, 4)), (nn.QuantConvTranspose2d, (3, 4, 3), (2, 3, 6, 7))])
@pytest.mark.parametrize("frozen", [None, True, False], ids=["not frozen", "keep_float", "integers alone"])
def test_byte_swapped_weights_biases_and_inputs(cls: type, arguments: Any, shape: Any, frozen: bool | None,
                                                tmp_path: Any) -> None:
    layer, x = cls(*arguments), values(*shape)
    wanted = layer(x)
    layer.weight, layer.bias = swapped(layer.weight), swapped(layer.bias)
    if frozen is not None:
        freeze(layer, keep_float=frozen)
    for _ in range(3):
        for given in (x, np.asarray(swapped(x))):
            outputs = layer(given)
            assert layer.execution == "int8" and outputs.dtype == np.float32 and outputs.dtype.isnative
            np.testing.assert_array_equal(outputs, wanted)
    layer.bias = swapped(np.zeros(4, np.float32))
    for _ in range(3):
        np.testing.assert_allclose(layer(x), wanted - layer_bias(wanted, layer, x), atol=1e-6)
        assert layer.execution == "int8"
    if frozen is False:
        save_frozen(layer, tmp_path / "frozen")
        again = load_frozen(cls(*arguments), tmp_path / "frozen")
        np.testing.assert_array_equal(again(x), layer(x))


def layer_bias(wanted: Any, layer: Any, x: Any) -> Any:
    """What the bias had added: the difference to the layer with one of zeros."""
    swapped_bias = layer.bias
    layer.bias = Parameter(np.zeros(4, np.float32))
    without = layer(x)
    layer.bias = swapped_bias
    return wanted - without
