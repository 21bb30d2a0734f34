"""Descriptors, quantisers and functions of formats with few bits: what they take, keep, say and refuse."""
from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import (
    calib,
    float_nn,
    formats,
    load_quant_state,
    nn,
    replace,
    save_quant_state,
    tensor_quant,
)
from pytorch_quantization_c._core.element_codes import values_of
from pytorch_quantization_c._core.formats import Int
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from . import oracle
from .kernels.formats import mx, nvfp4

CONSTANTS = {name: getattr(tensor_quant, name) for name in tensor_quant.__all__ if name.startswith("QUANT_DESC_")}
MX = {-1: 32, "type": "dynamic", "scale_bits": (8, 0)}
NV = {-1: 16, "type": "dynamic", "scale_bits": (4, 3)}


def affine(x: Any, low: Any, high: Any, bits: int = 8) -> Any:
    """The rule in float32, written down."""
    one = np.float32
    low, high = np.minimum(one(low), one(0)), np.maximum(one(high), one(0))
    levels = one(2 ** bits - 1)
    scale = levels / (high - low)
    zero = np.rint(-low * scale)
    return (np.clip(np.rint(x * scale), -zero, levels - zero) / scale).astype(x.dtype)


@pytest.mark.parametrize("name", CONSTANTS)
def test_descriptors_survive(name: str) -> None:
    descriptor = CONSTANTS[name]
    assert QuantDescriptor(**descriptor.dict()) == descriptor
    assert QuantDescriptor.from_yaml(descriptor.to_yaml()) == descriptor
    assert copy.deepcopy(descriptor) == descriptor == pickle.loads(pickle.dumps(descriptor))
    assert (str(descriptor.block_sizes) in str(descriptor)) == (descriptor.block_sizes is not None)
    others = [each for each in CONSTANTS.values() if each == descriptor]
    assert len({str(each) for each in others}) == 1


def test_what_constants_say() -> None:
    assert CONSTANTS["QUANT_DESC_MXFP4"].dict() == {"num_bits": (2, 1), "name": None, "block_sizes": MX}
    assert CONSTANTS["QUANT_DESC_NVFP4_WEIGHT"].block_sizes == NV
    groups = CONSTANTS["QUANT_DESC_INT4_GROUPS_OF_32_WEIGHT"]
    assert groups == QuantDescriptor(4, block_sizes={-1: 32, "type": "static"})
    fixed = QuantDescriptor(8, zero_point=True, amin=-1.0, amax=3.0)
    assert QuantDescriptor.from_yaml(fixed.to_yaml()) == fixed != QuantDescriptor(8, zero_point=True)
    assert "amin=-1.0" in str(fixed) and QuantDescriptor(4, block_sizes={"-1": 32}).block_sizes == {-1: 32}


