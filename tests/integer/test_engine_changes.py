"""Whatever changes between two calls, or during one, the integers are those of the layer as it is."""
from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import integer, nn
from pytorch_quantization_c._core import integer_engine
from pytorch_quantization_c.tensor_quant import QuantDescriptor

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def many_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def linear(inputs: int = 16, outputs: int = 8, **kwargs: Any) -> Any:
    layer = nn.QuantLinear(inputs, outputs, **kwargs).eval()
    layer.weight[...] = normal(outputs, inputs)
    layer.bias[...] = normal(outputs)
    layer.input_quantizer.amax = 3.0
    return layer


def as_float(layer: Any, x: Any) -> Any:
    with integer.float_only():
        return layer(x)


def assert_follows(layer: Any, x: Any) -> None:
    """Several calls, so that prepared ones are among them."""
    for _ in range(3):
        np.testing.assert_allclose(layer(x), as_float(layer, x), rtol=1e-5, atol=1e-4)


# In place

def test_a_list_as_axis_of_a_weight_quantizer() -> None:
    layer, x = linear(8, 8), normal(4, 8)
    layer.weight[0] *= 50
    layer.weight_quantizer._axis = [0]
    assert_follows(layer, x)
    layer.weight_quantizer._axis[0] = 1
    assert_follows(layer, x)


@pytest.mark.parametrize("which", ["weight_quantizer", "input_quantizer"])
def test_an_array_as_scale_of_an_amax(which: str) -> None:
    layer, x = linear(), normal(4, 16)
    scale = np.array(1.0)
    getattr(layer, which)._scale_amax = scale
    assert_follows(layer, x)
    scale[...] = 0.25
    assert_follows(layer, x)


@pytest.mark.parametrize("name", ["stride", "dilation", "padding"])
@pytest.mark.parametrize("kind", [list, np.array], ids=["list", "array"])
def test_settings_of_a_convolution(name: str, kind: Callable[..., Any]) -> None:
    layer, x = nn.QuantConv2d(3, 4, 3, padding=1).eval(), normal(1, 3, 9, 9)
    layer.input_quantizer.amax = 3.0
    setattr(layer, name, kind([1, 1]))
    assert_follows(layer, x)
    getattr(layer, name)[1] = 2
    assert layer(x).shape == as_float(layer, x).shape
    assert_follows(layer, x)


# Steps set on an instance

@pytest.mark.parametrize("name", ["_linear", "_quant", "_float_forward", "_quantized_weight"])
def test_a_step_set_on_an_instance_is_not_passed_over(name: str) -> None:
    layer, x = linear(), normal(4, 16)
    assert_follows(layer, x)
    called, own = [], getattr(layer, name)

    def step(*args: Any) -> Any:
        called.append(name)
        return own(*args)

    setattr(layer, name, step)
    layer(x)
    assert called == [name] and layer.execution == "float: a step of its own"
    delattr(layer, name)
    layer(x)
    assert called == [name] and layer.execution == "int8"


@pytest.mark.parametrize("name", ["_quant_forward", "_get_amax", "_fake_quantize"])
@pytest.mark.parametrize("which", ["input", "weight"])
def test_a_step_of_a_quantizer_set_on_an_instance_is_not_passed_over(name: str, which: str) -> None:
    layer, x = linear(), normal(4, 16)
    assert_follows(layer, x)
    quantizer, called = getattr(layer, f"{which}_quantizer"), []
    own = getattr(quantizer, name)

    def step(*args: Any) -> Any:
        called.append(name)
        return own(*args)

    setattr(quantizer, name, step)
    layer(x)
    assert called == [name] and layer.execution == f"float: the {which} quantiser has a step of its own"


# Biases

@pytest.mark.parametrize("shape", [(1,), (4, 8)])
def test_a_bias_that_broadcasts_is_left_to_floats(shape: tuple[int, ...]) -> None:
    layer, x = linear(), normal(4, 16)
    assert_follows(layer, x)
    layer.bias = pq.float_nn.Parameter(normal(*shape))
    assert_follows(layer, x)
    layer(x)
    assert layer.execution == "float: the bias is not one number for each output channel"


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # of NumPy 2.5; it still can be done
@pytest.mark.parametrize("shape", [(2, 4), (8, 1), (1, 8, 1)])
def test_a_bias_of_another_shape_is_what_it_is_to_floats(shape: tuple[int, ...]) -> None:
    layer, x = linear(), normal(3, 16)
    assert_follows(layer, x)
    for change in (lambda: setattr(layer, "bias", pq.float_nn.Parameter(normal(*shape))),
                   lambda: setattr(layer.bias, "shape", shape)):
        layer.bias = pq.float_nn.Parameter(normal(8))
        layer(x)
        change()
        try:
            expected: Any = as_float(layer, x)
        except ValueError as error:
            with pytest.raises(type(error)):
                layer(x)
        else:
            np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-4)


