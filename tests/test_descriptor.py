"""QuantDescriptor: arguments, equality, texts and round trips of any descriptor."""
from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytorch_quantization_c import tensor_quant
from pytorch_quantization_c.tensor_quant import QuantDescriptor, ScaledQuantDescriptor

axes = st.one_of(st.none(), st.integers(-4, 4), st.lists(st.integers(-4, 4), max_size=3).map(tuple))
amaxes = st.one_of(st.none(), st.floats(0, width=32), st.lists(st.floats(0, 2.0 ** 90, width=32), max_size=3),
                   st.integers(1, 3).map(lambda n: np.arange(n, dtype=np.float32).reshape(n, 1)))
options = st.fixed_dictionaries({}, optional={
    "num_bits": st.one_of(st.integers(0, 32), st.just((4, 3))), "name": st.one_of(st.none(), st.text()),
    "fake_quant": st.booleans(), "unsigned": st.booleans(), "narrow_range": st.booleans(), "axis": axes, "amax": amaxes,
    "scale_amax": st.one_of(st.none(), st.floats(0.01, 2)), "calib_method": st.sampled_from(["max", "histogram"])})


@given(options)
def test_any_descriptor_round_trips(arguments: dict[str, Any]) -> None:
    descriptor = QuantDescriptor(**arguments)
    for twin in (QuantDescriptor(**descriptor.dict()), QuantDescriptor.from_yaml(descriptor.to_yaml()),
                 pickle.loads(pickle.dumps(descriptor))):
        assert twin == descriptor and str(twin) == str(descriptor)
    for name, value in arguments.items():
        kept = getattr(descriptor, name)
        np.testing.assert_array_equal(kept, value) if name == "amax" else None
        assert name == "amax" or kept == value
    default = QuantDescriptor(**{name: value for name, value in arguments.items() if name == "name"})
    assert descriptor.dict().keys() - {"num_bits", "name"} == {
        name for name in arguments if name not in ("num_bits", "name", "amax")
        and getattr(default, name) != getattr(descriptor, name)} | ({"amax"} if descriptor.amax is not None else set())


def test_defaults_and_keywords() -> None:
    assert QuantDescriptor is ScaledQuantDescriptor
    descriptor = QuantDescriptor(4, "weights", axis=np.int64(1), scale_amax=np.float32(0.5), amax=np.float32(2))
    assert descriptor.dict() == {"num_bits": 4, "name": "weights", "axis": 1, "amax": 2.0, "scale_amax": 0.5}
    assert str(descriptor) == "weights: (4bit fake axis=1 amax=2.0 full_range scale_amax=0.5)"
    assert repr(QuantDescriptor()) == "<QuantDescriptor(8bit fake axis= per-tensor)>"
    assert QuantDescriptor(np.int8(5)).num_bits == 5 and type(QuantDescriptor(np.int8(5)).num_bits) is int


def test_equality() -> None:
    assert QuantDescriptor(axis=[0, 1]) == QuantDescriptor(axis=(0, 1)) != QuantDescriptor(axis=(1, 0))
    assert QuantDescriptor(amax=[1.0, 2.0]) != QuantDescriptor(amax=[1.0, 3.0])
    assert QuantDescriptor(amax=[1.0]) != QuantDescriptor() != QuantDescriptor(amax=1.0)
    assert QuantDescriptor() != "QuantDescriptor(8bit fake axis= per-tensor)"
    assert QuantDescriptor() != 8
    with pytest.raises(TypeError, match="unhashable"):
        hash(QuantDescriptor())


def test_amax_is_a_copy_that_nobody_changes() -> None:
    given_amax = np.array([1.0, 2.0])
    descriptor = QuantDescriptor(amax=given_amax)
    given_amax[0] = 9
    assert descriptor.amax is not None and descriptor.amax.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        descriptor.amax[0] = 5


def test_constants() -> None:
    constants = {name: getattr(tensor_quant, name) for name in dir(tensor_quant) if name.startswith("QUANT_DESC")}
    usual = {name: constant for name, constant in constants.items() if re.match("QUANT_DESC_(UNSIGNED_)?8BIT_", name)}
    del usual["QUANT_DESC_8BIT_AFFINE_PER_TENSOR"]
    assert len(usual) == 9 and len(constants) == 23  # the others: tests/test_formats.py
    for name, constant in usual.items():
        wanted = {"axis": 1} if "TRANSPOSE" in name else {"axis": 0} if "WEIGHT" in name else {}
        assert constant == QuantDescriptor(8, unsigned="UNSIGNED" in name, **wanted), name


def test_yaml_of_the_original_is_read() -> None:
    written = "amax: 2.25\nname: null\nnum_bits: !!python/tuple\n- 4\n- 3\n"
    assert QuantDescriptor.from_yaml(written) == QuantDescriptor((4, 3), amax=2.25)
    assert QuantDescriptor.from_yaml("axis: [0, 1]\n").axis == (0, 1)


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"num_bits": -1}, ValueError, "`num_bits` >= 0.*-1"), ({"num_bits": 33}, ValueError, "33"),
    ({"num_bits": 8.0}, TypeError, "`num_bits`"), ({"num_bits": [4, 3]}, TypeError, "`num_bits`"),
    ({"num_bits": (5, 3)}, TypeError, r"\(4, 3\)"), ({"num_bits": True}, TypeError, "True"),
    ({"name": 3}, TypeError, "name must be a string"), ({"amax": 1}, TypeError, "must be float, list or ndarray"),
    ({"amax": (1.0,)}, TypeError, "must be float, list or ndarray"),
    ({"amax": [[1.0], [1.0, 2.0]]}, TypeError, "`amax`"), ({"amax": ["a"]}, TypeError, "`amax`"),
    ({"amax": -1.0}, ValueError, "`amax` >= 0, got -1.0"),
    ({"learn_amax": True, "axis": 0}, TypeError, "axis is ignored and must be None"),
    ({"axis": "0"}, TypeError, "`axis`"), ({"axis": 0.5}, TypeError, "`axis`"),
    ({"axis": (0, 1.5)}, TypeError, "`axis`"),
    ({"axis": True}, TypeError, "`axis`"), ({"axis": [True]}, TypeError, "`axis`"),
    ({"scale_amax": "2"}, TypeError, "`scale_amax`"), ({"scale_amax": True}, TypeError, "`scale_amax`"),
    ({"calib_method": None}, ValueError, "`calib_method`"), ({"num_bit": 8}, TypeError, "Unused keys: 'num_bit'")])
def test_refusals(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        QuantDescriptor(**arguments)


@pytest.mark.parametrize(("text", "error"), [("", TypeError), ("[]", TypeError), ("amax: 2", TypeError),
                                             ("{", ValueError), ("a: !!python/object:os.system x", ValueError),
                                             (None, TypeError)])
def test_yaml_refusals(text: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        QuantDescriptor.from_yaml(text)


def test_zero_bits_are_announced(caplog: pytest.LogCaptureFixture) -> None:
    QuantDescriptor(num_bits=0)
    assert "num_bits is 0" in caplog.text