@pytest.mark.parametrize("arguments, error, text", [
    (dict(block_sizes={-1: 0}), ValueError, "size of a block >= 1"),
    (dict(block_sizes={-1: 2.0}), TypeError, "size of a block"),
    (dict(block_sizes={0: 32}), ValueError, "last axis"),
    (dict(block_sizes={-1: 32, 0: 4}), ValueError, "last axis"),
    (dict(block_sizes=32), TypeError, "`block_sizes` to be a dict"),
    (dict(block_sizes={-1: 32, "type": "other"}), ValueError, "'static' or 'dynamic'"),
    (dict(block_sizes={-1: 32, "scale_bits": (5, 2)}), ValueError, r"\(8, 0\) or \(4, 3\)"),
    (dict(block_sizes={-1: 32}, axis=0), ValueError, "no `axis` beside"),
    (dict(block_sizes={-1: 32}, zero_point=True), ValueError, "no `zero_point` beside"),
    (dict(block_sizes={-1: 32}, calib_method="histogram"), ValueError, "'max' beside"),
    (dict(block_sizes=MX, amax=1.0), ValueError, "no `amax` beside dynamic"),
    (dict(block_sizes=MX, num_bits=16), ValueError, "2 to 8 beside `scale_bits`"),
    (dict(zero_point=True, num_bits=(4, 3)), ValueError, "2 to 16 beside `zero_point`"),
    (dict(zero_point=True, amax=1.0), ValueError, "`amin` beside `amax`"),
    (dict(amin=-1.0, amax=1.0), ValueError, "`amin` with `zero_point`"),
    (dict(zero_point=True, amin=0.5, amax=1.0), ValueError, "`amin` <= 0"),
    (dict(zero_point=True, narrow_range=True), ValueError, "no `narrow_range`"),
    (dict(zero_point="yes"), TypeError, "`zero_point`"),
    (dict(num_bits=(3, 4)), TypeError, r"\(5, 2\)"),
])
def test_descriptors_refuse(arguments: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        QuantDescriptor(**arguments)


@pytest.mark.parametrize("name", CONSTANTS)
def test_codes_stand_for_the_fake_quantised_values(name: str, rng: np.random.Generator) -> None:
    descriptor, x = CONSTANTS[name], rng.normal(size=(6, 70)).astype(np.float32)
    x = np.abs(x) if descriptor.unsigned else x
    wanted = nn.TensorQuantizer(descriptor)(x)
    codes, found = formats.quantize(x, descriptor)
    oracle.same(formats.dequantize(codes, found), wanted)
    format = found.format
    bits = format.bits
    signed = isinstance(format, Int) and not format.unsigned
    packed = formats.pack_codes(codes, bits)
    assert packed.shape == (6, -(-70 * bits // 8))
    np.testing.assert_array_equal(formats.unpack_codes(packed, bits, 70, signed), codes)
    if found.scale_bits is not None:
        oracle.same(formats.scale_values(formats.scale_codes(found.scale, found.scale_bits), found.scale_bits),
                    found.scale)


def test_packing_by_hand() -> None:
    codes = np.uint8([[1, 2, 15], [7, 8, 9]])
    np.testing.assert_array_equal(formats.pack_codes(codes, 4), [[0x21, 0x0f], [0x87, 0x09]])
    np.testing.assert_array_equal(formats.pack_codes(np.uint8([0b000001, 0b100000, 0b111111, 0b010101]), 6),
                                  [0b00000001, 0b11111000, 0b01010111])
    np.testing.assert_array_equal(formats.unpack_codes(np.uint8([0xf8]), 4, 2, True), np.int8([-8, -1]))
    np.testing.assert_array_equal(formats.scale_codes(np.float32([1, 2.0 ** -127, 2.0 ** 127, np.nan]), (8, 0)),
                                  [127, 0, 254, 255])
    for call in (lambda: formats.pack_codes(codes, 9), lambda: formats.unpack_codes(codes, 4, 3)):
        with pytest.raises(ValueError, match="Expected"):
            call()
    with pytest.raises(TypeError, match="int8 or uint8"):
        formats.pack_codes(np.zeros(3), 4)


def test_what_has_no_code_is_refused() -> None:
    for descriptor in (QuantDescriptor((2, 1)), QuantDescriptor(8), QuantDescriptor(8, zero_point=True)):
        with pytest.raises(ValueError, match="without NaN"):
            formats.quantize(np.float32([1, np.nan]), descriptor, np.float32(1),
                             np.float32(-1) if descriptor.zero_point else None)
    codes, found = formats.quantize(np.float32([1, np.nan]), QuantDescriptor((5, 2)), np.float32(1))
    assert codes.tolist() == [0x7b, 0x7e] and np.isnan(formats.dequantize(codes, found)[1])
    with pytest.raises(ValueError, match="2 to 8"):
        formats.quantize(np.float32([1]), QuantDescriptor(16))
    with pytest.raises(ValueError, match="one `axis`"):
        formats.quantize(np.ones((2, 2), np.float32), QuantDescriptor(8, axis=(0, 1)))


def test_quantizers_in_blocks(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 64)).astype(np.float32)
    oracle.same(nn.TensorQuantizer(tensor_quant.QUANT_DESC_MXFP4)(x), mx(x, (2, 1), 32)[0])
    oracle.same(nn.TensorQuantizer(QuantDescriptor((2, 1), block_sizes=NV, amax=2.0))(x), nvfp4(x, 16, 2.0)[0])
    scaled = nn.TensorQuantizer(QuantDescriptor((2, 1), block_sizes=MX, scale_amax=2.5))(x)
    oracle.same(scaled, mx(x, (2, 1), 32, factor=2.5)[0])
    amax = np.abs(x).reshape(4, 2, 32).max(2)
    scale = np.repeat(np.float32(7) / amax, 32, 1)
    oracle.same(nn.TensorQuantizer(tensor_quant.QUANT_DESC_INT4_GROUPS_OF_32_WEIGHT)(x),
                np.clip(np.rint(x * scale), -8, 7) / scale)


def test_calibrated_groups(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 70)).astype(np.float32)
    quantizer = nn.TensorQuantizer(QuantDescriptor(4, block_sizes={-1: 32}), if_quant=False, if_calib=True)
    quantizer(x)
    quantizer(x / 2)
    quantizer.load_calib_amax()
    amax = np.stack([np.abs(x[:, at:at + 32]).max(1) for at in (0, 32, 64)], 1)
    oracle.same(quantizer.amax, amax)
    with pytest.raises(RuntimeError, match="amax shape changed"):
        quantizer(x[:2])
    quantizer.disable_calib()
    quantizer.enable_quant()
    scale = (np.float32(7) / np.repeat(amax, 32, 1))[:, :70]
    oracle.same(quantizer(x / 3), np.clip(np.rint(x / 3 * scale), -8, 7) / scale)
    with pytest.raises(ValueError, match=r"one for each block"):
        quantizer(x[:, :32])
    with pytest.raises(ValueError, match="axis -1"):
        quantizer(np.float32(1))
    assert "block_sizes={-1: 32}" in quantizer.extra_repr()
    twin = nn.TensorQuantizer(QuantDescriptor(4, block_sizes={-1: 32}))
    twin.load_state_dict(quantizer.state_dict())
    oracle.same(twin(x), quantizer(x))
    oracle.same(copy.deepcopy(quantizer)(x), quantizer(x))


def test_dynamic_formats_ignore_calibration(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 64)).astype(np.float32)
    quantizer = nn.TensorQuantizer(tensor_quant.QUANT_DESC_MXFP8, if_quant=False, if_calib=True)
    quantizer(x)
    quantizer.load_calib_amax()
    assert quantizer.amax is None
    nv = nn.TensorQuantizer(QuantDescriptor((2, 1), block_sizes=NV, calib_method="histogram"), False, False,
                            if_calib=True)
    nv(x)
    nv.load_calib_amax("percentile", percentile=90)
    nv.disable_calib()
    nv.enable_quant()
    oracle.same(nv(x), nvfp4(x, 16, nv.amax)[0])


