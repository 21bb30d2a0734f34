"""Bad input gets one clear exception: TypeError or ValueError, naming the argument; nothing is half written."""
from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import cuda_ext, tensor_quant, utils

from .surface import CASES, FUNCTION_CASES, PASSED_ON, Case, flat, floats

REFUSALS = (TypeError, ValueError, IndexError, MemoryError, RuntimeError)  # the last is torch's for shapes, of layers
NAMES_OF_A_LAYERS_INPUT = ("input", "x", "shape", "imension")
INPUT_NAMES = ("inputs", "input", "x")

NEVER_ARRAYS = {
    "an object": object(),
    "text": "1.0",
    "a dict": {"a": 1.0},
    "complex": np.zeros((4, 3, 6), np.complex64),
    "objects": np.full((4, 3, 6), None),
    "dates": np.zeros((4, 3, 6), "M8[s]"),
    "a ragged list": [[1.0], [2.0, 3.0]],
}
TAKES_INTEGERS = re.compile(r"reduce_amax|[pP]ad(\dd)?$")  # what only looks at values, or moves them
NEVER_INPUTS = {**NEVER_ARRAYS, "integers": np.arange(72).reshape(4, 3, 6), "booleans": np.ones((4, 3, 6), bool)}
ODD_SHAPES = {
    "7 axes": np.ones((2, 1, 1, 1, 1, 1, 2), np.float32),
    "no axes": np.ones((), np.float32),
    "empty": np.ones((0, 3, 6), np.float32),
    "33 axes": np.ones((1,) * 33, np.float32),
}
HUGE = np.broadcast_to(np.float32(1), (2**15,) * 4)  # 4 exbibytes, were it real; one axis reduced still 128 tebibytes
BITS = [-1, 33, 64, 10**30, 2.5, "8", None]


def message_of(case: Case, names: tuple[str, ...], **replaced: Any) -> str | None:
    """The message if the call refuses, None if it works; anything but a refusal that names the argument fails."""
    try:
        case(**replaced)
    except REFUSALS as error:
        text = str(error)
        given = {name: str(type(value)) for name, value in replaced.items()}
        named = isinstance(error, MemoryError) or any(name in text for name in names)
        assert named, f"{given}: {text!r} names none of {names}"
        assert len(text) < 500 and "\n" not in text, f"{given}: {text!r}"
        return text
    return None


def names_of(case: Case, name: str) -> tuple[str, ...]:
    return (name,) if case in FUNCTION_CASES else NAMES_OF_A_LAYERS_INPUT


CHECKED = [case for case in CASES if case.name not in PASSED_ON]
EVERY_ARRAY = [pytest.param(case, name, id=f"{case.name}-{name}") for case in CHECKED for name in case.arrays]


def pairs(names: tuple[str, ...]) -> list[Any]:
    return [parameter for parameter in EVERY_ARRAY if parameter.values[1] in names]


@pytest.mark.parametrize(("case", "name"), EVERY_ARRAY)
def test_what_is_no_array_is_refused(case: Case, name: str) -> None:
    for what, bad in NEVER_ARRAYS.items():
        assert message_of(case, names_of(case, name), **{name: bad}), f"{what} was taken"


@pytest.mark.parametrize(("case", "name"), pairs(INPUT_NAMES))
def test_inputs_that_are_no_floats_are_refused(case: Case, name: str) -> None:
    for what, bad in NEVER_INPUTS.items():
        if what == "integers" and TAKES_INTEGERS.search(case.name):
            continue
        assert message_of(case, names_of(case, name), **{name: bad}), f"{what} was taken"


@pytest.mark.parametrize(("case", "name"), EVERY_ARRAY)
def test_odd_shapes_work_or_are_refused(case: Case, name: str) -> None:
    for bad in ODD_SHAPES.values():
        message_of(case, (*case.arrays, *names_of(case, name), "axis", "shape", "imension"), **{name: bad})


OURS = [parameter for parameter in EVERY_ARRAY if not parameter.values[0].name.startswith("float_nn.")]


@pytest.mark.parametrize(("case", "name"), OURS)  # float_nn is NumPy's own arithmetic: it would set out to compute
def test_a_huge_shape_is_refused_or_only_passed_on(case: Case, name: str) -> None:
    if message_of(case, (*case.arrays, *names_of(case, name), "shape"), **{name: HUGE}) is None:
        assert np.may_share_memory(case(**{name: HUGE}), HUGE)


def with_parameter(name: str) -> list[Any]:
    found = [case for case in FUNCTION_CASES if name in inspect.signature(case.call).parameters]
    assert found, f"no function with a parameter {name}"
    return [pytest.param(case, id=case.name) for case in found]