def test_packed_weights_take_a_bias_of_one_axis() -> None:
    packed = integer.PackedWeights(np.ones((8, 4), np.int8), np.ones(8, np.float32), integer.Geometry(), integer.Int(8))
    with pytest.raises(ValueError, match="Expected `bias` to be 8 float32 values on one axis"):
        packed(normal(2, 4), 1.0, normal(2, 4))


# Frozen layers

def test_a_frozen_layer_whose_weight_was_taken_away_is_not_frozen_without_it() -> None:
    layer = pq.freeze(linear())
    layer.weight = None
    assert not layer._engine.has_no_float(layer)
    layer = pq.freeze(linear(), keep_float=False)
    assert layer._engine.has_no_float(layer)


def during_calls(layer: Any, x: Any, change: Callable[[], Any]) -> list[Any]:
    """What calls of two threads gave while the layer changed."""
    found: list[Any] = []
    stop, started = threading.Event(), threading.Barrier(3)

    def calls() -> None:
        started.wait()
        while not stop.is_set():
            try:
                found.append(layer(x))
            except Exception as error:
                found.append(error)
                return

    threads = [threading.Thread(target=calls) for _ in range(2)]
    for thread in threads:
        thread.start()
    started.wait()
    try:
        change()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return found


@pytest.mark.parametrize("keep_float", [True, False])
@pytest.mark.parametrize("on_floats", [True, False])
def test_a_layer_is_frozen_while_others_call_it(keep_float: bool, on_floats: bool) -> None:
    x = normal(4, 16)
    for _ in range(25):
        layer = linear()
        if on_floats:
            layer.input_quantizer.disable()
        expected = layer(x)
        found = during_calls(layer, x, lambda layer=layer: pq.freeze(layer, keep_float))
        assert all(isinstance(each, np.ndarray) and np.array_equal(each, expected) for each in found), found[-1]


def test_a_frozen_state_is_loaded_while_others_call(monkeypatch: pytest.MonkeyPatch) -> None:
    x = normal(4, 16)
    other = pq.freeze(linear(), keep_float=False)
    state = other.state_dict()
    for _ in range(20):
        layer = linear()
        found = during_calls(layer, x, lambda layer=layer: [layer.load_state_dict(state) for _ in range(5)])
        assert all(isinstance(each, np.ndarray) for each in found), found[-1]
        np.testing.assert_array_equal(layer(x), other(x))


def test_a_weight_that_is_quantised_while_its_settings_change_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings change after the key was made, and back before the next call."""
    layer, x = linear(), normal(4, 16)
    expected = as_float(layer, x)
    real, quantizer = integer_engine.quantized_weight, layer.weight_quantizer

    def changing(*args: Any) -> Any:
        if args[2].bits == 8:
            quantizer._num_bits = 4
            result = real(args[0], args[1] * np.float32(3), *args[2:])
            return result
        return real(*args)

    monkeypatch.setattr(integer_engine, "quantized_weight", changing)
    layer(x)
    monkeypatch.setattr(integer_engine, "quantized_weight", real)
    quantizer._num_bits = 8
    for _ in range(2):
        np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-4)


def test_settings_change_while_others_call() -> None:
    """Every answer is that of one of the settings, and the last ones count afterwards."""
    x, layer = normal(2, 3, 9, 9), nn.QuantConv2d(3, 4, 3, padding=1).eval()
    layer.input_quantizer.amax = 3.0
    settings: list[dict[str, Any]] = [{"stride": (1, 1)}, {"stride": (2, 2)}]
    expected = []
    for each in settings:
        layer.stride = each["stride"]
        expected.append(layer(x))

    def change() -> None:
        for number in range(300):
            layer.stride = settings[number % 2]["stride"]

    found = during_calls(layer, x, change)
    assert all(any(np.array_equal(each, wanted) for wanted in expected) for each in found)
    np.testing.assert_array_equal(layer(x), expected[1])


def test_the_bits_of_a_weight_change_while_others_call() -> None:
    x, layer = normal(4, 16), linear(quant_desc_weight=QuantDescriptor(8, axis=0))
    expected = []
    for bits in (8, 4):
        layer.weight_quantizer.num_bits = bits
        expected.append(layer(x))

    def change() -> None:
        for number in range(300):
            layer.weight_quantizer.num_bits = (8, 4)[number % 2]

    found = during_calls(layer, x, change)
    assert all(isinstance(each, np.ndarray) for each in found), found[-1]
    np.testing.assert_array_equal(layer(x), expected[1])