@pytest.mark.parametrize("shape, axis", [((5, 7), None), ((5, 7), 0), ((5, 7), 1), ((2, 3, 40), 1)])
@pytest.mark.parametrize("bits, unsigned", [(8, False), (8, True), (4, False), (16, True)])
def test_two_ends(shape: Any, axis: Any, bits: int, unsigned: bool, rng: np.random.Generator) -> None:
    x = (rng.normal(size=shape) + 0.8).astype(np.float32)
    kept = None if axis is None else tuple(i for i in range(len(shape)) if i != axis)
    ends = x.min(kept, keepdims=kept is not None), x.max(kept, keepdims=kept is not None)
    quantizer = nn.TensorQuantizer(QuantDescriptor(bits, axis=axis, zero_point=True, unsigned=unsigned))
    oracle.same(quantizer(x), affine(x, *ends, bits))
    if bits <= 8:
        codes, found = formats.quantize(x, QuantDescriptor(bits, axis=axis, zero_point=True, unsigned=unsigned))
        oracle.same(formats.dequantize(codes, found), affine(x, *ends, bits))
        assert codes.min() >= Int(bits, unsigned).low and codes.max() <= Int(bits, unsigned).bound
    for dtype in (np.float16, np.float64):
        got = quantizer(x.astype(dtype))
        assert got.dtype == dtype and np.abs(got - x).max() < 0.6