@pytest.mark.parametrize("bits", BITS, ids=repr)
@pytest.mark.parametrize("case", with_parameter("num_bits"))
def test_bits_out_of_range(case: Case, bits: Any) -> None:
    assert message_of(case, ("num_bits",), num_bits=bits)


@pytest.mark.parametrize("axis", [3, -4, 10**20, 1.5, "0"], ids=repr)
@pytest.mark.parametrize("case", with_parameter("axis"))
def test_axis_out_of_range(case: Case, axis: Any) -> None:
    assert message_of(case, ("axis",), axis=axis)


def takes_amax_and_bits(case: Case) -> bool:
    return "amax" in case.arrays and "num_bits" in inspect.signature(case.call).parameters


INTEGER_QUANTISERS = [case for case in FUNCTION_CASES if takes_amax_and_bits(case)
                      and case.name != "formats.fake_block_quant"]  # for which None is an amax


@pytest.mark.parametrize("case", INTEGER_QUANTISERS, ids=lambda case: case.name)
def test_bad_amax(case: Case) -> None:
    assert message_of(case, ("amax",), amax=-case.arrays["amax"])
    assert message_of(case, ("amax",), amax=floats(5, positive=True))
    assert message_of(case, ("amax",), amax=None)
    assert message_of(case, ("amax",), amax=np.array([], np.float32))
    negative_zero = np.negative(np.zeros_like(case.arrays["amax"]))
    assert message_of(case, ("amax",), amax=negative_zero) is None


@pytest.mark.parametrize("case", INTEGER_QUANTISERS, ids=lambda case: case.name)
def test_nan_amax_gives_nan_and_nothing_else(case: Case) -> None:
    """D17: the channel of the NaN, and no other; one NaN for all makes all NaN."""
    amax = case.arrays["amax"].copy()
    amax[(0,) * amax.ndim] = np.nan
    target = case.arrays["inputs"].copy()
    result = flat(case(inputs=target, amax=amax))
    values = result[0] if result else target
    spoilt = np.isnan(values)
    assert spoilt[:, 0].all() if amax.size > 1 else spoilt.all()
    assert amax.size == 1 or not spoilt[:, 1:].any()


# ---------------------------------------------------------------------------------------------- nothing is half written
MANY = 100_000
LATE = np.ones(MANY, np.float32)
LATE[-1] = -1.0  # found last: everything before it is done by then


def test_a_refused_call_leaves_out_alone() -> None:
    out = np.full(MANY, 7, np.float32)
    with pytest.raises(TypeError, match="[Nn]egative"):
        cuda_ext.fake_tensor_quant(LATE, 1.0, 8, True, out=out)
    assert (out == 7).all()


def test_a_refused_call_leaves_inputs_alone() -> None:
    inputs = LATE.copy()
    with pytest.raises(TypeError, match="[Nn]egative"):
        cuda_ext.fake_tensor_quant_(inputs, 1.0, 8, True)
    assert (inputs == LATE).all()
    with pytest.raises(ValueError, match="amax"):
        cuda_ext.fake_tensor_quant_(inputs, -1.0)
    assert (inputs == LATE).all()


def frozen(shape: tuple[int, ...]) -> np.ndarray:
    array = np.full(shape, 7, np.float32)
    array.flags.writeable = False
    return array


BAD_OUTPUTS = {
    "another shape": np.full((3, 4), 7, np.float32),
    "fewer axes": np.full(12, 7, np.float32),
    "another type": np.full((4, 3), 7, np.float64),
    "integers": np.full((4, 3), 7, np.int32),
    "read only": frozen((4, 3)),
    "a list": [7.0] * 12,
    "swapped": np.full((4, 3), 7, ">f4"),
}


@pytest.mark.parametrize("what", BAD_OUTPUTS)
def test_a_bad_out_is_refused_untouched(what: str) -> None:
    bad = BAD_OUTPUTS[what]
    with pytest.raises((TypeError, ValueError), match="out"):
        cuda_ext.fake_tensor_quant(floats(4, 3), 1.0, out=bad)  # type: ignore[arg-type]
    assert (np.asarray(bad) == 7).all()


def test_out_that_overlaps_the_inputs_in_part_is_right_or_refused() -> None:
    block = floats(101)
    expected = tensor_quant.fake_tensor_quant(block[:-1].copy(), 1.0)
    try:
        cuda_ext.fake_tensor_quant(block[:-1], 1.0, out=block[1:])
    except ValueError as error:
        assert "out" in str(error)
    else:
        assert (block[1:] == expected).all()


@pytest.mark.parametrize("call", [tensor_quant.tensor_quant, tensor_quant.fake_tensor_quant, utils.reduce_amax])
def test_missing_and_unknown_arguments_are_type_errors(call: Any) -> None:
    with pytest.raises(TypeError, match="input"):
        call()
    with pytest.raises(TypeError, match="colour"):
        call(floats(3), 1.0, colour="red")
