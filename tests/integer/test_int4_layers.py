"""Linear layers with weights of 2 to 4 bits in groups: the integers of NumPy, to the bit; frozen, saved, loaded."""
import pickle

import numpy as np
import pytest

from pytorch_quantization_c import calibrating, float_nn, integer, nn
from pytorch_quantization_c._core.safetensors import load_file, save_file
from pytorch_quantization_c.integer import Int
from pytorch_quantization_c.integer.weights import IntegerWeight
from pytorch_quantization_c.model.freeze import freeze, load_frozen, save_frozen
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from ..patience import least_held
from .cases import on_every_isa
from .test_int4 import expected


def layer_of(rng, inputs=100, outputs=24, bits=4, group=32, **kwargs):
    weight = QuantDescriptor(bits, block_sizes={-1: group}) if group else QuantDescriptor(bits, axis=0)
    layer = nn.QuantLinear(inputs, outputs, quant_desc_weight=weight, **kwargs)
    layer.weight[...] = rng.standard_normal((outputs, inputs)) * rng.uniform(0.1, 3, (outputs, inputs))
    layer.bias[...] = rng.standard_normal(outputs)
    return layer


def groups_of(weight, bits, group):
    """Codes and scales by the rule: scale = bound / amax of the group, code = rint(w * scale)."""
    outputs, inputs = weight.shape
    padded = np.zeros((outputs, -(-inputs // group) * group), np.float32)
    padded[:, :inputs] = weight
    blocks = padded.reshape(outputs, -1, group)
    amax, bound = np.abs(blocks).max(-1), np.float32(2 ** (bits - 1) - 1)
    scale = bound / np.where(amax <= 2.0**-24, bound, amax)
    codes = np.rint(np.where(amax <= 2.0**-24, np.float32(0), scale)[:, :, None] * blocks)
    return codes.reshape(outputs, -1)[:, :inputs].astype(np.int8), scale


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("group", [8, 32, 64, 128])
@pytest.mark.parametrize("by_row, amax", [(False, None), (True, None), (False, 2.5)])
def test_layers_compute_on_the_integers_of_numpy(bits, group, by_row, amax, rng):
    given = {} if amax is None else {"amax": amax}
    layer = layer_of(rng, bits=bits, group=group,
                     quant_desc_input=QuantDescriptor(8, axis=0 if by_row else None, **given))
    layer.weight[3, :group] = 0  # a group of zeros
    x = (rng.standard_normal((5, 100)) * rng.uniform(0.1, 4, (5, 1))).astype(np.float32)
    codes, scale = groups_of(np.asarray(layer.weight), bits, group)
    want = expected(x, codes, scale, Int(8), group, None, np.asarray(layer.bias), amax, by_row)
    for y in on_every_isa(lambda: layer, lambda each: each(x)):
        np.testing.assert_array_equal(y, want)
    assert layer.execution == "int8"
    with integer.float_only():
        floats = layer(x)
    assert np.abs(floats - want).max() <= 1e-5 * np.abs(want).max()


def test_rows_of_three_dimensions(rng):
    layer = layer_of(rng, quant_desc_input=QuantDescriptor(8, axis=(0, 1)))
    x = rng.standard_normal((2, 3, 100)).astype(np.float32)
    flat = layer_of(rng, quant_desc_input=QuantDescriptor(8, axis=0))
    flat.weight[...], flat.bias[...] = layer.weight, layer.bias
    np.testing.assert_array_equal(layer(x), flat(x.reshape(6, 100)).reshape(2, 3, 24))
    assert layer.execution == flat.execution == "int8"
    layer(x[0])
    assert layer.execution.startswith("float")


def test_a_large_weight_of_each_channel_has_the_bits_of_a_small_one(rng):
    layer = layer_of(rng, 1100, 1000, group=None)
    part = layer_of(rng, 1100, 40, group=None)
    part.weight[...], part.bias[...] = layer.weight[:40], layer.bias[:40]
    x = rng.standard_normal((3, 1100)).astype(np.float32)
    whole, parts = on_every_isa(lambda: layer, lambda each: each(x)), on_every_isa(lambda: part, lambda each: each(x))
    for y, some in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(y[:, :40], some)
    assert layer.execution == part.execution == "int8"


@pytest.mark.parametrize("change, why", [
    ({"quant_desc_weight": QuantDescriptor(4, block_sizes={-1: 12})}, "no multiple of 8"),
    ({"quant_desc_weight": QuantDescriptor(8, block_sizes={-1: 32})}, "a scale for each block"),
    ({"quant_desc_weight": QuantDescriptor(4, block_sizes={-1: 32, "scale_bits": (8, 0)})}, "a scale for each block"),
    ({"quant_desc_weight": QuantDescriptor((2, 1), block_sizes={-1: 32})}, "a scale for each block"),
    ({"quant_desc_input": QuantDescriptor(8, axis=1)}, "an amax for each channel"),
])
def test_what_stays_on_floats(change, why, rng):
    descriptors = {"quant_desc_weight": QuantDescriptor(4, block_sizes={-1: 32}), **change}
    layer = nn.QuantLinear(64, 8, **descriptors)
    y = layer(rng.standard_normal((3, 64)).astype(np.float32))
    assert layer.execution.startswith("float: ") and why in layer.execution and np.isfinite(y).all()


def test_a_changed_weight_is_quantised_again(rng):
    layer, x = layer_of(rng), rng.standard_normal((2, 100)).astype(np.float32)
    before = layer(x)
    layer.weight[0] *= 2
    assert np.array_equal(layer(x)[:, 1:], before[:, 1:]) and not np.array_equal(layer(x), before)
    layer._weight_quantizer.amax = np.full((24, 4), 0.5, np.float32)
    clipped = layer(x)
    assert layer.execution == "int8" and not np.array_equal(clipped, before)
    codes = np.clip(np.rint(np.asarray(layer.weight) * np.float32(14)), -8, 7).astype(np.int8)
    want = expected(x, codes, np.full((24, 4), 14, np.float32), Int(8), 32, None, np.asarray(layer.bias))
    np.testing.assert_array_equal(clipped, want)


def network(rng, calibrated=False):
    low = {"quant_desc_input": QuantDescriptor(8), "quant_desc_weight": QuantDescriptor(4, block_sizes={-1: 32})}
    net = float_nn.Sequential(nn.QuantLinear(256, 512, **low), float_nn.ReLU(), nn.QuantLinear(512, 255, **low),
                              nn.QuantLinear(255, 6, quant_desc_weight=QuantDescriptor(3, axis=0)))
    for layer in (net[0], net[2], net[3]):
        layer.weight[...] = rng.standard_normal(layer.weight.shape)
    return net


@pytest.mark.parametrize("calibrate", [False, True])
def test_frozen_files_are_a_sixth_and_come_back(calibrate, rng, tmp_path):
    net, x = network(rng), rng.standard_normal((4, 256)).astype(np.float32)
    if calibrate:
        with calibrating(net, load_amax=True):
            net(x)
    before, floats = net(x), sum(each.nbytes for each in net.parameters())
    freeze(net)
    np.testing.assert_array_equal(net(x), before)
    assert [net[i].execution for i in (0, 2, 3)] == ["int8"] * 3
    freeze(net, keep_float=False)
    np.testing.assert_array_equal(net(x), before)
    save_frozen(net, tmp_path / "net.safetensors")
    assert (tmp_path / "net.safetensors").stat().st_size <= 0.17 * floats
    for made in (load_frozen(network(rng), tmp_path / "net.safetensors"), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(made(x), before)
        assert made[0].execution == "int8" and made[0].weight is None
        with integer.float_only():
            assert np.abs(made(x) - before).max() <= 0.02 * np.abs(before).max()


@pytest.mark.parametrize("key, change", [
    ("0._integer_weight_4bit", lambda a: a[:, :-1]), ("0._integer_weight_4bit", lambda a: a.astype(np.int8)),
    ("0._integer_weight_4bit", lambda a: a.reshape(-1)), ("0._integer_scale", lambda a: a[:, 1:]),
    ("0._integer_scale", lambda a: -a), ("0._integer_scale", lambda a: a * np.float32(np.nan)),
    ("0._integer_layout", lambda a: np.array([2, 32])), ("0._integer_layout", lambda a: np.array([0, -1])),
    ("0._integer_layout", lambda a: np.array([0, 0])), ("0._integer_layout", lambda a: a[:1]),
    ("0._integer_layout", lambda a: a.astype(np.float32)), ("0._integer_layout", None), ("0._integer_scale", None),
    ("3._integer_scale", lambda a: a[1:]),
])
def test_corrupt_files_are_refused_and_change_nothing(key, change, rng, tmp_path):
    net, path = freeze(network(rng), keep_float=False), tmp_path / "net.safetensors"
    save_frozen(net, path)
    arrays, metadata = load_file(path)
    array = arrays.pop(key)
    if change is not None:
        arrays[key] = np.ascontiguousarray(change(array))
    save_file(arrays, path, metadata)
    other, x = network(rng), rng.standard_normal((2, 256)).astype(np.float32)
    before = other(x)
    with pytest.raises((RuntimeError, ValueError), match="integer weight of"):
        load_frozen(other, path)
    np.testing.assert_array_equal(other(x), before)


def test_odd_rows_and_convolutions_are_packed_too(rng, tmp_path):
    net = float_nn.Sequential(nn.QuantConv2d(5, 7, 1, quant_desc_weight=QuantDescriptor(4, axis=0)),
                              nn.QuantConvTranspose2d(7, 3, 3, quant_desc_weight=QuantDescriptor(3, axis=1)))
    x = rng.standard_normal((2, 5, 6, 6)).astype(np.float32)
    before = net(x)
    assert net[0].execution == net[1].execution == "int8"
    state = freeze(net, keep_float=False).state_dict()
    assert state["0._integer_weight_4bit"].shape == (7, 3) and state["1._integer_weight_4bit"].shape == (7, 14)
    save_frozen(net, tmp_path / "net.safetensors")
    other = float_nn.Sequential(nn.QuantConv2d(5, 7, 1, quant_desc_weight=QuantDescriptor(4, axis=0)),
                                nn.QuantConvTranspose2d(7, 3, 3, quant_desc_weight=QuantDescriptor(3, axis=1)))
    np.testing.assert_array_equal(load_frozen(other, tmp_path / "net.safetensors")(x), before)


def test_a_frozen_layer_takes_a_byte_a_weight_and_its_scales(rng):
    x = rng.standard_normal((2, 1024)).astype(np.float32)
    layers = [layer_of(rng, 1024, 512) for _ in range(4)]
    outputs = [layer(x) for layer in layers]

    def frozen():
        layer, want = layers.pop(), outputs.pop()
        freeze(layer, keep_float=False)
        layer._engine.cached = None
        np.testing.assert_array_equal(layer(x), want)
        return layer

    most = 512 * 1024 * 1.15 + 20000    # the codes and what is multiplied, half a byte each, and scales of it
    assert 512 * 1024 < least_held(frozen, most, tries=3) < most
    want, layer = outputs[-1], frozen()
    copied = pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(copied(x), want)
    assert len(pickle.dumps(layer)) < 512 * 1024 * 0.65 + 20000


def test_pickles_of_earlier_versions_are_read(rng):
    weight = IntegerWeight.__new__(IntegerWeight)
    values = rng.integers(-7, 8, (4, 6)).astype(np.int8)
    for name, value in {"values": values, "quantization": None}.items():  # as pickle sets what was a slot
        setattr(weight, name, value)
    np.testing.assert_array_equal(weight.values, values)
    assert weight.shape == (4, 6)