def test_a_calibrated_range(rng: np.random.Generator, tmp_path: Any) -> None:
    x = np.abs(rng.normal(size=(3, 50))).astype(np.float32) - np.float32(0.1)
    quantizer = nn.TensorQuantizer(QuantDescriptor(8, zero_point=True), if_quant=False, if_calib=True)
    assert isinstance(quantizer.calibrator, calib.RangeCalibrator)
    quantizer(x)
    quantizer(np.float32([-0.4, 0.2]))
    quantizer.load_calib_amax()
    oracle.same(quantizer.amin, np.float32(-0.4))
    oracle.same(quantizer.amax, x.max())
    quantizer.disable_calib()
    quantizer.enable_quant()
    wide = x * 3
    oracle.same(quantizer(wide), affine(wide, -0.4, x.max()))
    step = (quantizer.amax - quantizer.amin) / 255
    assert np.isclose(quantizer.step_size, step) and "zero_point amin=-0.4000" in quantizer.extra_repr()
    model, other = nn.QuantLinear(50, 2, quant_desc_input=QuantDescriptor(8, zero_point=True)), None
    model._input_quantizer = quantizer
    save_quant_state(model, tmp_path / "state")
    other = nn.QuantLinear(50, 2)
    load_quant_state(other, tmp_path / "state")
    oracle.same(other.input_quantizer(wide), quantizer(wide))
    assert other.input_quantizer.zero_point and "_amin" in quantizer.state_dict()
    with pytest.raises(ValueError, match="`amin` <= 0"):
        quantizer.amin = 1.0
    with pytest.raises(ValueError, match="zero_point alone"):
        nn.TensorQuantizer().amin = 0.0


def test_blocks_in_state_files(rng: np.random.Generator, tmp_path: Any) -> None:
    x = rng.normal(size=(4, 64)).astype(np.float32)
    descriptor = QuantDescriptor((2, 1), block_sizes={-1: 32, "scale_bits": (8, 0)})
    model = nn.QuantLinear(64, 4, quant_desc_weight=descriptor)
    model.weight_quantizer.amax = np.abs(x).reshape(4, 2, 32).max(2)
    save_quant_state(model, tmp_path / "state")
    other = nn.QuantLinear(64, 4)
    load_quant_state(other, tmp_path / "state")
    assert other.weight_quantizer.block_sizes == model.weight_quantizer.block_sizes
    oracle.same(other.weight_quantizer(x), model.weight_quantizer(x))


def test_real_quantisation_by_a_quantizer(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 64)).astype(np.float32)
    for descriptor in (QuantDescriptor((2, 1), block_sizes=MX, fake_quant=False), QuantDescriptor((5, 2), axis=0,
                       fake_quant=False), QuantDescriptor(8, zero_point=True, fake_quant=False)):
        quantizer = nn.TensorQuantizer(descriptor)
        assert quantizer.quantization is None
        codes = quantizer(x)
        fake = nn.TensorQuantizer(QuantDescriptor(**{**descriptor.dict(), "fake_quant": True}))
        oracle.same(formats.dequantize(codes, quantizer.quantization), fake(x))


def test_gradients_pass_straight_through() -> None:
    x, ones = np.float32([[-3, -1, 0.5, 2]]), np.ones((1, 4), np.float32)

    def gradient(function: Any, *arguments: Any) -> Any:
        ctx = tensor_quant.FunctionCtx()
        function.forward(ctx, x, *arguments)
        return function.backward(ctx, ones)[0].tolist()

    assert gradient(formats.ScaledFloatFunction, 1.5, 2, 1) == [[0, 1, 1, 0]]
    assert gradient(formats.FakeRangeQuantFunction, -1.0, 2.0) == [[0, 1, 1, 1]]
    assert gradient(formats.FakeBlockQuantFunction, (2, 1), MX) == [[1, 1, 1, 1]]
    assert gradient(formats.FakeBlockQuantFunction, 4, {-1: 2}, np.float32([[2, 1]])) == [[0, 1, 1, 0]]
    assert gradient(formats.FakeBlockQuantFunction, (2, 1), NV, np.float32(1)) == [[0, 1, 1, 0]]


def test_gradients_of_a_scaled_range() -> None:
    ctx, x = tensor_quant.FunctionCtx(), np.float32([[-3, -1, 0.5, 2]])
    got = formats.FakeBlockQuantFunction.forward(ctx, x, 4, {-1: 2}, np.float32([[4, 1]]), False, False, 0.5)
    oracle.same(got, formats.fake_block_quant(x, 4, {-1: 2}, np.float32([[2, 0.5]])))
    found = formats.FakeBlockQuantFunction.backward(ctx, np.ones_like(x))
    assert found[0].tolist() == [[0, 1, 1, 0]] and found[1:] == (None,) * 6  # type: ignore[union-attr]


AFFINE = QuantDescriptor(8, zero_point=True)


@pytest.mark.parametrize("descriptor, amax, amin, message", [
    (AFFINE, 6.0, None, "`amin` and `amax` together"), (AFFINE, None, -1.0, "`amin` and `amax` together"),
    (QuantDescriptor(8), 6.0, -1.0, "`amin` with `zero_point` alone"),
    (QuantDescriptor(4, block_sizes={-1: 2}), None, -1.0, "`amin` with `zero_point` alone"),
    (QuantDescriptor((2, 1), block_sizes=MX), 6.0, None, "no `amax` beside dynamic")])
def test_ranges_of_no_use_are_refused(descriptor: Any, amax: Any, amin: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        formats.quantize(np.ones((2, 4), np.float32), descriptor, amax, amin)


def test_an_end_of_the_descriptor_and_one_given_are_two() -> None:
    x = np.float32([-3, 0.3, 2])
    fixed = QuantDescriptor(8, zero_point=True, amin=-1.0, amax=1.0)
    oracle.same(formats.dequantize(*formats.quantize(x, fixed, 6.0)), affine(x, -1, 6))


def test_dynamic_blocks_take_no_range() -> None:
    with pytest.raises(ValueError, match="no `amax` beside dynamic"):
        formats.fake_block_quant(np.ones((2, 4), np.float32), (2, 1), MX, 6.0)


def test_tables_of_codes_cannot_be_written() -> None:
    for format in (Int(4), Int(8, unsigned=True), formats.E2M1):
        assert not values_of(format).flags.writeable


@pytest.mark.parametrize("layer", [nn.QuantConv2d, nn.QuantConvTranspose2d])
def test_blocks_do_not_fit_into_a_kernel(layer: Any) -> None:
    """Each weight of a 1x1 kernel would have a scale of its own."""
    with pytest.raises(ValueError, match=r"`quant_desc_weight` of a QuantConv.*kernel \(3, 1\).*got blocks of 32"):
        layer(64, 32, (3, 1), quant_desc_weight=tensor_quant.QUANT_DESC_INT4_GROUPS_OF_32_WEIGHT)
    with pytest.raises(ValueError, match="0 .Conv2d. cannot be quantised: Expected `quant_desc_weight`"):
        replace(float_nn.Sequential(float_nn.Conv2d(4, 3, 3)), quant_desc_weight=tensor_quant.QUANT_DESC_MXFP4)
    assert layer(4, 3, (1, 8), quant_desc_weight=QuantDescriptor(4, block_sizes={-1: 4})).weight_quantizer.blocks


def test_merged_ranges_are_those_of_all_batches(rng: np.random.Generator, tmp_path: Any) -> None:
    parts = rng.normal(size=(2, 4, 5)).astype(np.float32)
    one, two, both = (calib.RangeCalibrator(8, 0, False) for _ in range(3))
    one.collect(parts[0])
    two.collect(parts[1])
    for part in parts:
        both.collect(part)
    one.merge(two)
    oracle.same(one.compute_amax(), both.compute_amax())
    oracle.same(one.compute_amin(), np.minimum(parts.min((0, 2)), 0)[:, None])
    one.save(tmp_path / "range")
    two.load(tmp_path / "range")
    oracle.same(two.compute_amin(), one.compute_amin())
    two.reset()
    assert two.compute_amax() is None and two.compute_amin() is None
    with pytest.raises(TypeError, match="RangeCalibrator"):
        one.merge(calib.MaxCalibrator(8, 0, False))
    with pytest.raises(ValueError, match="shape"):
        wide = calib.RangeCalibrator(8, 0, False)
        wide.collect(np.ones((3, 2), np.float32))
        one.merge(wide)
